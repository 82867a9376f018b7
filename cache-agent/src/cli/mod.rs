//! The command line: one file a verb, with its arguments and help.
//!
//! Takes: words. Gives: text on stdout, a reason on stderr, an exit status.

pub mod completions;
pub mod config;
pub mod history;
pub mod invocations;
pub mod log;
pub mod man;
pub mod run;
pub mod walk;
pub mod why;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::{
    model::exit_status,
    sys::arguments::Format,
    trace::{self, command::CommandError},
};

/// Attributes every byte of Go's caches to the process that wrote it.
#[derive(Debug, Parser)]
#[command(
    name = "cache-agent",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Exit status: 0 success, 1 failure, 2 wrong usage; `trace` has its own, see `trace --help`."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run one command and account for every byte by which it changes the caches
    Trace(trace::options::Options),
    /// Watch the caches of this host and serve metrics
    Run(run::RunArgs),
    /// List the invocations that the history remembers, newest first
    Invocations(invocations::InvocationsArgs),
    /// Tell, package by package, why an invocation compiled what it compiled
    Why(why::WhyArgs),
    /// Check or show the configuration
    Config(config::ConfigArgs),
    /// Measure one directory tree as the agent does
    #[command(hide = true)]
    Walk(walk::WalkArgs),
    /// Print the manual page
    #[command(hide = true)]
    Man,
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions(completions::CompletionsArgs),
}

impl Cli {
    /// Does what was asked; failures are told in one sentence on stderr.
    pub fn run(&self) -> ExitCode {
        let mut out = io::stdout().lock();
        let outcome = match &self.verb {
            Verb::Trace(options) => {
                // Its command writes there too.
                drop(out);
                return traced(options);
            }
            Verb::Run(args) => {
                drop(out);
                run::run(args)
            }
            Verb::Invocations(args) => invocations::run(args, &mut out),
            Verb::Why(args) => why::run(args, &mut out),
            Verb::Config(args) => config::run(args, &mut out),
            Verb::Walk(args) => walk::run(args, &mut out),
            Verb::Man => man::run(&mut out),
            Verb::Completions(args) => completions::run(args, &mut out),
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, exit_status::FAILURE),
        }
    }
}

fn traced(options: &trace::options::Options) -> ExitCode {
    log::start(Format::Text, log::LogLevel::Warn);
    match trace::run(options) {
        Ok(ended) => ExitCode::from(ended.code),
        Err(error) => {
            let status = error
                .downcast_ref::<CommandError>()
                .map_or(exit_status::TRACE_FAILURE, CommandError::status);
            fail(&error, status)
        }
    }
}

/// One sentence on stderr.
fn fail(error: &anyhow::Error, status: u8) -> ExitCode {
    eprintln!("cache-agent: {error:#}");
    ExitCode::from(status)
}

fn write(output: &mut impl Write, text: &str) -> anyhow::Result<()> {
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        // The reader has seen enough, as `head` has.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to stdout"),
    }
}

#[cfg(test)]
mod tests;
