//! `config check` and `config show`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueHint};

use super::write;
use crate::config::{self, Config};

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
    toml::to_string(config).context("cannot write the configuration as TOML")
}

fn as_json(config: &Config) -> anyhow::Result<String> {
    let text =
        serde_json::to_string_pretty(config).context("cannot write the configuration as JSON")?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const FULL: &str = "listen = \"[::1]:9\"\nhosts = [\"a.example\"]\ndiscover = true\nwalk_interval = \"90min\"\nstate_dir = \"/srv/state\"\ncanary_interval = \"off\"\n\
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
        // What is in it is tested by section, and that it loads again, above.
        let show = |json| run_on(FULL, |file| ConfigVerb::Show { file, json }).unwrap();
        let shown: serde_json::Value = serde_json::from_str(&show(true)).unwrap();
        let expected: serde_json::Value = toml::from_str(&show(false)).unwrap();
        assert_eq!(shown, expected);
    }
}
