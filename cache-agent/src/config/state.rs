//! Where what outlives the agent is kept: `state_dir`.

use std::path::PathBuf;

use serde::Serialize;
use toml::Spanned;

use super::{
    error::ConfigError,
    section::{Keys, Reader},
    values::directory,
};

/// Where systemd's `StateDirectory=cache-agent` is.
const DEFAULT_STATE_DIR: &str = "/var/lib/cache-agent";

/// What outlives the agent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct State {
    /// Its directory; absolute.
    #[serde(rename = "state_dir")]
    pub directory: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        Self {
            directory: DEFAULT_STATE_DIR.into(),
        }
    }
}

impl State {
    pub(super) fn check(
        self,
        state_dir: Option<Spanned<String>>,
        reader: Reader<'_>,
    ) -> Result<Self, ConfigError> {
        let state_dir = reader.read("state_dir", state_dir, directory)?;
        Ok(Self {
            directory: state_dir.unwrap_or(self.directory),
        })
    }

    /// What differs in `new`.
    pub(super) fn difference(&self, new: &Self) -> Keys {
        Keys::differing([("state_dir", self == new)])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::config::parse;

    #[test]
    fn the_directory_is_absolute() {
        let parsed = parse("state_dir = \"state\"", Path::new("f"));
        assert_eq!(
            parsed.unwrap_err().to_string(),
            "invalid value of `state_dir` at f:1:13: `state` must be an absolute path"
        );
    }

    #[test]
    fn every_key_arrives() {
        let text = "state_dir = \"/srv/state\"";
        let read = parse(text, Path::new("f")).unwrap().state;
        let expected = State {
            directory: "/srv/state".into(),
        };
        assert_eq!(read, expected);
        let shown = json!({"state_dir": "/srv/state"});
        assert_eq!(serde_json::to_value(read).unwrap(), shown);
    }
}
