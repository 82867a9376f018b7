//! Whose caches are watched besides the roots that are named: `discover`.

use serde::Serialize;

use super::section::Keys;

/// Discovery of caches.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Discovery {
    /// Watch the caches of every user of the host too.
    #[serde(rename = "discover")]
    pub enabled: bool,
}

impl Default for Discovery {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Discovery {
    /// Whoever names roots has said what to watch, unless the file says more.
    pub(super) fn check(discover: Option<bool>, has_roots: bool) -> Self {
        Self {
            enabled: discover.unwrap_or(!has_roots),
        }
    }

    /// What differs in `new`.
    pub(super) fn difference(&self, new: &Self) -> Keys {
        Keys::differing([("discover", self == new)])
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
        let text = "discover = true\n[[root]]\npath = \"/a\"";
        let read = parse(text, Path::new("f")).unwrap().discovery;
        let expected = Discovery { enabled: true };
        assert_eq!(read, expected);
        let shown = json!({"discover": true});
        assert_eq!(serde_json::to_value(read).unwrap(), shown);
    }
}
