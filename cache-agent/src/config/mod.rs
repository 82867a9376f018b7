//! From the text of the configuration file to values the program can rely on.
//!
//! Takes: a TOML file, or nothing. Gives: a [`checked::Config`], whole or not at all.
//! Never: looks at the directories it names, or knows who asks.

pub mod checked;
pub mod diff;
pub mod error;
pub mod following;
pub mod history;
pub mod maps;
pub mod raw;
mod values;

use std::fs;
use std::io;
use std::path::Path;

use self::{checked::Config, error::ConfigError};

/// Where the configuration is looked for when no file is named.
pub const DEFAULT_PATH: &str = "/etc/cache-agent/cache-agent.toml";

/// Reads and checks a configuration.
///
/// `None` means [`DEFAULT_PATH`]; when that file is absent the built-in defaults apply. A file
/// that is named must exist.
pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    let file = path.unwrap_or(Path::new(DEFAULT_PATH));
    match fs::read_to_string(file) {
        Ok(text) => parse(&text, file),
        Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => {
            Ok(Config::default())
        }
        Err(cause) => Err(ConfigError::Read {
            path: file.to_path_buf(),
            cause,
        }),
    }
}

/// Checks the text of a configuration; `file` is only what errors call it.
pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
    let origin = error::Origin { text, file };
    checked::check(raw::parse(origin)?, origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_file_must_exist() {
        let error = load(Some(Path::new("/nonexistent/agent.toml")))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("cannot read configuration /nonexistent/agent.toml: "),
            "{error}"
        );
    }

    #[test]
    fn packaged_file_spells_out_the_defaults() {
        let text = include_str!("../../dist/cache-agent.toml");
        let file = Path::new("cache-agent.toml");
        assert_eq!(parse(text, file).unwrap(), Config::default());
        // Every commented example must be valid too: strip one `#` where a key or table follows.
        let enabled: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with([' ', '#']) => rest,
                _ => line,
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let config = parse(&enabled, file).unwrap();
        assert_eq!(config.roots.len(), 1);
        assert!(
            config
                .roots
                .iter()
                .all(|root| root.thresholds.warn.is_some())
        );
    }
}
