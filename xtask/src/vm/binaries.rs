//! Static executables for the guest, which has no libraries.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    build,
    command::{cargo, describe},
    paths,
    setup::BuildTools,
    test::suites::{self, Suite},
};

/// The only one there is, and one without which cargo would build macros statically, too.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What goes into the initramfs.
#[derive(Debug)]
pub(crate) struct Binaries {
    pub(crate) agent: PathBuf,
    /// What the benchmark of the hooks compares with.
    pub(crate) empty_programs: PathBuf,
    pub(crate) suites: Vec<Suite>,
    /// Other programs: the actor, the guest's init, the benchmark of the hooks.
    pub(crate) programs: Vec<PathBuf>,
}

impl Binaries {
    /// The program of that name.
    pub(crate) fn program(&self, name: &str) -> Result<&Path> {
        let found = self.programs.iter().find(|path| path.ends_with(name));
        Ok(found.with_context(|| format!("no program {name} was built"))?)
    }
}

/// Builds all of it.
pub(crate) fn build(tools: &BuildTools) -> Result<Binaries> {
    let kernel_object = build::kernel_object(tools)?;
    let mut command = static_cargo();
    command
        .env("CACHE_EBPF_OBJECT", &kernel_object)
        .args(["build", "--release", "--package", "cache-agent"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(folder());
    crate::command::run(&mut command)?;
    let mut command = static_cargo();
    command
        .args(["test", "--release", "--package", "cache-tests", "--no-run"])
        .arg("--message-format=json-render-diagnostics")
        .args(["--target", TARGET, "--target-dir"])
        .arg(folder())
        .stderr(Stdio::inherit());
    let line = describe(&command);
    eprintln!("$ {line}");
    let output = command
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    ensure!(
        output.status.success(),
        "`{line}` failed with {}",
        output.status
    );
    let messages = String::from_utf8_lossy(&output.stdout);
    Ok(Binaries {
        agent: folder().join(TARGET).join("release/cache-agent"),
        empty_programs: build::empty_programs(tools)?,
        suites: suites::parse(&messages, "test")?,
        programs: suites::parse(&messages, "bin")?
            .into_iter()
            .map(|program| program.executable)
            .filter(|executable| !in_dependencies(executable))
            .collect(),
    })
}

/// The test harnesses of programs lie there, and are no programs.
fn in_dependencies(executable: &Path) -> bool {
    executable
        .parent()
        .is_some_and(|folder| folder.ends_with("deps"))
}

fn static_cargo() -> std::process::Command {
    let mut command = cargo();
    let mut flags = env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" -Ctarget-feature=+crt-static");
    command
        .env("RUSTFLAGS", flags.trim())
        // The initramfs is copied to memory at each boot.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")
        // Built anew for each change of the agent, and never measured.
        .env("CARGO_PROFILE_RELEASE_LTO", "off");
    command
}

fn folder() -> PathBuf {
    paths::target().join("static")
}

/// Size of a file in whole MiB, for a person.
pub(crate) fn mebibytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len() >> 20)
}
