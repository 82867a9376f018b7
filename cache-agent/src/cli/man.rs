//! `man`: generated from the definition that parses.

use std::io::Write;

use anyhow::Context as _;
use clap::CommandFactory as _;

use super::Cli;

/// Writes the manual page: the program, then each verb.
pub fn run(output: &mut impl Write) -> anyhow::Result<()> {
    let mut command = Cli::command();
    command.build();
    render(command.clone(), output)?;
    for verb in command
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
    {
        render(verb.clone(), output)?;
    }
    Ok(())
}

fn render(command: clap::Command, output: &mut impl Write) -> anyhow::Result<()> {
    clap_mangen::Man::new(command)
        .render(output)
        .context("cannot write to stdout")
}
