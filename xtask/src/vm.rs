//! The VM matrix: the system tests on every supported kernel, under an emulator.
//!
//! Takes the kernels and file systems that set-up fetched and made, and the static test
//! executables; gives a verdict per kernel from the structured messages of the guest's init.

mod binaries;
mod initramfs;
mod machine;
mod matrix;
mod probe;
#[path = "../../tests/src/vm.rs"]
#[expect(
    unreachable_pub,
    reason = "this file belongs to the tests too, where it is public"
)]
mod protocol;
pub mod results;
mod table;
mod tell;

use std::fs::File;

use anyhow::{Context as _, Result};

pub(crate) use self::binaries::static_cargo;
use crate::{
    paths,
    setup::{self, KERNEL_VERSIONS},
};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Which kernel
    #[arg(long, default_value = "all", value_parser = ["6.1", "6.12", "7.2", "all"])]
    kernel: String,
    /// Only the passes with this backend
    #[arg(long, default_value = "all", value_parser = ["auto", "fentry", "tracepoint", "all"])]
    backend: String,
    /// Run this by the guest's shell instead of the tests
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Let the guest's clock count instructions, each as one nanosecond, on one emulated processor: with
    /// it, times that the kernel takes are numbers of instructions
    #[arg(long, requires = "command")]
    count_instructions: bool,
    /// Leave console log, results and initramfs in target/vm/run
    #[arg(long)]
    keep: bool,
    /// Put the table of the last runs into conformance.md instead
    #[arg(long, conflicts_with = "command")]
    table: bool,
    /// Only tests whose name contains one of these
    #[arg(last = true)]
    filters: Vec<String>,
}

impl Options {
    /// Whether passes with that backend are to be run.
    fn wants(&self, backend: &str) -> bool {
        [backend, "all"].contains(&self.backend.as_str())
    }
}

pub fn run(options: &Options) -> Result<()> {
    if options.table {
        return table::insert();
    }
    let versions: Vec<&str> = KERNEL_VERSIONS
        .iter()
        .map(|(version, _)| *version)
        .filter(|version| ["all", version].contains(&options.kernel.as_str()))
        .collect();
    let build = setup::for_build()?;
    let tools = setup::for_vm(&versions)?;
    let _alone = alone()?;
    matrix::run(options, &tools, &binaries::build(&build)?)
}

/// Waits for another run to end: the machines' folders are the same. Held until dropped.
fn alone() -> Result<File> {
    let path = paths::target().join("vm/lock");
    let lock = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    if lock.try_lock().is_err() {
        eprintln!("waiting for another `cargo xtask vm` to end");
        lock.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(lock)
}

/// The whole matrix, as part of all tests.
pub fn all() -> Result<()> {
    run(&Options {
        kernel: "all".to_owned(),
        backend: "all".to_owned(),
        command: None,
        keep: false,
        count_instructions: false,
        table: false,
        filters: Vec::new(),
    })
}
