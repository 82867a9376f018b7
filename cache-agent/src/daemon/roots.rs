//! The roots of the host by name: configured or discovered, there or not (yet, or any more).
//!
//! Takes: the configuration, what discovery proposes. Gives: which name is watched under which number.
//! Never: counts anything.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ffi::OsString,
    os::fd::{AsRawFd as _, BorrowedFd},
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

use cache_ebpf::ProcessKey;

use super::trouble::{Returns, Trouble};
use crate::{
    config::{Config, limits::Thresholds, roots::RootConfig},
    discover::host::{Candidate, for_host},
    go::env::Environment,
    kernel::ledger_maps::LedgerMaps,
    ledger::Ledger,
    limits::Limits,
    model::{changes::Changes, root::RootKind, tool_group::GROUPS},
    process::caches_in_use::{birth, is_born_since},
    sys::{
        clock::milliseconds,
        file_id::{FileId, file_id},
    },
};

/// Roots, configured and discovered.
pub(super) const ROOTS_KEPT_MAX: usize = 1_000;

/// Whether a root is watched.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Its directory does not exist, yet or any more.
    Absent,
    /// There is one that cannot be watched, for this reason, which has been logged.
    Refused(String),
    /// It has this number in the ledger.
    Watched(u32),
}

/// What a directory held before it became a root.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum InitialContent {
    /// The base that growth is counted from.
    Base,
    /// Growth that nobody in particular caused.
    Nobodys,
    /// Growth that this command alone can have caused.
    Of(ProcessKey),
}

/// A root by name, watched or not.
#[derive(Debug)]
pub(super) struct Root {
    /// Metric label.
    pub name: String,
    /// Where it is, or is to appear.
    pub path: PathBuf,
    /// What it is; recognised when it appears, unless the configuration says.
    pub kind: RootKind,
    pub(super) is_kind_given: bool,
    /// Whether it is watched.
    pub state: State,
    /// What its owner set, and how it stands to that.
    pub limits: Limits,
    /// Leaders of invocations under way that changed it or looked something up in it.
    pub live_users: HashSet<ProcessKey>,
    /// Proposed by discovery: watched only while its user may be believed.
    pub(super) candidate: Option<Candidate>,
    /// Next reconciling walk.
    pub next_walk: Instant,
    /// What keeps it from being walked, or walked whole.
    pub(super) trouble: Trouble,
    pub(super) returns: Returns,
    /// Changes by group of processes that ended, and of earlier directories at this path.
    pub folded: [Changes; GROUPS.len()],
    /// Totals of earlier directories at this path.
    pub carried: Changes,
    /// What walks of them corrected.
    pub corrected: Changes,
    /// A go command named it while it ran: not found by looking, so not lost by looking again.
    pub(super) is_found_in_use: bool,
    /// Outside of the agent's view: shown by this mount namespace, as long as anybody lives in it.
    pub(super) shown_by: Option<u64>,
    /// Nobody did at the last look.
    is_deserted: bool,
    /// What is to become of what was there before, once the first walk has measured it.
    pub initial_content: InitialContent,
    /// Directories that were there, the latest last.
    pub(super) directories: VecDeque<Born>,
    /// Since when it is known, in milliseconds since the epoch.
    since_ms: i64,
}

/// A directory that no other one is: inode numbers are used again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Born {
    file: FileId,
    at: SystemTime,
}

/// Directories of a root that are remembered.
const DIRECTORIES_MAX: usize = 16;

