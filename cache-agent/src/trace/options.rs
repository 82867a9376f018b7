//! What `trace` is asked for.

use std::{convert::Infallible, ffi::OsString, path::PathBuf, str::FromStr};

use clap::{
    Args, ValueHint,
    builder::{PathBufValueParser, TypedValueParser},
};

use crate::{
    config::{
        error::Problem,
        maps::{MapSize, Maps},
    },
    kernel::hooks::Choice,
    sys::arguments::{Format, absolute_path},
};

/// `trace`
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
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

impl Options {
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

const HELP: &str = "\
Examples:
  cache-agent trace -- go build ./...
  cache-agent trace --json report.json -- make test
  cache-agent trace --root /srv/ci/go-build --events -- sh build.sh

Exit status: the command's own, 128+n when signal n ended it, 125 when the agent failed,
126 when the command cannot be executed, 127 when it is not found, 2 on wrong usage.";

/// Where a report goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// `-`
    Stdout,
    /// A file to create or replace.
    File(PathBuf),
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

fn output() -> impl TypedValueParser<Value = Output> {
    PathBufValueParser::new().map(|path| {
        if path.as_os_str() == "-" {
            Output::Stdout
        } else {
            Output::File(path)
        }
    })
}
