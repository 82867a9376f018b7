//! `man` and `completions`: generated from the definition that parses.

use std::io::Write;

use anyhow::Context as _;
use clap::CommandFactory as _;

use super::args::{Cli, CompletionsArgs};

/// Writes the manual page: the program, then each verb.
pub fn man(output: &mut impl Write) -> anyhow::Result<()> {
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

/// Writes the completions of one shell.
pub fn completions(arguments: &CompletionsArgs, output: &mut impl Write) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "cache-agent",
        &mut script,
    );
    output.write_all(&script).context("cannot write to stdout")
}

fn render(command: clap::Command, output: &mut impl Write) -> anyhow::Result<()> {
    clap_mangen::Man::new(command)
        .render(output)
        .context("cannot write to stdout")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_generated() {
        let mut page = Vec::new();
        man(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(
            page.contains("cache\\-agent\\-trace") || page.contains("cache-agent-trace"),
            "{page}"
        );

        let mut script = Vec::new();
        completions(
            &CompletionsArgs {
                shell: clap_complete::Shell::Bash,
            },
            &mut script,
        )
        .unwrap();
        assert!(String::from_utf8(script).unwrap().contains("--log-format"));
    }
}
