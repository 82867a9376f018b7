//! `run`: the daemon.

use anyhow::{Context as _, Result};

use super::{args::RunArgs, log};
use crate::{
    config::checked::Overrides,
    daemon::{self, Source},
};

/// Runs until a signal ends it.
pub fn run(args: &RunArgs) -> Result<()> {
    log::start(args.log_format, args.log_level);
    let source = Source {
        file: args.config.clone(),
        overrides: Overrides {
            roots: args.roots.clone(),
            listen: args.listen,
            state_dir: args.state_dir.clone(),
        },
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(daemon::run(source, args.backend))
}
