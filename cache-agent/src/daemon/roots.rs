//! The roots of the host by name: configured or discovered, there or not (yet, or any more).
//!
//! Takes: the configuration, what discovery proposes. Gives: which name is watched under which number.
//! Never: counts anything.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Result;
use cache_ebpf::ProcessKey;

use crate::{
    config::checked::{Config, RootConfig, Thresholds},
    discover::host::{Candidate, for_host},
    go::{
        env::{Environment, FoundRoot},
        recognise::recognise,
    },
    ledger::{Book, root::open_directory},
    limits::thresholds::State,
    model::{changes::Changes, root::RootKind, root_name::Names, tool_group::GROUPS},
    process::caches_in_use::{Sighted, Sighting},
};

/// Roots, configured and discovered.
const ENTRIES_MAX: usize = 1_000;

/// A root by name, watched or not.
#[derive(Debug)]
pub(super) struct Entry {
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
    /// What walks of them corrected.
    pub corrected: Changes,
    /// Why it could not be taken up, told once.
    refused: Option<String>,
    /// A go command named it while it ran: not found by looking, so not lost by looking again.
    is_sighted: bool,
    /// Outside of the agent's view: shown by this mount namespace, as long as anybody lives in it.
    shown_by: Option<u64>,
    /// Nobody did at the last look.
    is_deserted: bool,
    /// The command that alone can have written what was there before, to be told after the first walk; `None`
    /// within: nobody in particular.
    pub heir: Option<Option<ProcessKey>>,
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
            corrected: Changes::default(),
            refused: None,
            is_sighted: false,
            shown_by: None,
            is_deserted: false,
            heir: None,
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
    fn accepts(&self, directory: BorrowedFd<'_>) -> bool {
        let opened = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let candidate = self.candidate.as_ref();
        candidate.is_none_or(|candidate| candidate.accepts(Path::new(&opened)))
    }
}

/// All roots by name.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// Configured ones first, then discovered ones.
    pub entries: Vec<Entry>,
}

impl Roster {
    /// Brings the list in line with a configuration; roots that stay keep their accounts.
    /// Those that go are returned: the caller closes their accounts.
    pub(super) fn apply(&mut self, config: &Config) -> Vec<Entry> {
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
        if config.discover {
            let (sighted, others) = before.into_iter().partition(|old| old.is_sighted);
            before = others;
            self.entries.extend::<Vec<Entry>>(sighted);
        }
        before
    }

    /// Takes up the caches that a go command uses, unless they are watched already. How many were new.
    pub(super) fn take_sighted(
        &mut self,
        book: &mut Book,
        sighting: &Sighting,
        caches: Vec<Sighted>,
        config: &Config,
    ) -> usize {
        let mut new = 0;
        for found in caches {
            let is_wanted = config.following.allows(&found.path) && !is_watched(book, &found);
            if is_wanted && self.has_room() {
                new += usize::from(self.take_one(book, sighting, found, config.discovered));
            }
        }
        new
    }

    /// Makes room, if there is none, by forgetting the longest known of those that cannot come back.
    fn has_room(&mut self) -> bool {
        if self.entries.len() >= ENTRIES_MAX {
            let gone = |entry: &Entry| entry.index.is_none() && entry.shown_by.is_some();
            let Some(at) = self.entries.iter().position(gone) else {
                return false;
            };
            self.entries.remove(at);
        }
        true
    }

    fn take_one(
        &mut self,
        book: &mut Book,
        sighting: &Sighting,
        found: Sighted,
        thresholds: Thresholds,
    ) -> bool {
        let mut names = Names::default();
        for entry in &self.entries {
            names.take(&entry.name);
        }
        let path = if found.is_in_view {
            found.path.clone()
        } else {
            let pid = sighting.process.tgid;
            PathBuf::from(format!("/proc/{pid}/root{}", found.path.display()))
        };
        let candidate = Candidate {
            root: FoundRoot {
                path,
                kind: found.kind,
            },
            name: names.derive(&format!("{}:uid{}", found.kind, sighting.uid)),
            uid: sighting.uid,
            exists: true,
        };
        // One that was there by this path but is gone, or was refused, is this one now.
        self.entries
            .retain(|entry| entry.index.is_some() || entry.path != candidate.root.path);
        let mut entry = Entry::discovered(candidate, thresholds);
        entry.is_sighted = true;
        entry.shown_by = (!found.is_in_view).then_some(found.namespace);
        entry.heir = Some(found.is_new.then_some(sighting.process));
        match take_up_opened(&mut entry, book, found.directory) {
            Ok(true) => {
                self.entries.push(entry);
                true
            }
            Ok(false) => false,
            Err(error) => {
                refuse(&mut entry, &format!("{error:#}"));
                false
            }
        }
    }

