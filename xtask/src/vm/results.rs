//! What the tests found about single operations, kept for the table of `conformance.md`.
//!
//! `target/vm/results.json` has one verdict per kernel, backend, file system and operation: the last
//! one there was.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::paths;

/// One verdict.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Entry {
    /// As in the matrix: `6.1`; for the machine's own kernel its first two numbers.
    pub(crate) kernel: String,
    pub(crate) backend: String,
    pub(crate) file_system: String,
    pub(crate) operation: String,
    /// `exact`, `unattributed` or `failed`.
    pub(crate) verdict: String,
}

/// As a test notes it.
#[derive(Deserialize)]
struct Noted {
    backend: String,
    file_system: String,
    operation: String,
    verdict: String,
}

/// Adds what tests on `kernel` noted, line by line.
pub(crate) fn add<'a>(kernel: &str, lines: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut fresh = Vec::new();
    for line in lines {
        let noted: Noted =
            serde_json::from_str(line).with_context(|| format!("a test noted {line}"))?;
        fresh.push(Entry {
            kernel: kernel.to_owned(),
            backend: noted.backend,
            file_system: noted.file_system,
            operation: noted.operation,
            verdict: noted.verdict,
        });
    }
    let known = if file().exists() { read()? } else { Vec::new() };
    let merged = merge(known, fresh);
    fs::create_dir_all(paths::target().join("vm"))?;
    fs::write(file(), serde_json::to_string_pretty(&merged)?)
        .with_context(|| format!("cannot write {}", file().display()))
}

/// Every verdict there is.
pub(crate) fn read() -> Result<Vec<Entry>> {
    let text = fs::read_to_string(file()).with_context(|| {
        format!(
            "{} is missing: it is written by `cargo xtask test` and `cargo xtask vm`",
            file().display()
        )
    })?;
    serde_json::from_str(&text).with_context(|| format!("{} is malformed", file().display()))
}

fn file() -> PathBuf {
    paths::target().join("vm/results.json")
}

/// The last verdict on a thing stands, except that within one run one failure is enough.
fn merge(known: Vec<Entry>, fresh: Vec<Entry>) -> Vec<Entry> {
    let key = |entry: &Entry| {
        let Entry {
            kernel,
            backend,
            file_system,
            operation,
            verdict: _,
        } = entry.clone();
        (kernel, backend, file_system, operation)
    };
    let mut latest = BTreeMap::new();
    for entry in fresh {
        let worse = entry.verdict == "failed";
        let before = latest.get(&key(&entry));
        if worse || before.is_none() {
            latest.insert(key(&entry), entry);
        }
    }
    for entry in known {
        latest.entry(key(&entry)).or_insert(entry);
    }
    latest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(operation: &str, verdict: &str) -> Entry {
        Entry {
            kernel: "6.1".to_owned(),
            backend: "fentry".to_owned(),
            file_system: "xfs".to_owned(),
            operation: operation.to_owned(),
            verdict: verdict.to_owned(),
        }
    }

    #[test]
    fn the_last_run_stands_and_a_failure_in_it() {
        let known = vec![entry("write", "failed"), entry("unlink", "exact")];
        let fresh = vec![
            entry("write", "exact"),
            entry("rename", "failed"),
            entry("rename", "exact"),
        ];
        assert_eq!(
            merge(known, fresh),
            [
                entry("rename", "failed"),
                entry("unlink", "exact"),
                entry("write", "exact")
            ]
        );
    }
}
