//! The kernel object, then the agent with the object inside.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    command::{cargo, program, run as run_command},
    paths,
    setup::{self, BuildTools},
};

const BPF_TARGET: &str = if cfg!(target_endian = "big") {
    "bpfeb-unknown-none"
} else {
    "bpfel-unknown-none"
};

/// Whatever the agent's: what runs at every system call is optimised always.
const KERNEL_PROFILE: Profile = Profile::Dist;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// With link-time optimisation, as packages ship and benchmarks measure it: target/dist/cache-agent
    #[arg(long)]
    dist: bool,
}

/// As in the workspace's Cargo.toml.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Profile {
    /// Quick to build.
    Release,
    /// Quicker to run.
    Dist,
}

impl Profile {
    /// Cargo's name for it, and for its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dist => "dist",
        }
    }
}

/// What a build leaves.
#[derive(Debug)]
pub struct Built {
    pub agent: PathBuf,
    pub kernel_object: PathBuf,
}

pub fn run(options: &Options) -> Result<()> {
    let profile = if options.dist {
        Profile::Dist
    } else {
        Profile::Release
    };
    let built = agent(&setup::for_build()?, profile)?;
    eprintln!("built {}", built.agent.display());
    Ok(())
}

/// Both sides.
pub fn agent(tools: &BuildTools, profile: Profile) -> Result<Built> {
    let kernel_object = kernel_object(tools)?;
    run_command(
        cargo()
            .env("CACHE_EBPF_OBJECT", &kernel_object)
            .args(["build", "--profile", profile.name()])
            .args(["--package", "cache-agent", "--target-dir"])
            .arg(paths::target()),
    )?;
    let folder = paths::target().join(profile.name());
    Ok(Built {
        agent: existing(folder.join("cache-agent"))?,
        kernel_object,
    })
}

/// The kernel side.
pub fn kernel_object(tools: &BuildTools) -> Result<PathBuf> {
    bpf_program(tools, "cache-ebpf")
}

/// The object with programs that do nothing, for benchmarks.
pub fn empty_programs(tools: &BuildTools) -> Result<PathBuf> {
    bpf_program(tools, "cache-ebpf-empty")
}

fn bpf_program(BuildTools { toolchain, linker }: &BuildTools, binary: &str) -> Result<PathBuf> {
    let target_dir = paths::target().join("bpf");
    let mut command = program(&toolchain.cargo);
    command
        .current_dir(paths::root())
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env(linker_variable(), linker)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags())
        // Those of the caller's toolchain would be taken for this one's.
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTUP_TOOLCHAIN")
        .args(["build", "--profile", KERNEL_PROFILE.name()])
        .args(["--package", "cache-ebpf"])
        .args(["--bin", binary, "--target", BPF_TARGET])
        .args(["-Z", "build-std=core", "--target-dir"])
        .arg(&target_dir);
    run_command(&mut command)?;
    existing(
        target_dir
            .join(BPF_TARGET)
            .join(KERNEL_PROFILE.name())
            .join(binary),
    )
}

fn linker_variable() -> String {
    let target = BPF_TARGET.replace('-', "_").to_uppercase();
    format!("CARGO_TARGET_{target}_LINKER")
}

/// What aya-build passes: the architecture whose registers and structures the programs read, and
/// debug information turned into BTF, without which verifier logs lose their source lines.
fn rustflags() -> String {
    let architecture = env::consts::ARCH;
    [
        format!("--cfg=bpf_target_arch=\"{architecture}\"").as_str(),
        "-Cdebuginfo=2",
        "-Clink-arg=--btf",
    ]
    .join("\x1f")
}

fn existing(path: impl AsRef<Path>) -> Result<PathBuf> {
    let path = path.as_ref();
    ensure!(path.exists(), "the build did not leave {}", path.display());
    path.canonicalize()
        .with_context(|| format!("cannot resolve {}", path.display()))
}
