//! From the text of the configuration to values the program can rely on, one file a section.
//!
//! Takes: a TOML file, or nothing. Gives: a [`Config`], whole or not at all. Never: looks at the directories it
//! names, or knows who asks.

pub mod difference;
pub mod discovery;
pub mod error;
mod fragment;
pub mod history;
pub mod invocations;
pub mod kernel_maps;
pub mod limits;
pub mod overrides;
pub mod reconcile;
pub mod roots;
pub mod section;
pub mod self_test;
pub mod server;
pub mod state;
mod values;

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use self::{
    discovery::Discovery,
    error::ConfigError,
    fragment::Fragment,
    history::{History, RawHistory},
    invocations::{Invocations, RawInvocations},
    kernel_maps::{Maps, RawMaps},
    limits::{RawThresholds, Thresholds},
    reconcile::Reconcile,
    roots::{RawRoot, RootConfig},
    section::Reader,
    self_test::SelfTest,
    server::Server,
    state::State,
};

/// Where the configuration is looked for when no file is named.
pub const DEFAULT_PATH: &str = "/etc/cache-agent/cache-agent.toml";

/// The checked configuration, section by section; serialized it is in the words of the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Config {
    /// The HTTP server; a change needs a restart.
    #[serde(flatten)]
    pub server: Server,
    /// Whether caches are found that nobody named.
    #[serde(flatten)]
    pub discovery: Discovery,
    /// Comparison of the ledger with the disk.
    #[serde(flatten)]
    pub reconcile: Reconcile,
    /// What outlives the agent.
    #[serde(flatten)]
    pub state: State,
    /// How the agent proves itself.
    #[serde(flatten)]
    pub self_test: SelfTest,
    /// What is remembered of the past.
    pub history: History,
    /// Sizes of kernel maps; a change needs a restart.
    #[serde(rename = "maps")]
    pub kernel_maps: Maps,
    /// Which commands are followed, and which caches they may add.
    pub invocations: Invocations,
    /// Thresholds of every discovered root.
    pub discovered: Thresholds,
    /// The roots named by their owner, in the order of the file; names and paths are unique.
    #[serde(rename = "root")]
    pub roots: Vec<RootConfig>,
}

/// What one fragment says: TOML types, no meaning yet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    listen: Option<Spanned<String>>,
    hosts: Option<Spanned<Vec<String>>>,
    discover: Option<bool>,
    walk_interval: Option<Spanned<String>>,
    state_dir: Option<Spanned<String>>,
    canary_interval: Option<Spanned<String>>,
    #[serde(default)]
    history: RawHistory,
    #[serde(default)]
    maps: RawMaps,
    #[serde(default)]
    invocations: RawInvocations,
    #[serde(default)]
    discovered: RawThresholds,
    #[serde(default, rename = "root")]
    roots: Vec<RawRoot>,
}

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
    check(&[Fragment { text, file }])
}

/// What a fragment says wins over what those before it said; roots of all of them are watched.
fn check(fragments: &[Fragment<'_>]) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    let mut discover = None;
    let mut roots = Vec::new();
    for fragment in fragments {
        let mut raw = fragment::parse(*fragment)?;
        let reader = Reader {
            fragment: *fragment,
        };
        discover = raw.discover.or(discover);
        roots.extend(raw.roots.drain(..).map(|root| (root, reader)));
        config = config.refined(raw, reader)?;
    }
    config.discovery = Discovery::check(discover, !roots.is_empty());
    config.roots = roots::check(roots)?;
    match fragments {
        [first, ..] if config.roots.is_empty() && !config.discovery.enabled => {
            Err(ConfigError::NothingToWatch {
                path: first.file.to_path_buf(),
            })
        }
        _ => Ok(config),
    }
}

impl Config {
    /// With what a fragment says, less what only all fragments together do.
    fn refined(self, raw: RawConfig, reader: Reader<'_>) -> Result<Self, ConfigError> {
        let RawConfig {
            listen,
            hosts,
            discover: _,
            walk_interval,
            state_dir,
            canary_interval,
            history,
            maps,
            invocations,
            discovered,
            roots: _,
        } = raw;
        Ok(Self {
            server: self.server.check(listen, hosts, reader)?,
            reconcile: self.reconcile.check(walk_interval, reader)?,
            state: self.state.check(state_dir, reader)?,
            history: self.history.check(history, reader)?,
            self_test: self.self_test.check(canary_interval, reader)?,
            kernel_maps: self.kernel_maps.check(maps, reader)?,
            invocations: self.invocations.check(invocations, reader)?,
            discovered: self.discovered.check(discovered, reader)?,
            discovery: self.discovery,
            roots: self.roots,
        })
    }
}

#[cfg(test)]
mod tests;
