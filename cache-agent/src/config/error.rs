//! What can be wrong with a configuration: one sentence each, with the place and what is allowed.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::maps::Maps;

/// The text being read and the name of its file.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The whole text.
    pub text: &'a str,
    /// Its file, for messages only.
    pub file: &'a Path,
}

impl Origin<'_> {
    /// Where a byte range of the text begins.
    pub fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File {
            file: self.file.to_path_buf(),
            line: before.matches('\n').count() + 1,
            column: before.chars().count()
                - before
                    .get(..line_start)
                    .map_or(0, |head| head.chars().count())
                + 1,
        }
    }
}

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

/// What is wrong with a value.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A root's name has a bad shape.
    #[error("`{0}` must have 1 to 64 characters, each a letter, a digit or one of _ . : / -")]
    NameShape(String),
    /// A root's name has a meaning of its own in the metrics.
    #[error("`{0}` is reserved for the roots that metrics fold together; choose another name")]
    NameReserved(String),
    /// Two roots of one name.
    #[error("another root is named `{0}` already; names must be unique")]
    NameTaken(String),
    /// A path that depends on the working directory.
    #[error("`{}` must be an absolute path", .0.display())]
    PathRelative(PathBuf),
    /// A path whose meaning depends on links on the way.
    #[error("`{}` must not contain `..`", .0.display())]
    PathParent(PathBuf),
    /// Two roots of one path.
    #[error("another root has the path {} already; paths must be unique", .0.display())]
    PathTaken(PathBuf),
    /// No such kind.
    #[error("`{0}` must be one of gobuild, gomod, other")]
    Kind(String),
    /// Zero bytes, or more than any file system holds.
    #[error("a size must be larger than 0 and below 8 EiB")]
    SizeRange,
    /// A share outside its range.
    #[error("a share must lie between 0 and 1 (0 % and 100 %), both excluded")]
    RatioRange,
    /// Not a socket address.
    #[error("`{0}` must be an IP address and a port such as 127.0.0.1:10435 or [::1]:10435")]
    Listen(String),
    /// Not a duration, or one out of range.
    #[error("`{0}` must be a duration from 1s to 30days such as 15min, 1h or 1h 30min")]
    Duration(String),
    /// Not an age, or one out of range.
    #[error("`{0}` must be a duration from 1h to 10years such as 24h, 90d or 1year")]
    Age(String),
    /// Too small to be of use, or absurd.
    #[error("the history needs a size from 16MiB to 1EiB")]
    HistorySize,
    /// Neither a duration nor off.
    #[error("`{0}` must be \"off\" or a duration from 1s to 30days such as 1m or 15min")]
    DurationOrOff(String),
    /// No such kernel map.
    #[error("`{0}` must be one of {list}", list = Maps::KEYS.join(", "))]
    MapName(String),
    /// Not a name and a size.
    #[error("`{0}` must be NAME=NUMBER")]
    MapShape(String),
    /// A kernel map too small or too large.
    #[error("a map must have from {0} to {1} entries")]
    MapSize(u32, u32),
    /// A ring that the kernel does not allow, or that is too large.
    #[error("the ring must be a power of two from 4KiB to 256MiB")]
    RingSize,
    /// Not the name of a program.
    #[error("`{0}` must be the name of a program, without its directory")]
    Command(String),
    /// Not a pattern.
    #[error("`{0}` must be a pattern of absolute paths such as /home/*/.cache/**")]
    Pattern(String),
    /// A list too long.
    #[error("at most {0} of them")]
    TooMany(usize),
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let origin = Origin {
            text: "a = 1\nä = 2\n",
            file: Path::new("x"),
        };
        let check =
            |start, expected: &str| assert_eq!(origin.place(&(start..start)).to_string(), expected);
        check(0, "x:1:1");
        check(4, "x:1:5");
        check(6, "x:2:1");
        check(8, "x:2:2");
        check(999, "x:3:1");
    }
}
