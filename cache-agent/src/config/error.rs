//! What can be wrong with a configuration: one sentence each, with the place and what is allowed.

use std::{error::Error, fmt, io, path::PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// A position in a file; line and column count from 1, columns in characters.
    File {
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An argument of the command.
    CommandLine,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => {
                write!(formatter, "{}:{line}:{column}", file.display())
            }
            Self::CommandLine => formatter.write_str("the command line"),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said; part of the sentence, so not a `source` that is printed again.
        cause: io::Error,
    },
    /// The text is not TOML.
    #[error("invalid TOML at {place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser said.
        message: String,
    },
    /// A key that means nothing.
    #[error(transparent)]
    UnknownKey(Box<UnknownKey>),
    /// A key that must be there.
    #[error("missing key `{key}` at {place} in {table}")]
    MissingKey {
        /// The key.
        key: String,
        /// Where its table is.
        place: Place,
        /// The table, as it would be written.
        table: String,
    },
    /// A value of the wrong TOML type, or one its own reader refuses.
    #[error("invalid value of `{key}` at {place}: {message}")]
    Type {
        /// The key.
        key: String,
        /// Where the value is.
        place: Place,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// A well-formed value that cannot be used.
    #[error("invalid value of `{key}` at {place}: {problem}")]
    Value {
        /// The key or option.
        key: &'static str,
        /// Where the value is.
        place: Place,
        /// What is wrong and what is allowed.
        problem: Problem,
    },
    /// Discovery is off and no root is named.
    #[error("nothing to watch in {}: name at least one [[root]] or set `discover = true`", path.display())]
    NothingToWatch {
        /// The file.
        path: PathBuf,
    },
}

/// What is wrong with a value; each section has its own list.
pub type Problem = Box<dyn Error + Send + Sync>;

/// A key that means nothing in its table.
#[derive(Debug, thiserror::Error)]
#[error("unknown key `{key}` at {place} in {table}; {}", self.advice())]
pub struct UnknownKey {
    /// The key as written.
    pub key: String,
    /// Where it is.
    pub place: Place,
    /// The table it is in, as it would be written.
    pub table: String,
    /// The valid key that looks most like it.
    pub nearest: Option<String>,
    /// All valid keys of that table.
    pub allowed: Vec<String>,
}

impl UnknownKey {
    fn advice(&self) -> String {
        match &self.nearest {
            Some(key) => format!("did you mean `{key}`?"),
            None => format!("allowed are {}", self.allowed.join(", ")),
        }
    }
}
