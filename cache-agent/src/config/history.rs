//! How much of the past is kept.

use std::time::Duration;

use super::error::Problem;

/// A quarter: "did that job always grow so much?" can be answered.
const DEFAULT_MAX_AGE: Duration = Duration::from_hours(90 * 24);

/// Some 500,000 invocations.
const DEFAULT_MAX_SIZE: u64 = 512 << 20;

/// Below that there is no room for the write-ahead log.
const MIN_MAX_SIZE: u64 = 16 << 20;

/// More than any file system holds.
const MAX_MAX_SIZE: u64 = 1 << 60;

const MAX_MAX_AGE: Duration = Duration::from_hours(10 * 366 * 24);

/// What is remembered of the past.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Whether anything is.
    pub enabled: bool,
    /// Older records are removed.
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

pub(super) fn parse_age(text: &str) -> Result<Duration, Problem> {
    let allowed = Duration::from_hours(1)..=MAX_MAX_AGE;
    let age = humantime::parse_duration(text)
        .ok()
        .filter(|age| allowed.contains(age));
    age.ok_or_else(|| Problem::Age(text.to_owned()))
}

pub(super) fn check_size(bytes: u64) -> Result<u64, Problem> {
    if (MIN_MAX_SIZE..=MAX_MAX_SIZE).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(Problem::HistorySize)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
        let error = parse("state_dir = \"state\"", Path::new("f"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "invalid value of `state_dir` at f:1:13: `state` must be an absolute path"
        );
    }
}
