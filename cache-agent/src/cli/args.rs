//! The command line: what each verb takes, checked as far as that needs nothing but the text.

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Component, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::{
    config::{
        error::Problem,
        maps::{MapSize, Maps},
    },
    kernel::hooks::Choice,
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
    Trace(TraceArgs),
    /// Watch the caches of this host and serve metrics
    Run(RunArgs),
    /// List the invocations that the history remembers, newest first
    Invocations(InvocationsArgs),
    /// Check or show the configuration
    Config(ConfigArgs),
    /// Measure one directory tree as the agent does
    #[command(hide = true)]
    Walk(WalkArgs),
    /// Print the manual page
    #[command(hide = true)]
    Man,
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions(CompletionsArgs),
}

/// `trace`
#[derive(Args, Debug)]
#[command(after_help = TRACE_HELP)]
pub struct TraceArgs {
    /// Watch this directory instead of the command's GOCACHE and GOMODCACHE (repeatable)
    #[arg(long = "root", value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = absolute_path())]
    pub roots: Vec<PathBuf>,
    /// Write the report as one JSON document to FILE, or to stdout after the command's output
    #[arg(long, value_name = "FILE|-", value_hint = ValueHint::FilePath, value_parser = output())]
    pub json: Option<Output>,
    /// Print one line per file operation to stderr while the command runs
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub events: Option<Format>,
    /// Run the command as this user (default: the one who called sudo)
    #[arg(long, value_name = "NAME|UID")]
    pub user: Option<UserName>,
    /// Leave the history alone: neither look for causes in it nor add to it
    #[arg(long)]
    pub no_store: bool,
    /// The history is in this directory instead of the configured one
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = absolute_path())]
    pub state_dir: Option<PathBuf>,
    /// Kernel hooks to use
    #[arg(long, value_enum, default_value_t)]
    pub backend: Choice,
    /// Size of a kernel map, as in [maps] of the configuration (repeatable)
    #[arg(long = "map", value_name = "NAME=NUMBER")]
    pub maps: Vec<MapSize>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

impl TraceArgs {
    /// Sizes of the kernel maps.
    pub fn maps(&self) -> Result<Maps, Problem> {
        /// A command that does nothing but make files has 300,000 events a second, of 200 bytes, and a trace
        /// looks at the ring a hundred times a second: this is room for six looks that come late.
        const RING_BYTES: u32 = 4 << 20;
        let mut maps = Maps {
            ring_bytes: RING_BYTES,
            ..Maps::default()
        };
        for MapSize { key, value } in &self.maps {
            maps.set(key, *value)?;
        }
        Ok(maps)
    }
}

const TRACE_HELP: &str = "\
Examples:
  cache-agent trace -- go build ./...
  cache-agent trace --json report.json -- make test
  cache-agent trace --root /srv/ci/go-build --events -- sh build.sh

Exit status: the command's own, 128+n when signal n ended it, 125 when the agent failed,
126 when the command cannot be executed, 127 when it is not found, 2 on wrong usage.";

/// `run`
#[derive(Args, Debug)]
#[command(after_help = RUN_HELP)]
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

const RUN_HELP: &str = "\
Examples:
  cache-agent run
  cache-agent run --root /srv/ci/go-build --listen 127.0.0.1:9000
  cache-agent run --config ./agent.toml --log-format json

Signals: SIGTERM and SIGINT settle and end it with status 0, SIGHUP loads the configuration again.
Exit status: 0 after a signal, 1 when it cannot start or go on, 2 on wrong usage.";

/// `invocations`
#[derive(Args, Debug)]
#[command(after_help = INVOCATIONS_HELP)]
pub struct InvocationsArgs {
    /// Only those that started within this time, such as 90min, 24h or 7d
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub since: Option<Duration>,
    /// Only those that changed this root, named as in the metrics or by its path
    #[arg(long, value_name = "NAME|DIR")]
    pub root: Option<String>,
    /// Only those of this module
    #[arg(long, value_name = "MODULE")]
    pub module: Option<String>,
    /// At most so many, the newest ones
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// As one JSON document instead of a table
    #[arg(long)]
    pub json: bool,
    /// Configuration that says where the history is [default: /etc/cache-agent/cache-agent.toml if it exists]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// The history is in this directory instead of the configured one
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = absolute_path())]
    pub state_dir: Option<PathBuf>,
}

const INVOCATIONS_HELP: &str = "\
Examples:
  cache-agent invocations
  cache-agent invocations --since 24h --root ci --limit 200
  cache-agent invocations --module example.com/shop --json

HITS is the share of look-ups in build caches that found an entry; - stands for none.
EXIT is - for what still runs, or whose end was not seen.
Needs no privilege but to read the history.

Exit status: 0 success, 1 when there is no history or it cannot be read, 2 on wrong usage.";

/// `config`
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub verb: ConfigVerb,
}

/// What can be done with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print OK, or what is wrong with the configuration
    #[command(
        after_help = "Examples:\n  cache-agent config check\n  cache-agent config check ./agent.toml\n\n\
                            Exit status: 0 if it can be used, 1 if not, 2 on wrong usage."
    )]
    Check {
        /// Configuration [default: /etc/cache-agent/cache-agent.toml if it exists, else built-in]
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
    /// Print the configuration in effect, with all defaults filled in
    #[command(
        after_help = "Examples:\n  cache-agent config show\n  cache-agent config show --json ./agent.toml\n\n\
                            Exit status: 0 if it can be used, 1 if not, 2 on wrong usage."
    )]
    Show {
        /// Configuration [default: /etc/cache-agent/cache-agent.toml if it exists, else built-in]
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        /// As JSON instead of TOML
        #[arg(long)]
        json: bool,
    },
}

/// `walk`
#[derive(Args, Debug)]
pub struct WalkArgs {
    /// Directory
    #[arg(value_name = "ROOT", value_hint = ValueHint::DirPath, value_parser = absolute_path())]
    pub root: PathBuf,
    /// As JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// `completions`
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Where a report goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// `-`
    Stdout,
    /// A file to create or replace.
    File(PathBuf),
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// Least important log lines to write.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum LogLevel {
    /// Data was lost or someone must act
    Error,
    /// Degraded but whole
    Warn,
    /// Changes of state
    #[default]
    Info,
    /// What the agent does
    Debug,
    /// Everything
    Trace,
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// A user as named on the command line; whether there is such a user is another question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UserName {
    /// A number.
    Uid(u32),
    /// Anything else.
    Name(String),
}

impl FromStr for UserName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text
            .parse()
            .map_or_else(|_not_a_number| Self::Name(text.to_owned()), Self::Uid))
    }
}

/// Relative paths mean what they mean where the command is typed.
fn absolute_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        let path = std::path::absolute(path)?;
        // Only the file system knows what `..` means behind a link.
        if path
            .components()
            .any(|component| component == Component::ParentDir)
        {
            path.canonicalize()
        } else {
            Ok(path)
        }
    })
}

fn output() -> impl TypedValueParser<Value = Output> {
    PathBufValueParser::new().map(|path| {
        if path.as_os_str() == "-" {
            Output::Stdout
        } else {
            Output::File(path)
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

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
        let line = "cache-agent trace --root /a --root b --json - --events=json --user 7 -- go build --json x";
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
}
