//! How often the agent proves itself: `canary_interval`.

use std::time::Duration;

use serde::{Serialize, Serializer};
use toml::Spanned;

use super::{
    error::ConfigError,
    section::{Keys, Reader},
    values::{interval, show_duration},
};

/// A proof that is younger than anybody's next look, at a few system calls.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);

/// What switches it off.
const OFF: &str = "off";

/// The self-test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SelfTest {
    /// Time between two runs; `None` = off.
    #[serde(rename = "canary_interval", serialize_with = "show_interval")]
    pub interval: Option<Duration>,
}

impl Default for SelfTest {
    fn default() -> Self {
        Self {
            interval: Some(DEFAULT_INTERVAL),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` must be \"off\" or a duration from 1s to 30days such as 1m or 15min")]
struct NoInterval(String);

impl SelfTest {
    pub(super) fn check(
        self,
        canary_interval: Option<Spanned<String>>,
        reader: Reader<'_>,
    ) -> Result<Self, ConfigError> {
        let interval = reader.read("canary_interval", canary_interval, parse_interval)?;
        Ok(Self {
            interval: interval.unwrap_or(self.interval),
        })
    }

    /// What differs in `new`.
    pub(super) fn difference(&self, new: &Self) -> Keys {
        Keys::differing([("canary_interval", self == new)])
    }
}

fn parse_interval(text: String) -> Result<Option<Duration>, NoInterval> {
    match interval(&text) {
        None if text == OFF => Ok(None),
        None => Err(NoInterval(text)),
        found => Ok(found),
    }
}

#[expect(clippy::ref_option, reason = "serde hands over fields by reference")]
fn show_interval<S: Serializer>(
    interval: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match interval {
        Some(interval) => show_duration(interval, serializer),
        None => serializer.serialize_str(OFF),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::config::parse;

    #[test]
    fn the_canary_can_be_switched_off() {
        let interval = |text| parse(text, Path::new("f")).unwrap().self_test.interval;
        assert_eq!(interval(""), Some(Duration::from_mins(1)));
        assert_eq!(interval("canary_interval = \"off\""), None);
    }

    #[test]
    fn every_key_arrives() {
        let text = "canary_interval = \"10s\"";
        let read = parse(text, Path::new("f")).unwrap().self_test;
        let expected = SelfTest {
            interval: Some(Duration::from_secs(10)),
        };
        assert_eq!(read, expected);
        let shown = json!({"canary_interval": "10s"});
        assert_eq!(serde_json::to_value(read).unwrap(), shown);
    }
}
