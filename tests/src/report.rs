//! The document of `trace --json`, exactly as documented: an unknown or missing field is an error.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

/// The whole document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub version: u32,
    pub backend: String,
    pub coverage: BTreeMap<String, Observation>,
    pub command: Command,
    pub roots: Vec<Root>,
    pub elsewhere: Vec<Elsewhere>,
    pub processes: Vec<Process>,
    pub invocations: Vec<Invocation>,
    pub packages: Vec<Package>,
    pub events: Events,
    pub agent: Usage,
}

/// How well an operation is observed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Observation {
    Observed,
    Unattributed,
}

/// The traced command.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    pub argv: Vec<String>,
    pub exit_code: i32,
    pub duration_s: f64,
}

/// One watched directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    pub path: PathBuf,
    pub kind: String,
    pub device: u64,
    pub inode: u64,
    pub before_bytes: u64,
    pub after_bytes: u64,
    pub ledger_bytes: i64,
    pub drift_bytes: i64,
    pub unattributed_bytes: i64,
    pub ambiguous_moves: AmbiguousMoves,
    pub files_created: u64,
    pub files_deleted: u64,
    pub files_renamed: u64,
    pub moved_away_bytes: u64,
    pub directory: String,
    pub trouble: Option<String>,
    pub found_after_s: Option<f64>,
}

/// A cache that the command used and that is not watched.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elsewhere {
    pub path: PathBuf,
    pub kind: String,
    pub invocation: String,
    pub reason: String,
}

/// What several processes may have moved.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmbiguousMoves {
    pub growth_bytes: i64,
    pub movers: usize,
}

/// One process that changed a root.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    pub pid: u32,
    pub start_ns: u64,
    pub ppid: u32,
    pub uid: u32,
    pub comm: String,
    pub argv: Vec<String>,
    pub growth_bytes: i64,
    pub freed_bytes: u64,
    pub files_created: u64,
    pub files_deleted: u64,
    pub files_renamed: u64,
    pub in_command: bool,
}

/// One run of a tool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invocation {
    pub id: String,
    pub parent: Option<String>,
    pub tool: String,
    pub verb: String,
    pub version: String,
    pub argv: Vec<String>,
    pub cwd: String,
    pub module: String,
    pub uid: u32,
    pub user: String,
    pub sudo_user: String,
    pub container: String,
    pub pod: String,
    pub unit: String,
    pub ci: BTreeMap<String, String>,
    pub start: String,
    pub duration_s: f64,
    pub exit_code: Option<i32>,
    pub growth_bytes: i64,
    pub freed_bytes: u64,
    pub files_created: u64,
    pub files_deleted: u64,
    pub lookups: u64,
    pub hits: u64,
    pub misses: u64,
    pub index_lookups: u64,
    pub test_lookups: u64,
    pub other_lookups: u64,
    pub cause: Vec<Cause>,
    pub processes: BTreeMap<String, Processes>,
}

/// Why an invocation made a cache grow.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    pub kind: String,
    pub detail: String,
    pub bytes: i64,
    pub packages: u64,
    pub cpu_s: f64,
}

/// Processes of one tool.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Processes {
    pub count: u64,
    pub cpu_s: f64,
}

/// Bytes of one package in one invocation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub invocation: String,
    pub path: String,
    pub class: String,
    pub growth_bytes: i64,
    pub files: u64,
}

/// The way of the detail events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    pub hits: u64,
    pub delivered: u64,
    pub dropped: BTreeMap<String, u64>,
    pub process_events_dropped: u64,
}

/// What the agent itself needed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    pub cpu_s: f64,
    pub max_rss_bytes: u64,
}

impl Report {
    /// What all processes together were credited with.
    pub fn credited_bytes(&self) -> i64 {
        self.processes
            .iter()
            .map(|process| process.growth_bytes)
            .sum()
    }

    /// What the traced command and its children were credited with.
    pub fn command_bytes(&self) -> i64 {
        let own = self.processes.iter().filter(|process| process.in_command);
        own.map(|process| process.growth_bytes).sum()
    }

    /// The ledgers of all roots together.
    pub fn ledger_bytes(&self) -> i64 {
        self.roots.iter().map(|root| root.ledger_bytes).sum()
    }

    /// What no package was named for.
    pub fn unmapped_bytes(&self) -> i64 {
        let unnamed = self
            .packages
            .iter()
            .filter(|package| package.path.is_empty());
        unnamed.map(|package| package.growth_bytes).sum()
    }

    /// What no process was credited with.
    pub fn unattributed_bytes(&self) -> i64 {
        self.roots.iter().map(|root| root.unattributed_bytes).sum()
    }

    /// Everything that contradicts the identities every report must keep, one sentence each; a loss of
    /// detail is one of them.
    pub fn contradictions(&self) -> Vec<String> {
        let mut found = self.contradictions_but_losses();
        if self.lost() > 0 {
            found.push(format!("dropped events: {:?}", self.events.dropped));
        }
        if self.events.process_events_dropped > 0 {
            let lost = self.events.process_events_dropped;
            found.push(format!("dropped process events: {lost}"));
        }
        found
    }

    /// Detail events that were lost, whatever the cause.
    pub fn lost(&self) -> u64 {
        self.events.dropped.values().sum()
    }

    /// The same, but that detail may be lost.
    pub fn contradictions_but_losses(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut check = |holds: bool, sentence: String| {
            if !holds {
                found.push(sentence);
            }
        };
        check(self.version == 1, format!("version {}", self.version));
        for root in &self.roots {
            let path = root.path.display();
            let change = signed(root.after_bytes) - signed(root.before_bytes);
            let ledger = root.ledger_bytes;
            check(
                ledger == change,
                format!("{path}: ledger {ledger} B, but it changed by {change} B"),
            );
        }
        let sum = self.credited_bytes() + self.unattributed_bytes();
        let ledger = self.ledger_bytes();
        check(
            sum == ledger,
            format!("processes and unattributed sum up to {sum} B, the ledgers to {ledger} B"),
        );
        for (what, of_processes, of_roots) in self.counts() {
            check(
                of_processes <= of_roots,
                format!("{of_processes} files {what} by processes, {of_roots} in the roots"),
            );
        }
        let Events {
            hits, delivered, ..
        } = &self.events;
        let lost = self.lost();
        check(
            *hits == delivered + lost,
            format!("{hits} hits, {delivered} delivered, {lost} dropped"),
        );
        found
    }

    /// Number of files created, deleted and renamed: by processes and in roots.
    fn counts(&self) -> [(&'static str, u64, u64); 3] {
        let processes = |count: fn(&Process) -> u64| self.processes.iter().map(count).sum();
        let roots = |count: fn(&Root) -> u64| self.roots.iter().map(count).sum();
        [
            (
                "created",
                processes(|process| process.files_created),
                roots(|root| root.files_created),
            ),
            (
                "deleted",
                processes(|process| process.files_deleted),
                roots(|root| root.files_deleted),
            ),
            (
                "renamed",
                processes(|process| process.files_renamed),
                roots(|root| root.files_renamed),
            ),
        ]
    }
}

/// A size as a summand.
pub fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
