//! What a trace found out: the figures behind the table, and the JSON document, version 1.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use cache_ebpf::{ProcessKey, counter};
use serde_json::{Value, json};

use super::invocations;
use crate::{
    kernel::counters::{Counters, DROP_CAUSES, named},
    ledger::{
        Ledger, Reconciliation,
        accounts::{Account, Accounts},
        root::{Ambiguous, Base},
    },
    model::{
        changes::{Changes, difference},
        invocation::Finished,
        mask::Arguments,
        operation::Observation,
    },
    sys::usage::Usage,
    trace::{command::Ended, elsewhere::Elsewhere, roots::Place},
};

/// Nobody's account.
const NOBODY: u32 = 0;

/// What was at a root's path when the command had ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Directory {
    /// The directory that was there before.
    Same,
    /// Another one, or what is none.
    Replaced,
    /// Nothing.
    Gone,
    /// It does not matter: nothing there could be watched.
    Unwatched,
}

impl Directory {
    /// The word of the document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Replaced => "replaced",
            Self::Gone => "gone",
            Self::Unwatched => "unwatched",
        }
    }
}

/// One root, before and after.
#[derive(Debug)]
pub struct RootRow {
    /// Its number.
    pub index: u32,
    /// Where.
    pub path: PathBuf,
    /// `gobuild`, `gomod` or `other`.
    pub kind: &'static str,
    /// Kernel device and inode.
    pub identity: (u32, u64),
    start: Base,
    /// Size after, in bytes.
    pub after_bytes: u64,
    /// What was credited, all accounts together.
    pub ledger: Changes,
    /// Ledger minus disk, in bytes, before any correction.
    pub drift_bytes: i64,
    /// The part of the ledger credited to nobody.
    pub unattributed_bytes: i64,
    /// What of that several processes may have moved.
    pub ambiguous: Ambiguous,
    /// What it held when its directory was moved away.
    pub moved_away_bytes: u64,
    /// What was at its path in the end.
    pub directory: Directory,
    /// Why it was not watched, or not walked.
    pub trouble: Option<String>,
    /// When it was found, since the command's start, if it was not named beforehand.
    pub found_after: Option<Duration>,
    /// It was there before the command: what changed in it before it was found is not told.
    pub is_older: bool,
    /// Who alone can have written what it held when it was taken up.
    pub maker: Option<ProcessKey>,
}

impl RootRow {
    /// A root just registered.
    pub fn new(index: u32, place: &Place) -> Self {
        Self {
            index,
            path: place.path.clone(),
            kind: place.kind.as_str(),
            identity: (0, 0),
            start: Base::default(),
            after_bytes: 0,
            ledger: Changes::default(),
            drift_bytes: 0,
            unattributed_bytes: 0,
            ambiguous: Ambiguous::default(),
            moved_away_bytes: 0,
            directory: Directory::Same,
            trouble: None,
            found_after: None,
            is_older: false,
            maker: None,
        }
    }

    /// Size before, in bytes.
    pub fn before_bytes(&self) -> u64 {
        self.start.bytes
    }

    /// Takes the first walk's figures.
    pub fn before(&mut self, ledger: &Ledger) -> Result<()> {
        let root = ledger.root(self.index).context("a root vanished")?;
        self.identity = (root.key.dev, root.key.ino);
        self.start = root.base.context("a root was not walked")?;
        // The walks of other roots took their time: what changed here meanwhile is not the command's.
        let now = ledger.total(self.index)?;
        self.start.bytes = root.size(&now);
        self.start.files = root.files(&now);
        self.start.total = now;
        Ok(())
    }

    /// Counts from what it held when it was taken up.
    pub fn begin(&mut self, ledger: &Ledger) -> Result<()> {
        let root = ledger.root(self.index).context("a root vanished")?;
        self.start = root.base.context("a root was not walked")?.initial();
        Ok(())
    }

    /// Takes the last walk's figures. What the walk found beyond the ledger is shown as drift, and
    /// corrected into nobody's account.
    pub fn after(&mut self, found: &Reconciliation, accounts: &Accounts) {
        self.after_bytes = found.base.bytes;
        self.ledger = difference(&found.base.total, &self.start.total);
        if let Some((_, moved)) = &found.moved {
            self.ledger.add(moved);
        }
        self.drift_bytes = self.ledger.growth_bytes - self.growth_bytes();
        self.ledger.growth_bytes -= self.drift_bytes;
        let nobody = accounts
            .processes
            .iter()
            .filter(|(key, _)| key.tgid == NOBODY);
        let known: i64 = nobody
            .filter_map(|(_, account)| account.roots.get(&self.index))
            .map(|changes| changes.growth_bytes)
            .sum();
        self.unattributed_bytes = known - self.drift_bytes;
    }

    /// The directory is not at its path any more: what it holds has left, by nobody known.
    pub fn depart(&mut self, held: &Base) {
        let bytes = self.after_bytes.cast_signed();
        self.ledger.growth_bytes -= bytes;
        self.ledger.files_deleted += held.files;
        self.unattributed_bytes -= bytes;
        self.moved_away_bytes = self.after_bytes;
        self.after_bytes = 0;
    }

