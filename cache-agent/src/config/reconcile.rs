//! How often the ledger is compared with the disk: `walk_interval`.

use std::time::Duration;

use serde::Serialize;
use toml::Spanned;

use super::{
    error::ConfigError,
    section::{Keys, Reader},
    values::{interval, show_duration},
};

/// Often enough that drift is found the same day, rare enough that a million files cost nothing noticeable.
const DEFAULT_WALK_INTERVAL: Duration = Duration::from_hours(1);

/// Comparison with the disk.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reconcile {
    /// Time between two reconciling walks of a root.
    #[serde(serialize_with = "show_duration")]
    pub walk_interval: Duration,
}

impl Default for Reconcile {
    fn default() -> Self {
        Self {
            walk_interval: DEFAULT_WALK_INTERVAL,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` must be a duration from 1s to 30days such as 15min, 1h or 1h 30min")]
struct NoInterval(String);

impl Reconcile {
    pub(super) fn check(
        self,
        walk_interval: Option<Spanned<String>>,
        reader: Reader<'_>,
    ) -> Result<Self, ConfigError> {
        let walk_interval = reader.read("walk_interval", walk_interval, |text| {
            interval(&text).ok_or(NoInterval(text))
        })?;
        Ok(Self {
            walk_interval: walk_interval.unwrap_or(self.walk_interval),
        })
    }

    /// What differs in `new`.
    pub(super) fn difference(&self, new: &Self) -> Keys {
        Keys::differing([("walk_interval", self == new)])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::config::parse;

    #[test]
    fn every_key_arrives() {
        let text = "walk_interval = \"90s\"";
        let read = parse(text, Path::new("f")).unwrap().reconcile;
        let expected = Reconcile {
            walk_interval: Duration::from_secs(90),
        };
        assert_eq!(read, expected);
        let shown = json!({"walk_interval": "1m 30s"});
        assert_eq!(serde_json::to_value(read).unwrap(), shown);
    }
}
