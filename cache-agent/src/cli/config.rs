//! `config check` and `config show`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use super::write;
use crate::{
    config::{
        self,
        checked::{Config, OFF, RootConfig, Thresholds},
        following::Following,
        history::History,
        maps::Maps,
    },
    model::root::RootKind,
};

/// `config`
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub verb: ConfigVerb,
}

/// What can be done with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print OK, or what is wrong with the configuration
    #[command(
        after_help = "Examples:\n  cache-agent config check\n  cache-agent config check ./agent.toml\n\n\
                            Exit status: 0 if it can be used, 1 if not, 2 on wrong usage."
    )]
    Check {
        /// Configuration [default: /etc/cache-agent/cache-agent.toml if it exists, else built-in]
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
    /// Print the configuration in effect, with all defaults filled in
    #[command(
        after_help = "Examples:\n  cache-agent config show\n  cache-agent config show --json ./agent.toml\n\n\
                            Exit status: 0 if it can be used, 1 if not, 2 on wrong usage."
    )]
    Show {
        /// Configuration [default: /etc/cache-agent/cache-agent.toml if it exists, else built-in]
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        /// As JSON instead of TOML
        #[arg(long)]
        json: bool,
    },
}

/// Does what was asked; the text goes to `output`.
pub fn run(arguments: &ConfigArgs, output: &mut impl Write) -> anyhow::Result<()> {
    match &arguments.verb {
        ConfigVerb::Check { file } => {
            config::load(file.as_deref())?;
            write(output, "OK\n")
        }
        ConfigVerb::Show { file, json } => {
            let config = config::load(file.as_deref())?;
            let text = if *json {
                as_json(&config)?
            } else {
                as_toml(&config)?
            };
            write(output, &text)
        }
    }
}

fn as_toml(config: &Config) -> anyhow::Result<String> {
    toml::to_string(&Shown::from(config)).context("cannot write the configuration as TOML")
}

fn as_json(config: &Config) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(&Shown::from(config))
        .context("cannot write the configuration as JSON")?;
    Ok(text + "\n")
}

/// The checked configuration in the words of the file: what is shown can be loaded again.
#[derive(Serialize)]
struct Shown<'a> {
    listen: String,
    discover: bool,
    walk_interval: String,
    state_dir: &'a Path,
    canary_interval: String,
    history: ShownHistory,
    maps: ShownMaps,
    invocations: ShownFollowing,
    discovered: ShownThresholds,
    #[serde(rename = "root")]
    roots: Vec<ShownRoot<'a>>,
}

#[derive(Serialize)]
struct ShownFollowing {
    commands: Vec<String>,
    allow: Vec<String>,
    deny: Vec<String>,
}

#[derive(Serialize)]
struct ShownHistory {
    enabled: bool,
    max_age: String,
    max_size: u64,
}

#[derive(Serialize)]
struct ShownRoot<'a> {
    name: &'a str,
    path: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(flatten)]
    thresholds: ShownThresholds,
}

#[derive(Serialize)]
struct ShownMaps {
    ring_bytes: u32,
    open_files: u32,
    files: u32,
    accounts: u32,
    processes: u32,
    calls: u32,
}

#[derive(Serialize)]
struct ShownThresholds {
    #[serde(skip_serializing_if = "Option::is_none")]
    warn: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    free_space: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    free_inodes: Option<f64>,
}

impl<'a> From<&'a Config> for Shown<'a> {
    fn from(config: &'a Config) -> Self {
        let Config {
            listen,
            discover,
            walk_interval,
            state_dir,
            history,
            canary_interval,
            maps,
            following,
            discovered,
            roots,
        } = config;
        Self {
            listen: listen.to_string(),
            discover: *discover,
            walk_interval: shown(*walk_interval),
            state_dir,
            history: history.into(),
            canary_interval: canary_interval.map_or_else(|| OFF.to_owned(), shown),
            maps: maps.into(),
            invocations: following.into(),
            discovered: discovered.into(),
            roots: roots.iter().map(ShownRoot::from).collect(),
        }
    }
}

/// As people write it: months and years, into which `humantime` divides, are no whole days.
fn shown(duration: Duration) -> String {
    /// Seconds of a day.
    const DAY: u64 = 24 * 60 * 60;
    match duration.as_secs() {
        whole if whole >= DAY && whole.is_multiple_of(DAY) && duration.subsec_nanos() == 0 => {
            format!("{}d", whole / DAY)
        }
        _ => humantime::format_duration(duration).to_string(),
    }
}

