//! The configuration the program runs on: every value checked, every default filled in.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;

use super::{
    error::{ConfigError, Origin, Place, Problem},
    following::{self, Following},
    history::{self, History},
    maps::Maps,
    raw::{RawConfig, RawFollowing, RawHistory, RawMaps, RawRoot, RawThresholds},
    values::{
        check_name, check_path, check_ratio, check_size, default_name, parse_directory,
        parse_interval, parse_interval_or_off, parse_listen,
    },
};
use crate::model::{
    root::{RootKind, UnknownKind},
    root_name::Names,
};

/// Port of the HTTP server: the exporters' range 9100-9999 is fully allocated.
pub const DEFAULT_PORT: u16 = 10435;

/// Often enough that drift is found the same day, rare enough that a million files cost nothing noticeable.
pub const DEFAULT_WALK_INTERVAL: Duration = Duration::from_hours(1);

/// Where systemd's `StateDirectory=cache-agent` is.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/cache-agent";

/// A proof that is younger than anybody's next look, at a few system calls.
pub const DEFAULT_CANARY_INTERVAL: Duration = Duration::from_mins(1);

/// What switches the self-test off.
pub const OFF: &str = "off";

/// The checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Address of the HTTP server.
    pub listen: SocketAddr,
    /// Watch the caches of every user of the host too.
    pub discover: bool,
    /// Time between two reconciling walks of a root.
    pub walk_interval: Duration,
    /// Directory for what outlives the agent; absolute.
    pub state_dir: PathBuf,
    /// What is remembered there.
    pub history: History,
    /// Time between two runs of the self-test; `None` = off.
    pub canary_interval: Option<Duration>,
    /// Sizes of kernel maps; a change needs a restart.
    pub maps: Maps,
    /// Which commands are followed, and which caches they may add.
    pub following: Following,
    /// Thresholds of every discovered root.
    pub discovered: Thresholds,
    /// The roots named by their owner, in the order of the file; names and paths are unique.
    pub roots: Vec<RootConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            discover: true,
            walk_interval: DEFAULT_WALK_INTERVAL,
            state_dir: DEFAULT_STATE_DIR.into(),
            history: History::default(),
            canary_interval: Some(DEFAULT_CANARY_INTERVAL),
            maps: Maps::default(),
            following: Following::default(),
            discovered: Thresholds::default(),
            roots: Vec::new(),
        }
    }
}

/// One root named by its owner.
#[derive(Clone, Debug, PartialEq)]
pub struct RootConfig {
    /// Unique; the metric label.
    pub name: String,
    /// Unique and absolute; may not exist yet.
    pub path: PathBuf,
    /// Recognised by its content when absent.
    pub kind: Option<RootKind>,
    /// When to tell.
    pub thresholds: Thresholds,
}

/// When to tell that a root needs attention; each is off when absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// Bytes; crossed when the root is at least this large.
    pub warn: Option<u64>,
    /// Crossed when the available share of the file system's space falls below.
    pub free_space: Option<f64>,
    /// Crossed when the available share of the file system's inodes falls below.
    pub free_inodes: Option<f64>,
}

/// Values of the command line that win over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Replace the file's roots and discovery when there are any; must be absolute.
    pub roots: Vec<PathBuf>,
    /// Replaces the file's address.
    pub listen: Option<SocketAddr>,
    /// Replaces the file's state directory; must be absolute.
    pub state_dir: Option<PathBuf>,
}

impl Config {
    /// The configuration with the command line's values in place.
    pub fn overridden(mut self, overrides: &Overrides) -> Result<Self, ConfigError> {
        let Overrides {
            roots,
            listen,
            state_dir,
        } = overrides;
        self.listen = listen.unwrap_or(self.listen);
        if let Some(state_dir) = state_dir {
            self.state_dir.clone_from(state_dir);
        }
        if !roots.is_empty() {
            self.discover = false;
            self.roots.clear();
            let mut names = Names::default();
            for path in roots {
                check_path(path, &self.roots).map_err(|problem| ConfigError::Value {
                    key: "--root",
                    place: Place::CommandLine,
                    problem,
                })?;
                let root = RootConfig {
                    name: names.derive(&default_name(path)),
                    path: path.clone(),
                    kind: None,
                    thresholds: Thresholds::default(),
                };
                self.roots.push(root);
            }
        }
        Ok(self)
    }
}

/// Turns the written configuration into a checked one.
pub(super) fn check(raw: RawConfig, origin: Origin<'_>) -> Result<Config, ConfigError> {
    let RawConfig {
        listen,
        discover,
        walk_interval,
        state_dir,
        history,
        canary_interval,
        maps,
        invocations,
        discovered,
        roots,
    } = raw;
    let defaults = Config::default();
    let reader = Reader { origin };
    let config = Config {
        listen: reader
            .read("listen", listen, |text| parse_listen(&text))?
            .unwrap_or(defaults.listen),
        // Whoever names roots has said what to watch.
        discover: discover.unwrap_or(roots.is_empty()),
        walk_interval: reader
            .read("walk_interval", walk_interval, |text| parse_interval(&text))?
            .unwrap_or(defaults.walk_interval),
        state_dir: reader
            .read("state_dir", state_dir, |text| parse_directory(&text))?
            .unwrap_or(defaults.state_dir),
        history: reader.history(history)?,
        canary_interval: reader
            .read("canary_interval", canary_interval, |text| {
                parse_interval_or_off(&text)
            })?
            .unwrap_or(defaults.canary_interval),
        maps: reader.maps(maps)?,
        following: reader.following(invocations)?,
        discovered: reader.thresholds(discovered)?,
        roots: reader.roots(roots)?,
    };
    if config.roots.is_empty() && !config.discover {
        return Err(ConfigError::NothingToWatch {
            path: origin.file.to_path_buf(),
        });
    }
    Ok(config)
}

