//! Programs of the tests that benchmarks use.

use std::path::PathBuf;

use anyhow::Result;
use xtask::{
    build::Profile,
    command::{cargo, run},
    paths,
};

/// Builds it like the agent, optimised.
pub(super) fn build(name: &str) -> Result<PathBuf> {
    run(cargo()
        .args(["build", "--profile", Profile::Dist.name()])
        .args(["--package", "cache-tests", "--bin", name])
        .arg("--target-dir")
        .arg(paths::target()))?;
    Ok(paths::target().join(Profile::Dist.name()).join(name))
}
