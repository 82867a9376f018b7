//! `cache-agent`: parse, dispatch, exit status.

use std::process::ExitCode;

use cache_agent::{
    cli::{
        self,
        args::{Cli, Format, LogLevel, Verb},
        exit,
    },
    trace::{self, command::CommandError},
};
use clap::Parser as _;

fn main() -> ExitCode {
    let verb = Cli::parse().verb;
    let mut out = std::io::stdout().lock();
    let outcome = match &verb {
        Verb::Trace(args) => {
            drop(out);
            return traced(args);
        }
        Verb::Run(args) => {
            drop(out);
            cli::run::run(args)
        }
        Verb::Invocations(args) => cli::invocations::run(args, &mut out),
        Verb::Config(args) => cli::config::run(args, &mut out),
        Verb::Walk(args) => cli::walk::run(args, &mut out),
        Verb::Man => cli::man::man(&mut out),
        Verb::Completions(args) => cli::man::completions(args, &mut out),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, exit::FAILURE),
    }
}

fn traced(args: &cli::args::TraceArgs) -> ExitCode {
    cli::log::start(Format::Text, LogLevel::Warn);
    match trace::run(args) {
        Ok(ended) => ExitCode::from(ended.code),
        Err(error) => {
            let status = error
                .downcast_ref::<CommandError>()
                .map_or(exit::TRACE_FAILURE, CommandError::status);
            fail(&error, status)
        }
    }
}

/// One sentence on stderr.
fn fail(error: &anyhow::Error, status: u8) -> ExitCode {
    eprintln!("cache-agent: {error:#}");
    ExitCode::from(status)
}