impl From<&Following> for ShownFollowing {
    fn from(following: &Following) -> Self {
        let Following {
            commands,
            allow,
            deny,
        } = following;
        let texts = |patterns: &[glob::Pattern]| {
            let texts = patterns.iter().map(|pattern| pattern.as_str().to_owned());
            texts.collect()
        };
        Self {
            commands: commands.clone(),
            allow: texts(allow),
            deny: texts(deny),
        }
    }
}

impl From<&History> for ShownHistory {
    fn from(history: &History) -> Self {
        let History {
            enabled,
            max_age,
            max_size,
        } = *history;
        Self {
            enabled,
            max_age: shown(max_age),
            max_size,
        }
    }
}

impl<'a> From<&'a RootConfig> for ShownRoot<'a> {
    fn from(root: &'a RootConfig) -> Self {
        let RootConfig {
            name,
            path,
            kind,
            thresholds,
        } = root;
        Self {
            name,
            path,
            kind: kind.map(RootKind::as_str),
            thresholds: thresholds.into(),
        }
    }
}

impl From<&Maps> for ShownMaps {
    fn from(maps: &Maps) -> Self {
        let Maps {
            ring_bytes,
            open_files,
            files,
            accounts,
            processes,
            calls,
        } = *maps;
        Self {
            ring_bytes,
            open_files,
            files,
            accounts,
            processes,
            calls,
        }
    }
}

impl From<&Thresholds> for ShownThresholds {
    fn from(thresholds: &Thresholds) -> Self {
        let Thresholds {
            warn,
            free_space,
            free_inodes,
        } = *thresholds;
        Self {
            warn,
            free_space,
            free_inodes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const FULL: &str = "listen = \"[::1]:9\"\ndiscover = true\nwalk_interval = \"90min\"\nstate_dir = \"/srv/state\"\ncanary_interval = \"off\"\n\
                        [history]\nenabled = false\nmax_age = \"7d\"\nmax_size = \"64MiB\"\n\
                        [maps]\nfiles = 7\n\
                        [invocations]\ncommands = [\"please\"]\ndeny = [\"/tmp/**\"]\n\
                        [discovered]\nfree_space = \"5%\"\n\
                        [[root]]\nname = \"ci\"\npath = \"/srv/ci\"\nkind = \"gobuild\"\nwarn = \"8GiB\"\nfree_inodes = 0.1\n\
                        [[root]]\npath = \"/srv/two\"\n";

    fn run_on(text: &str, show: impl Fn(Option<PathBuf>) -> ConfigVerb) -> Result<String, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("agent.toml");
        std::fs::write(&file, text).unwrap();
        let mut output = Vec::new();
        run(
            &ConfigArgs {
                verb: show(Some(file)),
            },
            &mut output,
        )
        .map_err(|error| format!("{error:#}"))?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[test]
    fn check_says_ok_or_why_not() {
        let check = |text| run_on(text, |file| ConfigVerb::Check { file });
        assert_eq!(check(FULL).unwrap(), "OK\n");
        let error = check("lisen = \"x\"").unwrap_err();
        assert!(
            error.ends_with("agent.toml:1:1 in the top level; did you mean `listen`?"),
            "{error}"
        );
    }

    #[test]
    fn shown_configuration_loads_again() {
        for text in ["", FULL] {
            let shown = run_on(text, |file| ConfigVerb::Show { file, json: false }).unwrap();
            let parse = |text| config::parse(text, Path::new("f")).unwrap();
            assert_eq!(parse(&shown), parse(text), "{shown}");
        }
    }

    #[test]
    fn shown_as_json() {
        let shown = run_on(FULL, |file| ConfigVerb::Show { file, json: true }).unwrap();
        let value: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let expected = serde_json::json!({
            "listen": "[::1]:9", "discover": true, "walk_interval": "1h 30m", "state_dir": "/srv/state",
            "canary_interval": "off", "history": {"enabled": false, "max_age": "7d", "max_size": 67_108_864},
            "maps": {"ring_bytes": 1_048_576, "open_files": 4096, "files": 7, "accounts": 32_768, "processes": 32_768, "calls": 8192},
            "invocations": {"commands": ["please"], "allow": [], "deny": ["/tmp/**"]}, "discovered": {"free_space": 0.05},
            "root": [
                {"name": "ci", "path": "/srv/ci", "kind": "gobuild", "warn": 8_589_934_592_u64, "free_inodes": 0.1},
                {"name": "two", "path": "/srv/two"},
            ],
        });
        assert_eq!(value, expected);
    }
}
