//! `run`: the daemon.

use anyhow::Result;

use super::args::RunArgs;

/// Runs until a signal ends it.
pub fn run(_args: &RunArgs) -> Result<()> {
    anyhow::bail!("later")
}
