//! Programs of the tests that benchmarks use.

use std::path::PathBuf;

use anyhow::Result;
use xtask::{
    command::{cargo, run},
    paths,
};

/// Builds it like the agent, optimised.
pub(super) fn build(name: &str) -> Result<PathBuf> {
    run(cargo()
        .args(["build", "--release", "--package", "cache-tests", "--bin"])
        .args([name, "--target-dir"])
        .arg(paths::target()))?;
    Ok(paths::target().join("release").join(name))
}
