//! What CI refuses: formatting, lints, project rules, reference pages, dependency policy.

use anyhow::{Context as _, Result};

use crate::{
    command::{cargo, program, run as run_command},
    docs, paths,
    setup::ensure_cargo_deny,
    tidy,
};

#[derive(Debug, clap::Args)]
pub struct Options {}

pub fn run(Options {}: &Options) -> Result<()> {
    run_command(cargo().args(["fmt", "--all", "--check"]))
        .context("formatting differs: `cargo fmt --all`")?;
    tidy::run(&tidy::Options {})?;
    run_command(
        cargo()
            .args(["clippy", "--quiet", "--workspace", "--all-targets"])
            .arg("--target-dir")
            .arg(paths::target())
            .args(["--", "-D", "warnings"]),
    )?;
    docs::check()?;
    // Advisories are left to CI: they need a database from the network, and change without a
    // commit.
    run_command(
        program(ensure_cargo_deny()?)
            .current_dir(paths::root())
            .args(["check", "--hide-inclusion-graph"])
            .args(["bans", "licenses", "sources"]),
    )
}
