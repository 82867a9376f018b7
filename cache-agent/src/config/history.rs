//! How much of the past is kept: `[history]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{
    error::ConfigError,
    section::{Keys, Reader},
    values::{Size, show_duration},
};

/// A quarter: "did that job always grow so much?" can be answered.
const DEFAULT_MAX_AGE: Duration = Duration::from_hours(90 * 24);

/// Some 500,000 invocations.
const DEFAULT_MAX_SIZE: u64 = 512 << 20;

/// Below that there is no room for the write-ahead log.
const MIN_MAX_SIZE: u64 = 16 << 20;

/// More than any file system holds.
const MAX_MAX_SIZE: u64 = 1 << 60;

const MAX_MAX_AGE: Duration = Duration::from_hours(10 * 366 * 24);

/// `[history]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHistory {
    enabled: Option<bool>,
    max_age: Option<Spanned<String>>,
    max_size: Option<Spanned<Size>>,
}

/// What is remembered of the past.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct History {
    /// Whether anything is.
    pub enabled: bool,
    /// Older records are removed.
    #[serde(serialize_with = "show_duration")]
    pub max_age: Duration,
    /// The oldest records are removed beyond that size of the database, in bytes.
    pub max_size: u64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            enabled: true,
            max_age: DEFAULT_MAX_AGE,
            max_size: DEFAULT_MAX_SIZE,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum OutOfRange {
    #[error("`{0}` must be a duration from 1h to 10years such as 24h, 90d or 1year")]
    Age(String),
    #[error("the history needs a size from 16MiB to 1EiB")]
    Size,
}

impl History {
    pub(super) fn check(self, raw: RawHistory, reader: Reader<'_>) -> Result<Self, ConfigError> {
        let RawHistory {
            enabled,
            max_age,
            max_size,
        } = raw;
        Ok(Self {
            enabled: enabled.unwrap_or(self.enabled),
            max_age: reader
                .read("max_age", max_age, check_age)?
                .unwrap_or(self.max_age),
            max_size: reader
                .read("max_size", max_size, check_size)?
                .unwrap_or(self.max_size),
        })
    }

    /// What differs in `new`.
    pub(super) fn difference(&self, new: &Self) -> Keys {
        Keys::differing([("history", self == new)])
    }
}

fn check_age(text: String) -> Result<Duration, OutOfRange> {
    let allowed = Duration::from_hours(1)..=MAX_MAX_AGE;
    let age = humantime::parse_duration(&text)
        .ok()
        .filter(|age| allowed.contains(age));
    age.ok_or(OutOfRange::Age(text))
}

fn check_size(Size(bytes): Size) -> Result<u64, OutOfRange> {
    if (MIN_MAX_SIZE..=MAX_MAX_SIZE).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(OutOfRange::Size)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::config::parse;

    #[test]
    fn values_out_of_range_are_refused() {
        for (line, expected) in [
            (
                "max_age = \"59min\"",
                "invalid value of `max_age` at f:2:11: `59min` must be a duration from 1h to 10years such as 24h, 90d or 1year",
            ),
            (
                "max_age = \"soon\"",
                "invalid value of `max_age` at f:2:11: `soon` must be a duration from 1h to 10years such as 24h, 90d or 1year",
            ),
            (
                "max_size = \"15MiB\"",
                "invalid value of `max_size` at f:2:12: the history needs a size from 16MiB to 1EiB",
            ),
            (
                "max_size = \"2EiB\"",
                "invalid value of `max_size` at f:2:12: the history needs a size from 16MiB to 1EiB",
            ),
            (
                "maxage = 1",
                "unknown key `maxage` at f:2:1 in [history]; did you mean `max_age`?",
            ),
        ] {
            let text = format!("[history]\n{line}\n");
            let error = parse(&text, Path::new("f")).unwrap_err().to_string();
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn every_key_arrives() {
        let text = "[history]\nenabled = false\nmax_age = \"7d\"\nmax_size = \"64MiB\"\n";
        let read = parse(text, Path::new("f")).unwrap().history;
        let expected = History {
            enabled: false,
            max_age: Duration::from_hours(7 * 24),
            max_size: 64 << 20,
        };
        assert_eq!(read, expected);
        let shown = json!({"enabled": false, "max_age": "7d", "max_size": 67_108_864});
        assert_eq!(serde_json::to_value(read).unwrap(), shown);
    }
}
