//! The roots of the host by name: configured or discovered, there or not (yet, or any more).
//!
//! Takes: the configuration, what discovery proposes. Gives: which name is watched under which number.
//! Never: counts anything.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Result;

use crate::{
    config::checked::{Config, RootConfig, RootKind, Thresholds},
    discover::{
        goenv::Environment,
        host::{Candidate, for_host},
        recognise::recognise,
    },
    ledger::{book::Book, root::open_directory},
    policy::thresholds::State,
    snapshot::{Changes, GROUPS},
};

/// A root by name, watched or not.
#[derive(Debug)]
pub struct Entry {
    /// Metric label.
    pub name: String,
    /// Where it is, or is to appear.
    pub path: PathBuf,
    /// What it is; recognised when it appears, unless the configuration says.
    pub kind: RootKind,
    is_kind_given: bool,
    /// When to tell.
    pub thresholds: Thresholds,
    /// What was told.
    pub state: State,
    /// Proposed by discovery: watched only while its user may be believed.
    candidate: Option<Candidate>,
    /// Its number in the ledger while it is watched.
    pub index: Option<u32>,
    /// Next reconciling walk.
    pub next_walk: Instant,
    /// Changes by group of processes that ended, and of earlier directories at this path.
    pub folded: [Changes; GROUPS.len()],
    /// Totals of earlier directories at this path.
    pub carried: Changes,
    /// Why it could not be taken up, told once.
    refused: Option<String>,
}

impl Entry {
    fn new(
        name: String,
        path: PathBuf,
        kind: Option<RootKind>,
        thresholds: Thresholds,
        candidate: Option<Candidate>,
    ) -> Self {
        Self {
            name,
            path,
            kind: kind.unwrap_or(RootKind::Other),
            is_kind_given: kind.is_some(),
            thresholds,
            state: State::default(),
            candidate,
            index: None,
            next_walk: Instant::now(),
            folded: [Changes::default(); GROUPS.len()],
            carried: Changes::default(),
            refused: None,
        }
    }

    fn configured(root: &RootConfig) -> Self {
        Self::new(
            root.name.clone(),
            root.path.clone(),
            root.kind,
            root.thresholds,
            None,
        )
    }

    fn discovered(candidate: Candidate, thresholds: Thresholds) -> Self {
        Self::new(
            candidate.name.clone(),
            candidate.root.path.clone(),
            Some(candidate.root.kind),
            thresholds,
            Some(candidate),
        )
    }

    /// Users choose where their caches are said to be: what is there must look like one or be theirs.
    fn is_acceptable(&self) -> Result<bool> {
        let Some(candidate) = &self.candidate else {
            return Ok(true);
        };
        let directory = open_directory(&self.path)?;
        Ok(candidate.accepts(Path::new(&format!(
            "/proc/self/fd/{}",
            directory.as_raw_fd()
        ))))
    }
}

/// All roots by name.
#[derive(Debug, Default)]
pub struct Roster {
    /// Configured ones first, then discovered ones.
    pub entries: Vec<Entry>,
}

impl Roster {
    /// Brings the list in line with a configuration; roots that stay keep their accounts.
    /// Those that go are returned: the caller closes their accounts.
    pub fn apply(&mut self, config: &Config) -> Vec<Entry> {
        let mut wanted: Vec<Entry> = config.roots.iter().map(Entry::configured).collect();
        if config.discover {
            let environment: Environment = std::env::vars_os().collect();
            let found = for_host(&environment, &config.roots);
            wanted.extend(
                found
                    .into_iter()
                    .map(|candidate| Entry::discovered(candidate, config.discovered)),
            );
        }
        let mut before = std::mem::take(&mut self.entries);
        for mut entry in wanted {
            if let Some(at) = before
                .iter()
                .position(|old| old.name == entry.name && old.path == entry.path)
            {
                let old = before.swap_remove(at);
                entry = Entry {
                    thresholds: entry.thresholds,
                    kind: if entry.is_kind_given {
                        entry.kind
                    } else {
                        old.kind
                    },
                    is_kind_given: entry.is_kind_given,
                    candidate: entry.candidate,
                    ..old
                };
            }
            self.entries.push(entry);
        }
        before
    }

    /// Takes up what has appeared. Returns how many roots changed their state.
    pub fn take_up(&mut self, book: &mut Book) -> usize {
        let mut changed = 0;
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| entry.index.is_none())
        {
            if std::fs::metadata(&entry.path).is_err() {
                entry.refused = None;
                continue;
            }
            match take_up(entry, book) {
                Ok(true) => changed += 1,
                Ok(false) => {}
                Err(error) => refuse(entry, &format!("{error:#}")),
            }
        }
        changed
    }

    /// Entries whose directory is no longer at its path.
    pub fn displaced(&self, book: &Book) -> Vec<usize> {
        let is_displaced = |entry: &Entry| {
            entry
                .index
                .and_then(|index| book.root(index))
                .is_some_and(|root| !root.is_in_place())
        };
        self.entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| is_displaced(entry))
            .map(|(at, _)| at)
            .collect()
    }

    /// The entry watched under this number.
    pub fn by_index(&mut self, index: u32) -> Option<&mut Entry> {
        self.entries
            .iter_mut()
            .find(|entry| entry.index == Some(index))
    }

    /// Directories in which something must happen for a root to come or go, the nearest ones that exist,
    /// and the names in them that lead to it.
    pub fn vantage_points(&self) -> HashMap<PathBuf, HashSet<OsString>> {
        let mut points: HashMap<PathBuf, HashSet<OsString>> = HashMap::new();
        for entry in &self.entries {
            let Some(directory) = entry
                .path
                .ancestors()
                .skip(1)
                .find(|directory| directory.is_dir())
            else {
                continue;
            };
            let next = entry
                .path
                .strip_prefix(directory)
                .ok()
                .and_then(|rest| rest.components().next());
            if let Some(name) = next {
                points
                    .entry(directory.to_path_buf())
                    .or_default()
                    .insert(name.as_os_str().to_owned());
            }
        }
        points
    }
}

fn take_up(entry: &mut Entry, book: &mut Book) -> Result<bool> {
    if !entry.is_acceptable()? {
        refuse(
            entry,
            "it is not its user's own and does not look like a cache",
        );
        return Ok(false);
    }
    let index = book.watch(&entry.path)?;
    if !entry.is_kind_given {
        entry.kind = recognise(&entry.path);
    }
    entry.index = Some(index);
    entry.refused = None;
    tracing::info!(root = entry.name, path = %entry.path.display(), kind = entry.kind.as_str(), "watching root");
    Ok(true)
}

fn refuse(entry: &mut Entry, reason: &str) {
    if entry.refused.as_deref() != Some(reason) {
        tracing::warn!(root = entry.name, path = %entry.path.display(), reason, "cannot watch root");
        entry.refused = Some(reason.to_owned());
    }
}
