//! Set-up: looks for what is needed, installs what is missing, says one line about each.
//!
//! Idempotent, and with nothing to do it costs a few file look-ups. What it builds or downloads
//! goes below target/; of the system only Debian packages are touched, of the user's home nothing.

mod apt;
mod btf;
mod go;
mod kernels;
mod linker;
mod machine;
mod observers;
mod programs;
mod toolchain;

use std::path::PathBuf;

use anyhow::Result;

pub use self::{
    go::{Go, NEWEST as NEWEST_GO},
    kernels::{Kernel, VERSIONS as KERNEL_VERSIONS},
    machine::{Disk, GO_DISK, VmTools, ensure as for_vm},
    observers::{Auditd, ensure as observer, ensure_auditd as auditd},
    programs::{ensure_bpftool, ensure_cargo_deny},
    toolchain::Toolchain,
};
use crate::paths;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only what `cargo xtask build` needs
    #[arg(long)]
    build: bool,
}

/// What it takes to build the agent.
#[derive(Debug)]
pub struct BuildTools {
    pub toolchain: Toolchain,
    pub linker: PathBuf,
}

/// What it takes to test and measure it.
#[derive(Debug)]
pub struct TestTools {
    pub build: BuildTools,
    pub go: Vec<Go>,
    pub promtool: PathBuf,
    pub bpftool: PathBuf,
}

pub fn run(options: &Options) -> Result<()> {
    if options.build {
        for_build().map(drop)
    } else {
        for_test().map(drop)
    }
}

pub fn for_build() -> Result<BuildTools> {
    announce();
    let toolchain = toolchain::ensure()?;
    let linker = linker::ensure(&toolchain)?;
    Ok(BuildTools { toolchain, linker })
}

pub fn for_test() -> Result<TestTools> {
    let build = for_build()?;
    programs::ensure_cargo_checkers()?;
    let kernels: Vec<&str> = KERNEL_VERSIONS
        .iter()
        .map(|(version, _)| *version)
        .collect();
    for_vm(&kernels)?;
    Ok(TestTools {
        build,
        go: go::ensure()?,
        promtool: programs::ensure_promtool()?,
        bpftool: ensure_bpftool()?,
    })
}

/// What a first start is going to do, and about how long each part takes on two cores.
fn announce() {
    let parts = [
        (toolchain::note(), "Rust for BPF (a download, 1 minute)"),
        (linker::path(), "bpf-linker (1 minute)"),
        (paths::target().join("bpf"), "the kernel side (1 minute)"),
        (
            paths::target().join("release/cache-agent"),
            "the agent (2 minutes)",
        ),
    ];
    let missing: Vec<&str> = parts
        .iter()
        .filter(|(made, _)| !made.exists())
        .map(|(_, part)| *part)
        .collect();
    if !missing.is_empty() {
        eprintln!("set-up: to be made, once: {}", missing.join(", "));
    }
}

fn found(thing: &str, what: &str) {
    eprintln!("set-up: {thing}: {what}");
}

fn installing(thing: &str, how: &str) {
    eprintln!("set-up: {thing}: missing, {how}");
}

/// The error's outermost sentence: what is missing, and what a person can do about it.
fn by_hand(thing: &str, instructions: &str) -> String {
    format!("set-up cannot get {thing} (by hand: {instructions})")
}
