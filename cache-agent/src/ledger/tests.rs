//! The ledger on a fake kernel side and real directories: each test states one rule.

mod moved_directories;
mod properties;
mod reconcile;

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::kernel::{fake::FakeKernel, hooks::Backend};

/// Long enough for any walk of a few files.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// A ledger with one root.
pub(super) struct Watched {
    pub(super) kernel: FakeKernel,
    pub(super) ledger: Ledger<FakeKernel>,
    pub(super) directory: TempDir,
    pub(super) index: u32,
}

impl Watched {
    /// Its root has been walked; it held these files before.
    pub(super) fn walked(backend: Backend, before: &[(&str, usize)]) -> Self {
        let mut watched = Self::taken_up(backend, before);
        watched.ledger.start_walk(watched.index).unwrap();
        watched.ledger.wait_for_walks(|_| {}).unwrap();
        watched
    }

    /// Its root has not been walked yet.
    pub(super) fn taken_up(backend: Backend, before: &[(&str, usize)]) -> Self {
        let kernel = FakeKernel::new(backend);
        let mut ledger = Ledger::with(kernel.clone()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        for (name, size) in before {
            fs::write(directory.path().join(name), vec![b'x'; *size]).unwrap();
        }
        let index = ledger.watch(directory.path()).unwrap();
        Self {
            kernel,
            ledger,
            directory,
            index,
        }
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn drain(&mut self) -> Vec<Fact> {
        let mut facts = Vec::new();
        self.ledger.drain(|fact| facts.push(fact));
        facts
    }

    pub(super) fn root(&self) -> &WatchedRoot {
        self.ledger.root(self.index).unwrap()
    }

    /// Bytes and files by the ledger.
    pub(super) fn size(&self) -> (u64, u64) {
        let total = self.ledger.total(self.index).unwrap();
        (self.root().size(&total), self.root().files(&total))
    }

    /// Bytes and files by a look at the disk.
    pub(super) fn on_disk(&self) -> (u64, u64) {
        let directory = self.root().directory().reopen().unwrap();
        let walk = walk::Walk::of(&directory, &HashSet::new()).unwrap();
        (walk.bytes(), walk.files.len() as u64)
    }

    /// Walks once more; what was found.
    pub(super) fn walk(&mut self) -> Reconciliation {
        self.ledger.start_walk(self.index).unwrap();
        self.ledger.wait_for_walks(|_| {}).unwrap().done.remove(0)
    }

    /// Net growth that a process is credited with.
    pub(super) fn growth(&self, process: ProcessKey) -> i64 {
        let key = CreditKey {
            process,
            root: self.index,
            pad: 0,
        };
        let credit = self.ledger.credit(&key).unwrap();
        credit.map_or(0, |credit| changes(&credit).growth_bytes)
    }
}

#[test]
fn a_root_holds_what_its_walk_found_and_what_was_credited_since() {
    let mut watched = Watched::walked(Backend::Tracepoint, &[("old", 5), ("older", 7)]);
    assert_eq!(watched.size(), (12, 2));
    let go = watched.kernel.start("go build");
    watched.kernel.write(go, &watched.path("new"), 1323);
    watched.kernel.unlink(go, &watched.path("older"));
    watched
        .kernel
        .rename(go, &watched.path("new"), &watched.path("old"));
    assert_eq!((watched.size(), watched.on_disk()), ((1323, 1), (1323, 1)));
    let words: Vec<_> = watched.drain().iter().map(Fact::operation).collect();
    assert_eq!(words, ["create", "write", "unlink", "replace", "rename"]);
    assert_eq!(watched.growth(go), 1323 - 12);
}

#[test]
fn a_full_ring_costs_detail_only() {
    let mut watched = Watched::walked(Backend::Tracepoint, &[]);
    let go = watched.kernel.start("go build");
    watched.kernel.lose_events(true);
    watched.kernel.write(go, &watched.path("a"), 100);
    assert!(watched.drain().is_empty());
    assert_eq!((watched.size(), watched.growth(go)), ((100, 1), 100));
    watched.kernel.lose_events(false);
    assert_eq!(watched.walk().drift_bytes, 0);
}

#[test]
fn a_sweep_shows_what_a_file_grew_by_while_it_is_open() {
    let mut watched = Watched::walked(Backend::Tracepoint, &[]);
    assert!(!watched.ledger.sweep_open().unwrap());
    let go = watched.kernel.start("go build");
    watched.kernel.open(go, &watched.path("a"));
    watched.kernel.append(&watched.path("a"), 100);
    assert_eq!(watched.growth(go), 0);
    assert!(watched.ledger.sweep_open().unwrap());
    assert_eq!((watched.growth(go), watched.size()), (100, (100, 1)));
}

#[test]
fn two_paths_to_one_directory_are_one_root() {
    let mut watched = Watched::walked(Backend::Tracepoint, &[]);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(watched.directory.path(), &link).unwrap();
    let error = watched.ledger.watch(&link).unwrap_err().to_string();
    assert!(error.ends_with("are the same directory"), "{error}");
    // The first one is still the one that counts.
    let go = watched.kernel.start("go build");
    watched.kernel.write(go, &watched.path("a"), 10);
    assert_eq!(watched.size(), (10, 1));
}

#[test]
fn nobody_is_told_of_the_agents_own_directory_and_it_is_never_walked() {
    let mut watched = Watched::walked(Backend::Tracepoint, &[]);
    let own = tempfile::tempdir().unwrap();
    let directory = open_directory(own.path()).unwrap();
    let index = watched.ledger.watch_unseen(own.path(), directory).unwrap();
    watched.ledger.seed_open_files().unwrap();
    assert!(watched.ledger.root(index).unwrap().walk.is_none());
    let agent = watched.ledger.identify().unwrap();
    watched.kernel.write(agent, &own.path().join("a"), 10);
    assert!(watched.drain().is_empty());
    assert_eq!(watched.ledger.total(index).unwrap().growth_bytes, 10);
}

#[test]
fn a_nested_root_counts_for_itself_only() {
    let mut watched = Watched::taken_up(Backend::Tracepoint, &[("outer", 1)]);
    let inner = watched.path("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("before"), "12345").unwrap();
    let index = watched.ledger.watch(&inner).unwrap();
    watched.ledger.seed_open_files().unwrap();
    watched.ledger.wait_for_walks(|_| {}).unwrap();
    let go = watched.kernel.start("go build");
    watched.kernel.write(go, &inner.join("since"), 70);
    let total = watched.ledger.total(index).unwrap();
    assert_eq!(watched.ledger.root(index).unwrap().size(&total), 75);
    assert_eq!(watched.size(), (1, 1));
}

#[test]
fn what_was_there_before_is_credited_to_its_owner_or_to_nobody() {
    for is_owned in [true, false] {
        let mut watched = Watched::walked(Backend::Tracepoint, &[("a", 30), ("b", 12)]);
        let go = watched.kernel.start("go build");
        let owner = is_owned.then_some(go);
        let index = watched.index;
        watched.ledger.credit_initial_content(index, owner).unwrap();
        let credited = owner.unwrap_or(maps::nobody(index).process);
        assert_eq!(watched.growth(credited), 42);
        // It is told once, and the root is as large as it was.
        watched.ledger.credit_initial_content(index, owner).unwrap();
        assert_eq!((watched.growth(credited), watched.size()), (42, (42, 2)));
    }
}

#[test]
fn a_root_that_is_let_go_leaves_its_number_to_a_later_one() {
    let mut watched = Watched::walked(Backend::Tracepoint, &[("a", 30)]);
    watched.ledger.unwatch(watched.index).unwrap();
    assert!(watched.ledger.root(watched.index).is_none());
    let other = tempfile::tempdir().unwrap();
    for number in 1..=u32::try_from(FREE_KEPT).unwrap() {
        // What was done under the first one's may be told yet.
        let index = watched.ledger.watch(other.path()).unwrap();
        assert_eq!(index, watched.index + number);
        watched.ledger.unwatch(index).unwrap();
    }
    assert_eq!(watched.ledger.watch(other.path()).unwrap(), watched.index);
    assert_eq!(
        watched.ledger.total(watched.index).unwrap(),
        Changes::default()
    );
}