    /// Takes up what has appeared. Returns how many roots changed their state.
    pub(super) fn take_up(&mut self, book: &mut Book) -> usize {
        let mut changed = 0;
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| entry.index.is_none() && entry.shown_by.is_none())
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
    pub(super) fn displaced(&self, book: &Book) -> Vec<usize> {
        let is_displaced = |entry: &Entry| {
            entry
                .index
                .and_then(|index| book.root(index))
                .is_some_and(|root| {
                    if entry.shown_by.is_some() {
                        !root.exists()
                    } else {
                        !root.is_in_place()
                    }
                })
        };
        self.entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| is_displaced(entry))
            .map(|(at, _)| at)
            .collect()
    }

    /// True where roots are watched that only a mount namespace shows.
    pub(super) fn has_out_of_view(&self) -> bool {
        let mut watched = self.entries.iter().filter(|entry| entry.index.is_some());
        watched.any(|entry| entry.shown_by.is_some())
    }

    /// Entries watched that nobody can show any more, at the last look either: to hold their directories would
    /// hold their file systems. In between, what was done there is told.
    pub(super) fn deserted(&mut self, inhabited: &HashSet<u64>) -> Vec<usize> {
        let mut deserted = Vec::new();
        for (at, entry) in self.entries.iter_mut().enumerate() {
            let Some(namespace) = entry.shown_by.filter(|_| entry.index.is_some()) else {
                continue;
            };
            let is_deserted = !inhabited.contains(&namespace);
            if is_deserted && entry.is_deserted {
                deserted.push(at);
            }
            entry.is_deserted = is_deserted;
        }
        deserted
    }

    /// The entry watched under this number.
    pub(super) fn by_index(&mut self, index: u32) -> Option<&mut Entry> {
        self.entries
            .iter_mut()
            .find(|entry| entry.index == Some(index))
    }

    /// Directories in which something must happen for a root to come or go, the nearest ones that exist,
    /// and the names in them that lead to it.
    pub(super) fn vantage_points(&self) -> HashMap<PathBuf, HashSet<OsString>> {
        let mut points: HashMap<PathBuf, HashSet<OsString>> = HashMap::new();
        for entry in self.entries.iter().filter(|entry| entry.shown_by.is_none()) {
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

/// True where a root is this very directory.
fn is_watched(book: &Book, found: &Sighted) -> bool {
    let identity = |fd: BorrowedFd<'_>| {
        let stat = rustix::fs::fstat(fd).ok()?;
        Some((stat.st_dev, stat.st_ino))
    };
    let own = identity(found.directory.as_fd());
    book.roots()
        .any(|root| identity(root.directory().as_fd()) == own)
}

fn take_up(entry: &mut Entry, book: &mut Book) -> Result<bool> {
    let directory = open_directory(&entry.path)?;
    take_up_opened(entry, book, directory)
}

/// The same with its directory at hand: what was judged is what is watched.
fn take_up_opened(entry: &mut Entry, book: &mut Book, directory: OwnedFd) -> Result<bool> {
    if !entry.accepts(directory.as_fd()) {
        refuse(
            entry,
            "it is not its user's own and does not look like a cache",
        );
        return Ok(false);
    }
    let index = book.watch_opened(&entry.path, directory)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, index: Option<u32>, shown_by: Option<u64>) -> Entry {
        let path = shown_by.map_or("/nowhere/cache", |_| "/proc/self/cache");
        let path = PathBuf::from(path);
        let mut entry = Entry::new(name.to_owned(), path, None, Thresholds::default(), None);
        (entry.index, entry.shown_by) = (index, shown_by);
        entry
    }

    #[test]
    fn what_nobody_shows_at_two_looks_is_deserted() {
        let mut roster = Roster {
            entries: vec![
                entry("host", Some(0), None),
                entry("lives", Some(1), Some(5)),
                entry("gone", Some(2), Some(6)),
                entry("let go", None, Some(6)),
            ],
        };
        let inhabited = HashSet::from([4, 5]);
        assert!(roster.has_out_of_view());
        for inhabited in [&inhabited, &HashSet::from([6]), &inhabited] {
            assert!(roster.deserted(inhabited).is_empty());
        }
        assert_eq!(roster.deserted(&inhabited), [2]);
        // Its path is anybody's by now.
        let points = roster.vantage_points();
        let points: Vec<_> = points.into_keys().collect();
        assert_eq!(points, [Path::new("/")]);
    }

    #[test]
    fn those_that_cannot_come_back_make_room() {
        let host = (0..ENTRIES_MAX - 1).map(|_| entry("host", None, None));
        let mut roster = Roster {
            entries: host.collect(),
        };
        roster.entries.push(entry("let go", None, Some(6)));
        assert!(roster.has_room());
        roster.entries.push(entry("lives", Some(1), Some(5)));
        assert!(!roster.has_room());
    }
}
