//! Reference pages: what of them is made from the code. The agent's own unit tests know how, since they see
//! all of it, and are built for the tests anyway.

use anyhow::{Context as _, Result};

use crate::{
    command::{cargo, run as run_command},
    paths,
};

#[derive(Debug, clap::Args)]
pub struct Options {}

/// Writes them.
pub fn run(Options {}: &Options) -> Result<()> {
    pages(true)
}

/// An error if one is not what the code says.
pub(crate) fn check() -> Result<()> {
    pages(false).context("reference pages differ: `cargo xtask docs`")
}

fn pages(write: bool) -> Result<()> {
    // The packages are those of `cargo xtask test`: with others, features differ and all is built again.
    let mut command = cargo();
    command
        .args(["test", "--quiet", "--workspace", "--exclude", "cache-tests"])
        .arg("--target-dir")
        .arg(paths::target())
        .args(["--lib", "--"]);
    if write {
        // Not those that read all pages meanwhile.
        command.arg("documented").env("CACHE_AGENT_WRITE_DOCS", "1");
    } else {
        command.arg("reference::");
    }
    run_command(&mut command)
}
