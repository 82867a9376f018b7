//! `run`: the daemon.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueHint};

use super::log::{self, LogLevel};
use crate::{
    config::checked::Overrides,
    daemon::{self, Source},
    kernel::hooks::Choice,
    sys::arguments::{Format, absolute_path},
};

/// `run`
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct RunArgs {
    /// Configuration [default: /etc/cache-agent/cache-agent.toml if it exists, else built-in]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Watch this directory instead of the configured and discovered roots (repeatable)
    #[arg(long = "root", value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = absolute_path())]
    pub roots: Vec<PathBuf>,
    /// Serve metrics on this address and port instead of the configured one
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Keep the history in this directory instead of the configured one
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = absolute_path())]
    pub state_dir: Option<PathBuf>,
    /// Form of the log lines on stderr
    #[arg(long, value_enum, default_value_t)]
    pub log_format: Format,
    /// Least important log lines to write
    #[arg(long, value_enum, default_value_t)]
    pub log_level: LogLevel,
    /// Kernel hooks to use
    #[arg(long, value_enum, default_value_t)]
    pub backend: Choice,
}

const HELP: &str = "\
Examples:
  cache-agent run
  cache-agent run --root /srv/ci/go-build --listen 127.0.0.1:9000
  cache-agent run --config ./agent.toml --log-format json

Signals: SIGTERM and SIGINT settle and end it with status 0, SIGHUP loads the configuration again.
Exit status: 0 after a signal, 1 when it cannot start or go on, 2 on wrong usage.";

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
