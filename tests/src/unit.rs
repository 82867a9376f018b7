//! The systemd unit's capabilities and limits, for tests that run the agent as the unit does.

use std::process::Command;

use anyhow::{Context as _, Result};

const UNIT: &str = include_str!("../../cache-agent/dist/cache-agent.service");

/// The value of a setting of the unit.
fn setting(name: &str) -> Result<&'static str> {
    let mut values = UNIT
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values
        .next()
        .with_context(|| format!("the unit has no {name}"))
}

/// The same command with no more than the unit has: capabilities, new privileges, descriptors.
pub fn limited(command: &Command) -> Result<Command> {
    let capabilities = setting("CapabilityBoundingSet")?.split(' ');
    let kept = capabilities.map(|name| {
        let name = name.trim_start_matches("CAP_").to_lowercase();
        format!(",+{name}")
    });
    let bounding = format!("-all{}", kept.collect::<String>());
    let files = setting("LimitNOFILE")?;
    let mut limited = Command::new("prlimit");
    limited
        .arg(format!("--nofile={files}:{files}"))
        .args(["setpriv", "--no-new-privs", "--inh-caps=-all"])
        .arg(format!("--bounding-set={bounding}"))
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    Ok(limited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_limited_as_the_unit_is() {
        let mut command = Command::new("agent");
        command.arg("run");
        let limited = limited(&command).unwrap();
        let words: Vec<_> = limited
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        let bounding =
            "--bounding-set=-all,+bpf,+perfmon,+dac_read_search,+sys_ptrace,+setuid,+setgid";
        assert!(words.iter().any(|word| word == bounding), "{words:?}");
        assert_eq!(words.first().map(AsRef::as_ref), Some("--nofile=8192:8192"));
        assert!(words.ends_with(&["agent".into(), "run".into()]));
    }
}
