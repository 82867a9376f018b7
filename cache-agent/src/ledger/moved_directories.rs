//! Directories that crossed a root's border. The kernel side sees one rename; what the directory held at
//! that moment is measured here and credited to the mover. What changed in it since is in the ledger
//! already and must not count twice: the first event of each file after the rename tells its size then.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::Path,
    thread::sleep,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::Result;
use cache_ebpf::{
    InodeKey, OPERATION_CREATE, OPERATION_DIRECTORY_ENTER, OPERATION_ENTER, OPERATION_VANISH,
    ProcessKey,
};
use rustix::fs::fstat;

use super::{Ledger, root::WatchedRoot, walk::Walk};
use crate::{
    kernel::{file_events::Fact, ledger_maps::LedgerMaps},
    model::changes::Changes,
    sys::openat::{self, Links},
};

/// A directory that crossed, as its event told.
#[derive(Clone, Debug)]
pub struct Crossed {
    /// The directory.
    pub key: InodeKey,
    /// Number of the root.
    root: u32,
    /// Who moved it.
    mover: ProcessKey,
    entered: bool,
    /// Below the root, or below the top of the file system.
    path: Vec<u8>,
}

/// The first thing that happened to a file after a crossing.
#[derive(Clone, Copy, Debug)]
pub struct First {
    before: u64,
    operation: u32,
    /// Inode number of its directory.
    parent: u64,
}

/// A new file has its name a moment before the hook of its open tells of it: so long may its process be kept
/// from running.
const TELLING: Duration = Duration::from_millis(50);

/// Directories that go on moving wait for the next time.
const MEASURE_ROUNDS: usize = 8;

/// Files and their sizes when the directory crossed.
type Content = HashMap<InodeKey, u64>;

impl Crossed {
    /// From an event of a directory.
    pub fn of(fact: &Fact) -> Self {
        let event = &fact.event;
        Self {
            key: event.key,
            root: event.root,
            mover: event.process,
            entered: event.operation == OPERATION_DIRECTORY_ENTER,
            path: fact.raw_path(),
        }
    }
}

impl First {
    /// From an event of a file.
    pub fn of(fact: &Fact) -> Self {
        let event = &fact.event;
        Self {
            before: event.before,
            operation: event.operation,
            parent: event.parent,
        }
    }

    /// It appeared after the crossing.
    fn appeared(&self) -> bool {
        matches!(self.operation, OPERATION_CREATE | OPERATION_ENTER)
    }
}

/// True where a walk may have met files whose creation has not been told yet.
fn changes_still(walk: &Walk) -> bool {
    let changed = UNIX_EPOCH + Duration::from_secs(walk.last_change_s.unsigned_abs());
    // A change that lies ahead is one of a clock that was set back: as fresh as can be.
    changed
        .elapsed()
        .map_or(true, |since| since <= Duration::from_secs(2))
}

impl<M: LedgerMaps> Ledger<M> {
    /// Measures the directories that crossed since the last time, and those that cross meanwhile.
    pub fn measure(&mut self, mut each: impl FnMut(Fact)) -> Result<()> {
        for _ in 0..MEASURE_ROUNDS {
            if self.roots().all(|root| root.crossed.is_empty()) {
                break;
            }
            self.measure_told(&mut each)?;
        }
        Ok(())
    }

    fn measure_told(&mut self, mut each: impl FnMut(Fact)) -> Result<()> {
        let crossings = self.maps.crossings()?;
        // Those counted have been told by now. They stay with their roots until all is measured: so long what
        // happens to their files is noted.
        self.drain(&mut each);
        let crossed: Vec<Crossed> = self.roots().flat_map(|root| root.crossed.clone()).collect();
        let walks: Vec<Option<Walk>> = crossed
            .iter()
            .map(|crossed| self.walk_crossed(crossed))
            .collect();
        if walks.iter().flatten().any(changes_still) {
            sleep(TELLING);
        }
        self.drain(&mut each);
        let mut elsewhere = Vec::new();
        for (at, crossing) in crossed.iter().enumerate() {
            // One that is not there any more may be found where it went.
            let mut twins = crossed
                .iter()
                .zip(&walks)
                .filter(|(other, _)| other.key == crossing.key);
            let own = walks.get(at).and_then(Option::as_ref);
            match own.or_else(|| twins.find_map(|(_, walk)| walk.as_ref())) {
                Some(walk) => {
                    let content = self.content(crossing, walk)?;
                    self.settle_crossing(crossing, &content)?;
                }
                None if self.crossed_again(crossing, &crossed) => elsewhere.push(crossing),
                None => {}
            }
        }
        for root in self.roots.iter_mut().flatten() {
            let of_root = |crossing: &&Crossed| crossing.root == root.index;
            let news = root
                .crossed
                .split_off(crossed.iter().filter(of_root).count());
            let waiting = elsewhere.iter().copied().filter(of_root);
            root.crossed = waiting.cloned().chain(news).collect();
            if root.crossed.is_empty() {
                root.firsts.clear();
            }
        }
        if elsewhere.is_empty() {
            self.maps.measured_crossings(crossings)?;
        }
        Ok(())
    }

