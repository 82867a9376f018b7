use std::path::PathBuf;

use clap::{CommandFactory as _, error::ErrorKind};

use super::*;
use crate::{
    cli::{completions::CompletionsArgs, log::LogLevel},
    kernel::hooks::Choice,
    trace::options::{Output, UserName},
};

fn parse(line: &str) -> Result<Verb, ErrorKind> {
    Cli::try_parse_from(line.split_whitespace())
        .map(|cli| cli.verb)
        .map_err(|error| error.kind())
}

#[test]
fn definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn trace_takes_options_before_the_command_only() {
    let line =
        "cache-agent trace --root /a --root b --json - --events=json --user 7 -- go build --json x";
    let Ok(Verb::Trace(args)) = parse(line) else {
        panic!("{line}")
    };
    let here = std::env::current_dir().unwrap();
    assert_eq!(args.roots, [PathBuf::from("/a"), here.join("b")]);
    assert_eq!(args.json, Some(Output::Stdout));
    assert_eq!(args.events, Some(Format::Json));
    assert_eq!(args.user, Some(UserName::Uid(7)));
    assert_eq!(args.command, ["go", "build", "--json", "x"]);
}

#[test]
fn events_without_value_are_text_and_do_not_swallow_the_command() {
    let Ok(Verb::Trace(args)) = parse("cache-agent trace --events --user bob go build") else {
        panic!("trace")
    };
    assert_eq!(args.events, Some(Format::Text));
    assert_eq!(args.user, Some(UserName::Name("bob".to_owned())));
    assert_eq!(args.command, ["go", "build"]);
}

#[test]
fn run_has_defaults() {
    let Ok(Verb::Run(args)) = parse("cache-agent run --listen [::1]:5") else {
        panic!("run")
    };
    assert_eq!(args.listen, Some("[::1]:5".parse().unwrap()));
    assert_eq!(
        (args.log_format, args.log_level, args.backend),
        (Format::Text, LogLevel::Info, Choice::Auto)
    );
    assert!(args.roots.is_empty() && args.config.is_none());
}

#[test]
fn wrong_usage() {
    for (line, kind) in [
        (
            "cache-agent",
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
        ),
        ("cache-agent trce", ErrorKind::InvalidSubcommand),
        ("cache-agent trace", ErrorKind::MissingRequiredArgument),
        (
            "cache-agent trace --backend magic -- x",
            ErrorKind::InvalidValue,
        ),
        ("cache-agent trace --root= -- x", ErrorKind::InvalidValue),
        (
            "cache-agent trace --root no/../such -- x",
            ErrorKind::ValueValidation,
        ),
        (
            "cache-agent run --listen localhost",
            ErrorKind::ValueValidation,
        ),
        ("cache-agent run extra", ErrorKind::UnknownArgument),
        (
            "cache-agent config",
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
        ),
    ] {
        assert_eq!(parse(line).unwrap_err(), kind, "{line}");
    }
}

#[test]
fn both_are_generated() {
    let mut page = Vec::new();
    man::run(&mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(
        page.contains("cache\\-agent\\-trace") || page.contains("cache-agent-trace"),
        "{page}"
    );

    let mut script = Vec::new();
    let bash = CompletionsArgs {
        shell: clap_complete::Shell::Bash,
    };
    completions::run(&bash, &mut script).unwrap();
    assert!(String::from_utf8(script).unwrap().contains("--log-format"));
}