impl Root {
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
            state: State::Absent,
            limits: Limits::new(thresholds),
            live_users: HashSet::new(),
            candidate,
            next_walk: Instant::now(),
            trouble: Trouble::default(),
            returns: Returns::default(),
            folded: [Changes::default(); GROUPS.len()],
            carried: Changes::default(),
            corrected: Changes::default(),
            is_found_in_use: false,
            shown_by: None,
            is_deserted: false,
            initial_content: InitialContent::Base,
            directories: VecDeque::new(),
            since_ms: milliseconds(SystemTime::now()),
        }
    }

    /// A directory takes the place of those that were there. One that came since, and was never here before, was
    /// empty: what it holds is growth, whoever caused it.
    pub(super) fn comes(&mut self, directory: BorrowedFd<'_>) {
        let (Some(file), Some(at)) = (file_id(directory), birth(directory)) else {
            return;
        };
        let born = Born { file, at };
        let is_new = !self.directories.is_empty()
            && !self.directories.contains(&born)
            && is_born_since(directory, self.since_ms);
        if is_new && self.initial_content == InitialContent::Base {
            self.initial_content = InitialContent::Nobodys;
        }
        self.directories.retain(|known| *known != born);
        self.directories.push_back(born);
        while self.directories.len() > DIRECTORIES_MAX {
            self.directories.pop_front();
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

    pub(super) fn discovered(candidate: Candidate, thresholds: Thresholds) -> Self {
        Self::new(
            candidate.name.clone(),
            candidate.root.path.clone(),
            Some(candidate.root.kind),
            thresholds,
            Some(candidate),
        )
    }

    /// What keeps it from being watched or walked, if anything does.
    pub(super) fn trouble(&self) -> Option<&str> {
        match &self.state {
            State::Refused(reason) => Some(reason),
            State::Absent | State::Watched(_) => self.trouble.sentence(),
        }
    }

    /// A walk failed, or could not be started: the figures stay, and it is tried again after a pause.
    pub(super) fn walk_failed(&mut self, now: Instant, error: &anyhow::Error) {
        let sentence = format!("cannot be walked: {error:#}");
        self.next_walk = now + self.trouble.failed(&self.name, sentence);
    }

    /// Its number in the ledger while it is watched.
    pub(super) fn index(&self) -> Option<u32> {
        match self.state {
            State::Watched(index) => Some(index),
            State::Absent | State::Refused(_) => None,
        }
    }

    /// Users choose where their caches are said to be: what is there must look like one or be theirs.
    pub(super) fn accepts(&self, directory: BorrowedFd<'_>) -> bool {
        let opened = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let candidate = self.candidate.as_ref();
        candidate.is_none_or(|candidate| candidate.accepts(Path::new(&opened)))
    }
}

/// All roots by name.
#[derive(Debug, Default)]
pub(super) struct RootTable {
    /// Configured ones first, then discovered ones.
    pub all: Vec<Root>,
    /// When something that could not be taken up is tried again, whether or not anything tells of it.
    pub(super) next_try: Option<Instant>,
    /// Names of those that go commands use and that were refused, which has been logged.
    pub(super) refused: VecDeque<String>,
    /// Times that a root could not be taken up or walked whole.
    pub(super) failures: u64,
}

impl RootTable {
    /// Brings the list in line with a configuration; roots that stay keep their accounts.
    /// Those that go are returned: the caller closes their accounts.
    pub(super) fn apply(&mut self, config: &Config) -> Vec<Root> {
        let mut wanted: Vec<Root> = config.roots.iter().map(Root::configured).collect();
        if config.discovery.enabled {
            let environment: Environment = std::env::vars_os().collect();
            let found = for_host(&environment, &config.roots);
            wanted.extend(
                found
                    .into_iter()
                    .map(|candidate| Root::discovered(candidate, config.discovered)),
            );
        }
        let mut before = std::mem::take(&mut self.all);
        for mut root in wanted {
            if let Some(at) = before
                .iter()
                .position(|old| old.name == root.name && old.path == root.path)
            {
                let old = before.swap_remove(at);
                root = Root {
                    limits: old.limits.with(root.limits.thresholds),
                    kind: if root.is_kind_given {
                        root.kind
                    } else {
                        old.kind
                    },
                    is_kind_given: root.is_kind_given,
                    candidate: root.candidate,
                    ..old
                };
            }
            self.all.push(root);
        }
        if config.discovery.enabled {
            let (sighted, others) = before.into_iter().partition(|old| old.is_found_in_use);
            before = others;
            self.all.extend::<Vec<Root>>(sighted);
        }
        before
    }

    /// Entries whose directory is no longer at its path.
    pub(super) fn displaced(&self, ledger: &Ledger<impl LedgerMaps>) -> Vec<usize> {
        let is_displaced = |root: &Root| {
            let watched = root.index().and_then(|index| ledger.root(index));
            watched.is_some_and(|watched| {
                if root.shown_by.is_some() {
                    !watched.exists()
                } else {
                    !watched.is_in_place()
                }
            })
        };
        self.all
            .iter()
            .enumerate()
            .filter(|(_, root)| is_displaced(root))
            .map(|(at, _)| at)
            .collect()
    }

    /// True where roots are watched that only a mount namespace shows.
    pub(super) fn has_out_of_view(&self) -> bool {
        let mut watched = self.all.iter().filter(|root| root.index().is_some());
        watched.any(|root| root.shown_by.is_some())
    }

    /// Entries watched that nobody can show any more, at the last look either: to hold their directories would
    /// hold their file systems. In between, what was done there is told.
    pub(super) fn deserted(&mut self, inhabited: &HashSet<u64>) -> Vec<usize> {
        let mut deserted = Vec::new();
        for (at, root) in self.all.iter_mut().enumerate() {
            let Some(namespace) = root.shown_by.filter(|_| root.index().is_some()) else {
                continue;
            };
            let is_deserted = !inhabited.contains(&namespace);
            if is_deserted && root.is_deserted {
                deserted.push(at);
            }
            root.is_deserted = is_deserted;
        }
        deserted
    }

    /// The root watched under this number.
    pub(super) fn by_index(&mut self, index: u32) -> Option<&mut Root> {
        self.all.iter_mut().find(|root| root.index() == Some(index))
    }

    /// Directories in which something must happen for a root to come or go, the nearest ones that exist,
    /// and the names in them that lead to it.
    pub(super) fn watch_points(&self) -> HashMap<PathBuf, HashSet<OsString>> {
        let mut points: HashMap<PathBuf, HashSet<OsString>> = HashMap::new();
        for root in self.all.iter().filter(|root| root.shown_by.is_none()) {
            let Some(directory) = root
                .path
                .ancestors()
                .skip(1)
                .find(|directory| directory.is_dir())
            else {
                continue;
            };
            let next = root
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

#[cfg(test)]
mod tests {
    use super::*;

    fn root(name: &str, index: Option<u32>, shown_by: Option<u64>) -> Root {
        let path = shown_by.map_or("/nowhere/cache", |_| "/proc/self/cache");
        let path = PathBuf::from(path);
        let mut root = Root::new(name.to_owned(), path, None, Thresholds::default(), None);
        root.state = index.map_or(State::Absent, State::Watched);
        root.shown_by = shown_by;
        root
    }

    #[test]
    fn what_nobody_shows_at_two_looks_is_deserted() {
        let mut roots = RootTable {
            all: vec![
                root("host", Some(0), None),
                root("lives", Some(1), Some(5)),
                root("gone", Some(2), Some(6)),
                root("let go", None, Some(6)),
            ],
            ..RootTable::default()
        };
        let inhabited = HashSet::from([4, 5]);
        assert!(roots.has_out_of_view());
        for inhabited in [&inhabited, &HashSet::from([6]), &inhabited] {
            assert!(roots.deserted(inhabited).is_empty());
        }
        assert_eq!(roots.deserted(&inhabited), [2]);
        // Its path is anybody's by now.
        let points = roots.watch_points();
        let points: Vec<_> = points.into_keys().collect();
        assert_eq!(points, [Path::new("/")]);
    }

    #[test]
    fn those_that_cannot_come_back_make_room() {
        let host = (0..ROOTS_KEPT_MAX - 1).map(|_| root("host", None, None));
        let mut roots = RootTable {
            all: host.collect(),
            ..RootTable::default()
        };
        roots.all.push(root("let go", None, Some(6)));
        assert!(roots.has_room());
        roots.all.push(root("lives", Some(1), Some(5)));
        assert!(!roots.has_room());
    }
}