/// Gives each problem the place of its value.
struct Reader<'a> {
    origin: Origin<'a>,
}

impl Reader<'_> {
    fn read<T, U>(
        &self,
        key: &'static str,
        value: Option<Spanned<T>>,
        parse: impl FnOnce(T) -> Result<U, Problem>,
    ) -> Result<Option<U>, ConfigError> {
        let Some(value) = value else { return Ok(None) };
        let place = self.origin.place(&value.span());
        parse(value.into_inner())
            .map(Some)
            .map_err(|problem| ConfigError::Value {
                key,
                place,
                problem,
            })
    }

    fn maps(&self, raw: RawMaps) -> Result<Maps, ConfigError> {
        let RawMaps {
            ring_bytes,
            open_files,
            files,
            accounts,
            processes,
            calls,
        } = raw;
        let mut maps = Maps::default();
        self.read("ring_bytes", ring_bytes, |size| {
            maps.set("ring_bytes", size.0)
        })?;
        for (key, value) in [
            ("open_files", open_files),
            ("files", files),
            ("accounts", accounts),
            ("processes", processes),
            ("calls", calls),
        ] {
            self.read(key, value, |entries| maps.set(key, entries))?;
        }
        Ok(maps)
    }

    fn following(&self, raw: RawFollowing) -> Result<Following, ConfigError> {
        let RawFollowing {
            commands,
            allow,
            deny,
        } = raw;
        let patterns = |texts: Vec<String>| following::check_patterns(&texts);
        Ok(Following {
            commands: self
                .read("commands", commands, following::check_commands)?
                .unwrap_or_default(),
            allow: self.read("allow", allow, patterns)?.unwrap_or_default(),
            deny: self.read("deny", deny, patterns)?.unwrap_or_default(),
        })
    }

    fn roots(&self, raw_roots: Vec<RawRoot>) -> Result<Vec<RootConfig>, ConfigError> {
        // Written names are taken first, so that a derived one never pushes one of them aside.
        let mut names = Names::default();
        for raw in &raw_roots {
            self.read("name", raw.name.clone(), |text| {
                check_name(&text, &mut names)
            })?;
        }
        let mut roots = Vec::with_capacity(raw_roots.len());
        for raw in raw_roots {
            let root = self.root(raw, &roots, &mut names)?;
            roots.push(root);
        }
        Ok(roots)
    }

    fn root(
        &self,
        raw: RawRoot,
        earlier: &[RootConfig],
        names: &mut Names,
    ) -> Result<RootConfig, ConfigError> {
        let RawRoot {
            name,
            path,
            kind,
            warn,
            free_space,
            free_inodes,
        } = raw;
        let place = self.origin.place(&path.span());
        let path = PathBuf::from(path.into_inner());
        check_path(&path, earlier).map_err(|problem| ConfigError::Value {
            key: "path",
            place,
            problem,
        })?;
        Ok(RootConfig {
            name: name.map_or_else(|| names.derive(&default_name(&path)), Spanned::into_inner),
            path,
            kind: self.read("kind", kind, |text| {
                text.parse()
                    .map_err(|UnknownKind(kind)| Problem::Kind(kind))
            })?,
            thresholds: self.thresholds(RawThresholds {
                warn,
                free_space,
                free_inodes,
            })?,
        })
    }

    fn history(&self, raw: RawHistory) -> Result<History, ConfigError> {
        let RawHistory {
            enabled,
            max_age,
            max_size,
        } = raw;
        let defaults = History::default();
        Ok(History {
            enabled: enabled.unwrap_or(defaults.enabled),
            max_age: self
                .read("max_age", max_age, |text| history::parse_age(&text))?
                .unwrap_or(defaults.max_age),
            max_size: self
                .read("max_size", max_size, |size| history::check_size(size.0))?
                .unwrap_or(defaults.max_size),
        })
    }

    fn thresholds(&self, raw: RawThresholds) -> Result<Thresholds, ConfigError> {
        let RawThresholds {
            warn,
            free_space,
            free_inodes,
        } = raw;
        Ok(Thresholds {
            warn: self.read("warn", warn, |size| check_size(size.0))?,
            free_space: self.read("free_space", free_space, |ratio| check_ratio(ratio.0))?,
            free_inodes: self.read("free_inodes", free_inodes, |ratio| check_ratio(ratio.0))?,
        })
    }
}

#[cfg(test)]
#[path = "checked_tests.rs"]
mod tests;
