//! The system tests' executables. Built as the invoking user, so that only the tests themselves
//! run as root and target/ stays the user's.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::{
    command::{ask, output, program},
    vm::static_cargo,
};

#[derive(Debug, PartialEq)]
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) executable: PathBuf,
}

/// The part of cargo's artifact messages that matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    /// `["test"]` for the suites; the actor they start is a `["bin"]`.
    kind: Vec<String>,
}

/// What the tests' package is made into.
pub(crate) struct Executables {
    pub(crate) suites: Vec<Suite>,
    /// Other programs: the actor, the guest's init, the benchmark of the hooks.
    pub(crate) programs: Vec<PathBuf>,
}

/// Builds them, statically: a guest has no libraries, and this machine runs the same ones.
pub(crate) fn build() -> Result<Executables> {
    let messages = output(
        static_cargo()
            .args(["test", "--release", "--package", "cache-tests", "--no-run"])
            .arg("--message-format=json-render-diagnostics"),
    )?;
    let mut suites = parse(&messages, "test")?;
    suites.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Executables {
        suites,
        programs: parse(&messages, "bin")?
            .into_iter()
            .map(|program| program.executable)
            .filter(|executable| !in_dependencies(executable))
            .collect(),
    })
}

/// The test harnesses of programs lie there, and are no programs.
fn in_dependencies(executable: &Path) -> bool {
    executable
        .parent()
        .is_some_and(|folder| folder.ends_with("deps"))
}

/// The executables of that kind among cargo's messages.
fn parse(messages: &str, kind: &str) -> Result<Vec<Suite>> {
    let mut suites = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let Message {
            reason,
            target,
            executable,
        } = serde_json::from_str(line).with_context(|| format!("cargo printed {line}"))?;
        if let ("compiler-artifact", Some(target), Some(executable)) =
            (reason.as_str(), target, executable)
            && target.kind == [kind]
        {
            suites.push(Suite {
                name: target.name,
                executable,
            });
        }
    }
    Ok(suites)
}

impl Suite {
    /// The filter to give to the executable and how many tests it selects; nothing if none.
    pub(super) fn selection<'a>(
        &self,
        only: Option<&'a str>,
    ) -> Result<Option<(Option<&'a str>, usize)>> {
        let filter = only.filter(|only| *only != self.name);
        let mut question = program(&self.executable);
        question.args(["--list", "--format=terse"]).args(filter);
        let tests = ask(&mut question)?
            .lines()
            .filter(|line| line.ends_with(": test"))
            .count();
        Ok((tests > 0).then_some((filter, tests)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_among_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"serde","kind":["lib"]},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"actor","kind":["bin"]},"executable":"/t/actor"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"cli","kind":["test"]},"executable":"/t/cli-1"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let expected = Suite {
            name: "cli".to_owned(),
            executable: "/t/cli-1".into(),
        };
        assert_eq!(parse(messages, "test").expect("valid"), [expected]);
    }
}