    /// Takes in the directory that was at the same path later.
    pub fn join(&mut self, later: &Self) {
        self.after_bytes += later.after_bytes;
        self.ledger.add(&later.ledger);
        self.drift_bytes += later.drift_bytes;
        self.unattributed_bytes += later.unattributed_bytes;
        self.ambiguous.growth_bytes += later.ambiguous.growth_bytes;
        self.ambiguous.movers = self.ambiguous.movers.max(later.ambiguous.movers);
        self.moved_away_bytes += later.moved_away_bytes;
    }

    /// Growth of the disk, in bytes.
    pub fn growth_bytes(&self) -> i64 {
        self.after_bytes.cast_signed() - self.before_bytes().cast_signed()
    }
}

/// Everything a trace tells.
#[derive(Debug)]
pub struct Document<'a> {
    /// Hooks in use.
    pub backend: &'static str,
    /// What they observe.
    pub coverage: Vec<(&'static str, Observation)>,
    /// The command.
    pub argv: &'a [OsString],
    /// How it ended.
    pub ended: &'a Ended,
    /// Its roots.
    pub roots: &'a [RootRow],
    /// Caches of the command that are not watched.
    pub elsewhere: &'a [Elsewhere],
    /// Who changed them.
    pub accounts: &'a Accounts,
    /// Invocations of the command, and those that changed its roots, earliest first.
    pub finished: &'a [Finished],
    /// Kernel counters, from start to end.
    pub counters: Counters,
    /// Forks, execs and exits that were lost, and processes that nobody followed.
    pub process_events_dropped: u64,
    /// Runs of programs that the kernel left out.
    pub missed_runs: u64,
    /// What it cost.
    pub(crate) usage: Usage,
}

impl Document<'_> {
    /// Processes with a change, largest growth first, nobody left out.
    pub fn processes(&self) -> Vec<(ProcessKey, &Account)> {
        let mut processes: Vec<_> = self
            .accounts
            .processes
            .iter()
            .filter(|(key, _)| key.tgid != NOBODY)
            .map(|(key, account)| (*key, account))
            .collect();
        processes.sort_by_key(|(key, account)| {
            (
                std::cmp::Reverse(account.total().growth_bytes),
                key.start_ns,
                key.tgid,
            )
        });
        processes
    }

    /// The documented form.
    pub fn to_json(&self) -> Value {
        let coverage: serde_json::Map<_, _> = self
            .coverage
            .iter()
            .map(|(name, state)| ((*name).to_owned(), json!(state.as_str())))
            .collect();
        let argv = self.argv.iter();
        let argv = argv.map(|argument| argument.to_string_lossy().into_owned());
        let argv = Arguments::from(argv.collect::<Vec<_>>()).masked();
        let dropped: serde_json::Map<_, _> = named(&DROP_CAUSES, &self.counters)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        let [hits, delivered] =
            [counter::HITS, counter::DELIVERED].map(|slot| self.counters[slot as usize]);
        json!({
            "version": 1,
            "backend": self.backend,
            "coverage": coverage,
            "command": {"argv": argv, "exit_code": self.ended.code, "duration_s": self.ended.duration.as_secs_f64()},
            "roots": self.roots.iter().map(root).collect::<Vec<_>>(),
            "elsewhere": self.elsewhere.iter().map(elsewhere).collect::<Vec<_>>(),
            "processes": self.processes().into_iter().map(process).collect::<Vec<_>>(),
            "invocations": invocations::to_json(self.finished),
            "packages": invocations::packages_to_json(self.finished),
            "events": {
                "hits": hits, "delivered": delivered, "dropped": dropped,
                "process_events_dropped": self.process_events_dropped,
            },
            "agent": {"cpu_s": self.usage.cpu_seconds, "max_rss_bytes": self.usage.max_rss_bytes},
        })
    }
}

fn root(row: &RootRow) -> Value {
    json!({
        "path": row.path.to_string_lossy(), "kind": row.kind, "device": row.identity.0, "inode": row.identity.1,
        "before_bytes": row.before_bytes(), "after_bytes": row.after_bytes, "ledger_bytes": row.ledger.growth_bytes,
        "drift_bytes": row.drift_bytes, "unattributed_bytes": row.unattributed_bytes,
        "ambiguous_moves": {"growth_bytes": row.ambiguous.growth_bytes, "movers": row.ambiguous.movers},
        "files_created": row.ledger.files_created, "files_deleted": row.ledger.files_deleted,
        "files_renamed": row.ledger.files_renamed, "moved_away_bytes": row.moved_away_bytes,
        "directory": row.directory.as_str(), "trouble": row.trouble,
        "found_after_s": row.found_after.map(|after| after.as_secs_f64()),
    })
}

fn elsewhere(one: &Elsewhere) -> Value {
    json!({
        "path": one.path.to_string_lossy(), "kind": one.kind.as_str(), "invocation": one.user.invocation,
        "reason": one.reason.as_str(),
    })
}

fn process((key, account): (ProcessKey, &Account)) -> Value {
    let total = account.total();
    json!({
        "pid": key.tgid, "start_ns": key.start_ns, "ppid": account.identity.ppid, "uid": account.identity.uid,
        "comm": account.identity.comm, "argv": account.identity.argv.masked(), "growth_bytes": total.growth_bytes,
        "freed_bytes": total.freed_bytes, "files_created": total.files_created, "files_deleted": total.files_deleted,
        "files_renamed": total.files_renamed, "in_command": account.identity.in_command,
    })
}
