//! What the agent costs, measured in ways that each have a file here. A package of its own, so that building and
//! testing need not wait for what draws a chart.

mod agent;
mod compare;
mod cost;
mod eviction;
mod hooks;
mod json;
mod limits;
mod process;
mod programs;
mod report;
mod scale;
mod statistics;
mod store;
mod tests_program;
mod tree;
mod walk;
mod workload;
mod writers;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;
use xtask::command;

/// What the agent costs a cold `go build std`, and how fast it walks
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    bin_name = "cargo xtask bench",
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true
)]
#[group(skip)]
struct Options {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    cost: cost::Options,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Cold builds watched by nobody, by the agent, and by what one would use instead
    Compare(compare::Options),
    /// What each eviction policy has to compile again, by replay of look-up traces
    Eviction(eviction::Options),
    /// What an open costs at the agent's hooks, on top of an empty program
    Hooks(hooks::Options),
    /// What many processes and many files cost in memory
    Scale(scale::Options),
    /// How long a history of a million invocations takes to answer
    Store(store::Options),
    /// How fast many processes create files, without and with the agent
    Writers(writers::Options),
}

fn main() -> ExitCode {
    command::exit_code(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let needs_root = !matches!(options.what, Some(What::Eviction(_) | What::Store(_)));
    ensure!(
        !needs_root || command::is_root(),
        "the bench needs root, for the agent and for BPF statistics: `sudo -E cargo xtask bench`"
    );
    match &options.what {
        None => cost::run(&options.cost),
        Some(What::Compare(options)) => compare::run(options),
        Some(What::Eviction(options)) => eviction::run(options),
        Some(What::Hooks(options)) => hooks::run(options),
        Some(What::Scale(options)) => scale::run(options),
        Some(What::Store(options)) => store::run(options),
        Some(What::Writers(options)) => writers::run(options),
    }
}
