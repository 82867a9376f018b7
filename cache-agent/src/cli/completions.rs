//! `completions`: generated from the definition that parses.

use std::io::Write;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};

use super::Cli;

/// `completions`
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Writes the completions of one shell.
pub fn run(arguments: &CompletionsArgs, output: &mut impl Write) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "cache-agent",
        &mut script,
    );
    output.write_all(&script).context("cannot write to stdout")
}
