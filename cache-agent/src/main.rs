//! `cache-agent`: parse, do, exit.

use std::process::ExitCode;

use cache_agent::cli::Cli;
use clap::Parser as _;

fn main() -> ExitCode {
    Cli::parse().run()
}
