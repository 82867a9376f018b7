//! Static executables for the guest, which has no libraries.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    build,
    command::{cargo, run},
    paths,
    setup::BuildTools,
    test::suites::{self, Executables, Suite},
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
    command.env("CACHE_EBPF_OBJECT", &kernel_object).args([
        "build",
        "--release",
        "--package",
        "cache-agent",
    ]);
    run(&mut command)?;
    let Executables { suites, programs } = suites::build()?;
    Ok(Binaries {
        agent: folder().join(TARGET).join("release/cache-agent"),
        empty_programs: build::empty_programs(tools)?,
        suites,
        programs,
    })
}

/// A cargo that builds what needs no library of the system.
pub(crate) fn static_cargo() -> Command {
    let mut command = cargo();
    let mut flags = env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" -Ctarget-feature=+crt-static");
    command
        .env("RUSTFLAGS", flags.trim())
        .env("CARGO_BUILD_TARGET", TARGET)
        .env("CARGO_TARGET_DIR", folder())
        // The initramfs is copied to memory at each boot.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
    command
}

fn folder() -> PathBuf {
    paths::target().join("static")
}

/// Size of a file in whole MiB, for a person.
pub(crate) fn mebibytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len() >> 20)
}