    /// True where the directory has moved on since `crossed` were taken: it is found with its next crossing.
    fn crossed_again(&self, crossing: &Crossed, crossed: &[Crossed]) -> bool {
        let is_same = |other: &&Crossed| other.key == crossing.key;
        let now = self.roots().flat_map(|root| &root.crossed);
        now.filter(is_same).count() > crossed.iter().filter(is_same).count()
    }

    fn walk_crossed(&self, crossed: &Crossed) -> Option<Walk> {
        let root = self.root(crossed.root)?;
        let directory = open_crossed(root, crossed)?;
        Walk::of(&directory, &self.inner_roots(crossed.root)).ok()
    }

    fn content(&self, crossed: &Crossed, walk: &Walk) -> Result<Content> {
        let key = |ino| InodeKey {
            ino,
            dev: crossed.key.dev,
            pad: 0,
        };
        let Some(root) = self.root(crossed.root) else {
            return Ok(Content::new());
        };
        let found = walk.files.iter().map(|file| (key(file.ino), file.size));
        let mut content = Content::new();
        for (key, size) in found {
            if !crossed.entered {
                if let Some(size) = self.size_left(root, &key, size)? {
                    content.insert(key, size);
                }
            } else if !root.firsts.contains_key(&key) {
                content.insert(key, size);
            }
        }
        let firsts = root.firsts.iter().filter(|(_, first)| {
            let held = crossed.entered != (first.operation == OPERATION_VANISH);
            held && !first.appeared() && walk.directories.contains(&first.parent)
        });
        for (key, first) in firsts {
            content.entry(*key).or_insert(first.before);
        }
        Ok(content)
    }

    /// Size that a file had in the root it left with its directory; `size` is its present one.
    fn size_left(&self, root: &WatchedRoot, key: &InodeKey, size: u64) -> Result<Option<u64>> {
        let tables = &self.maps;
        if let Some(known) = tables.known_size(key, root.index)? {
            return Ok(Some(known));
        }
        if tables.keeps_sizes() {
            // The kernel side knows every file that was in the root; the rest came later.
            return Ok(None);
        }
        Ok(match root.firsts.get(key) {
            Some(first) if first.appeared() => None,
            Some(first) if first.operation == OPERATION_VANISH => Some(first.before),
            _ => Some(size),
        })
    }

    fn settle_crossing(&mut self, crossed: &Crossed, content: &Content) -> Result<()> {
        let Crossed {
            root: index,
            mover,
            entered,
            ..
        } = *crossed;
        let (bytes, count) = (content.values().sum::<u64>(), content.len() as u64);
        let changes = if entered {
            Changes {
                growth_bytes: bytes.cast_signed(),
                files_created: count,
                ..Changes::default()
            }
        } else {
            Changes {
                growth_bytes: bytes.cast_signed().wrapping_neg(),
                freed_bytes: bytes,
                files_deleted: count,
                ..Changes::default()
            }
        };
        self.maps.credit(mover, index, &changes)?;
        let Some(root) = self.root(index) else {
            return Ok(());
        };
        // What was touched since it entered has been told by its own events.
        let is_ours = |key: &InodeKey| !entered || !root.firsts.contains_key(key);
        let files: Vec<(InodeKey, u64)> = content
            .iter()
            .filter(|(key, _)| is_ours(key))
            .map(|(key, size)| (*key, *size))
            .collect();
        for (key, size) in &files {
            if entered {
                self.maps.enter_size(*key, index, *size)?;
            } else {
                self.maps.forget_file(key)?;
            }
        }
        let Some(root) = self.root_mut(index) else {
            return Ok(());
        };
        root.measured += 1;
        root.reported.add(&changes);
        if let Some(walk) = &mut root.walk {
            let sizes = files
                .iter()
                .map(|(key, size)| (*key, entered.then_some(*size)));
            walk.recorder.extend(sizes);
        }
        Ok(())
    }
}

fn open_crossed(root: &WatchedRoot, crossed: &Crossed) -> Option<OwnedFd> {
    let path = Path::new(OsStr::from_bytes(&crossed.path));
    let found = if crossed.entered {
        openat::directory(root.directory(), path, Links::Refused)
    } else {
        openat::open_in_mounts(path, root.directory(), crossed.key.ino)
    }?;
    let (top, stat) = (fstat(root.directory()).ok()?, fstat(&found).ok()?);
    // A subvolume of btrfs is on another device, and no part of the root.
    let is_it = stat.st_ino == crossed.key.ino && stat.st_dev == top.st_dev;
    is_it.then_some(found)
}
