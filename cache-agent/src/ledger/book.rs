//! The ledger of all roots: registers them, drains the kernel side, walks, and reconciles.

use std::{
    collections::HashSet,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use cache_ebpf::{
    InodeKey, OPERATION_LEAVE, OPERATION_MOVE_DIRECTORY, OPERATION_REPLACE, OPERATION_UNLINK,
    ProcessKey, ROOTS_MAX, counter,
};

use super::{
    account::{Accounts, changes, difference},
    cut::cut,
    root::{Base, FinishedWalk, WatchedRoot, open_directory},
};
use crate::{
    intake::ring::Fact,
    probe::session::{Purpose, Session},
    process::open_files,
    snapshot::Changes,
};

/// Records handed over per look at the ring, so that nothing else starves.
const DRAIN_LIMIT: usize = 16_384;
/// Looks for a moment at which no account changes.
const QUIET_ROUNDS: u32 = 200;
/// Pause between two such looks: longer than the kernel side takes from a credit to its event.
const QUIET_PAUSE: Duration = Duration::from_millis(1);
/// Times a walk is repeated when events were lost under it; after that its figure is taken as it is.
const WALK_REPEATS: u32 = 3;

/// What a walk found out.
#[derive(Clone, Copy, Debug)]
pub struct Reconciliation {
    /// Number of the root.
    pub index: u32,
    /// Ledger minus disk, in bytes, before any correction; 0 at the first walk.
    pub drift_bytes: i64,
    /// Disk and kernel total at the moment of comparison.
    pub base: Base,
    /// Change found by the walk that a directory moved over the border explains, and who moved it.
    pub moved: Option<(ProcessKey, Changes)>,
}

/// The ledger.
pub struct Book {
    session: Session,
    roots: Vec<Option<WatchedRoot>>,
}

impl Book {
    /// Loads the kernel side.
    pub fn open(purpose: Purpose) -> Result<Self> {
        Ok(Self {
            session: Session::open(purpose)?,
            roots: Vec::new(),
        })
    }

    /// The kernel side.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The roots.
    pub fn roots(&self) -> impl Iterator<Item = &WatchedRoot> {
        self.roots.iter().flatten()
    }

    /// One root.
    pub fn root(&self, index: u32) -> Option<&WatchedRoot> {
        self.roots.get(usize::try_from(index).ok()?)?.as_ref()
    }

    fn root_mut(&mut self, index: u32) -> Option<&mut WatchedRoot> {
        self.roots.get_mut(usize::try_from(index).ok()?)?.as_mut()
    }

    /// Readable when the ring wants to be looked at.
    pub fn events_fd(&self) -> BorrowedFd<'_> {
        self.session.tables.events_fd()
    }

    /// Takes a directory up as a root and starts its first walk.
    pub fn watch(&mut self, path: &Path) -> Result<u32> {
        let directory = open_directory(path)?;
        let slot = self
            .roots
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.roots.len());
        let index = u32::try_from(slot).ok().filter(|index| *index < ROOTS_MAX);
        let index = index.with_context(|| format!("more than {ROOTS_MAX} roots"))?;
        self.session.tables.open_root(index)?;
        let registered = self.session.register(directory.as_fd(), index)?;
        let (key, _) = registered.with_context(|| {
            format!("the kernel side does not take {} as a root", path.display())
        })?;
        self.refuse_twin(path, key)?;
        self.session.tables.watch_device(key.dev)?;
        let root = WatchedRoot::new(index, path.to_path_buf(), key, directory);
        if slot == self.roots.len() {
            self.roots.push(Some(root));
        } else {
            self.roots[slot] = Some(root);
        }
        open_files::seed(&mut self.session)?;
        self.start_walk(index)?;
        Ok(index)
    }

    /// Two paths to one directory are one root; the registration just made has taken the first one's place.
    fn refuse_twin(&mut self, path: &Path, key: InodeKey) -> Result<()> {
        let Some(twin) = self.roots().find(|root| root.key == key) else {
            return Ok(());
        };
        let (index, twin_path) = (twin.index, twin.path.display().to_string());
        let directory = twin.directory().try_clone().context("no descriptor left")?;
        self.session.register(directory.as_fd(), index)?;
        bail!(
            "roots {} and {twin_path} are the same directory",
            path.display()
        )
    }

    /// Lets a root go.
    pub fn unwatch(&mut self, index: u32) -> Result<()> {
        let Some(root) = self
            .roots
            .get_mut(usize::try_from(index)?)
            .and_then(Option::take)
        else {
            return Ok(());
        };
        self.session.tables.unregister(root.key)?;
        self.session.tables.retain_sizes(index, |_| false)
    }

    /// Starts a walk of a root.
    pub fn start_walk(&mut self, index: u32) -> Result<()> {
        let inner: HashSet<u64> = match self.root(index) {
            Some(root) => self
                .roots()
                .filter(|other| other.index != index && other.key.dev == root.key.dev)
                .map(|other| other.key.ino)
                .collect(),
            None => return Ok(()),
        };
        let dropped = self.dropped()?;
        match self.root_mut(index) {
            Some(root) => root.start_walk(inner, dropped),
            None => Ok(()),
        }
    }

    fn dropped(&self) -> Result<u64> {
        Ok(self.session.tables.counters()?[counter::DROPPED_RING_FULL as usize])
    }

    /// Takes what is in the ring; `each` sees every event.
    pub fn drain(&mut self, mut each: impl FnMut(&Fact)) -> usize {
        let roots = &mut self.roots;
        self.session.tables.drain(DRAIN_LIMIT, |record| {
            let Some(fact) = Fact::decode(record) else {
                return;
            };
            record_for_walk(roots, &fact);
            each(&fact);
        })
    }

    /// Settles all files open for write.
    pub fn sweep(&mut self) -> Result<()> {
        self.session.sweep()
    }

    /// Total of a root since it was registered.
    pub fn total(&self, index: u32) -> Result<Changes> {
        Ok(changes(&self.session.tables.total(index)?))
    }

    /// All accounts.
    pub fn accounts(&self) -> Result<Accounts> {
        Ok(Accounts::of(
            &self.session.tables.credits()?,
            &self.session.tables.processes()?,
        ))
    }

    /// Reconciles every root whose walk has finished.
    pub fn reconcile(&mut self, mut each: impl FnMut(&Fact)) -> Result<Vec<Reconciliation>> {
        let mut done = Vec::new();
        let walking: Vec<u32> = self
            .roots()
            .filter(|root| root.walk.is_some())
            .map(|root| root.index)
            .collect();
        for index in walking {
            if let Some(reconciliation) = self.reconcile_root(index, &mut each)? {
                done.push(reconciliation);
            }
        }
        Ok(done)
    }

    fn reconcile_root(
        &mut self,
        index: u32,
        each: &mut impl FnMut(&Fact),
    ) -> Result<Option<Reconciliation>> {
        if !self.root(index).is_some_and(WatchedRoot::walk_finished) {
            return Ok(None);
        }
        self.sweep()?;
        // The recorder stops with the walk: everything the kernel side has told by now must be in it.
        let total = self.quiet_total(index, each)?;
        let crossing = self.session.tables.take_crossing(index)?;
        let Some(finished) = self
            .root_mut(index)
            .map(WatchedRoot::finish_walk)
            .transpose()?
            .flatten()
        else {
            return Ok(None);
        };
        if self.dropped()? != finished.dropped_before
            && self
                .root(index)
                .is_some_and(|root| root.repeated < WALK_REPEATS)
        {
            if let Some(root) = self.root_mut(index) {
                root.repeated += 1;
            }
            self.start_walk(index)?;
            return Ok(None);
        }
        let Some(root) = self.root_mut(index) else {
            return Ok(None);
        };
        root.repeated = 0;
        let base = cut(&finished.walk, root.key.dev, &finished.recorder, total);
        let missed = missed(root, &base, &total);
        let mover = crossing
            .filter(|crossing| crossing.ambiguous == 0)
            .map(|crossing| crossing.mover);
        root.corrected.add(&missed);
        root.drift_bytes = if mover.is_some() {
            0
        } else {
            missed.growth_bytes.wrapping_neg()
        };
        let is_first = root.base.replace(base).is_none();
        root.walk_duration = finished.duration;
        root.walked_at = Some(SystemTime::now());
        let drift_bytes = root.drift_bytes;
        if is_first || missed != Changes::default() {
            self.remember(index, &finished, is_first)?;
        }
        Ok(Some(Reconciliation {
            index,
            drift_bytes,
            base,
            moved: mover.map(|mover| (mover, missed)),
        }))
    }

    /// Drains until the root's total stands still for a moment, so that total and events say the same.
    fn quiet_total(&mut self, index: u32, each: &mut impl FnMut(&Fact)) -> Result<Changes> {
        let mut total = self.total(index)?;
        for _ in 0..QUIET_ROUNDS {
            while self.drain(&mut *each) == DRAIN_LIMIT {}
            std::thread::sleep(QUIET_PAUSE);
            let now = self.total(index)?;
            if now == total && self.drain(&mut *each) == 0 {
                break;
            }
            total = now;
        }
        Ok(total)
    }

    /// Tells the kernel side the sizes a walk found.
    fn remember(&mut self, index: u32, finished: &FinishedWalk, is_first: bool) -> Result<()> {
        let Some(dev) = self.root(index).map(|root| root.key.dev) else {
            return Ok(());
        };
        let key = |ino| InodeKey { ino, dev, pad: 0 };
        let tables = &mut self.session.tables;
        for file in finished
            .walk
            .files
            .iter()
            .filter(|file| !finished.recorder.contains_key(&key(file.ino)))
        {
            if is_first {
                tables.enter_size(key(file.ino), index, file.size)?
            } else {
                tables.correct_size(key(file.ino), index, file.size)?
            }
        }
        for (ino, links) in &finished.walk.links {
            tables.enter_links(key(*ino), index, links.inside, links.nlink)?;
        }
        if !is_first {
            let found: HashSet<u64> = finished.walk.files.iter().map(|file| file.ino).collect();
            tables.retain_sizes(index, |key| {
                found.contains(&key.ino) || finished.recorder.contains_key(key)
            })?;
        }
        Ok(())
    }

    /// Walks until every root has been reconciled.
    pub fn wait_for_walks(&mut self, mut each: impl FnMut(&Fact)) -> Result<Vec<Reconciliation>> {
        let mut done = Vec::new();
        let started = Instant::now();
        while self.roots().any(|root| root.walk.is_some()) {
            self.drain(&mut each);
            done.extend(self.reconcile(&mut each)?);
            let pause = if started.elapsed() < Duration::from_millis(100) {
                1
            } else {
                10
            };
            std::thread::sleep(Duration::from_millis(pause));
        }
        Ok(done)
    }
}

/// What happened on disk beyond what the ledger counted since the last base; nothing at the first walk.
fn missed(root: &WatchedRoot, base: &Base, total: &Changes) -> Changes {
    let Some(before) = &root.base else {
        return Changes::default();
    };
    let counted = difference(total, &before.total);
    let signed = |value: u64| value.cast_signed();
    let growth = signed(base.bytes) - signed(before.bytes) - counted.growth_bytes;
    let files = signed(base.files)
        - signed(before.files)
        - (signed(counted.files_created) - signed(counted.files_deleted));
    Changes {
        growth_bytes: growth,
        freed_bytes: growth.min(0).unsigned_abs(),
        files_created: files.max(0).unsigned_abs(),
        files_deleted: files.min(0).unsigned_abs(),
        files_renamed: 0,
    }
}

fn record_for_walk(roots: &mut [Option<WatchedRoot>], fact: &Fact) {
    let event = &fact.event;
    let root = usize::try_from(event.root)
        .ok()
        .and_then(|index| roots.get_mut(index)?.as_mut());
    let Some(walk) = root.and_then(|root| root.walk.as_mut()) else {
        return;
    };
    match event.operation {
        OPERATION_MOVE_DIRECTORY => {}
        OPERATION_UNLINK | OPERATION_LEAVE | OPERATION_REPLACE => {
            drop(walk.recorder.insert(event.key, None))
        }
        _ => drop(walk.recorder.insert(event.key, Some(event.after))),
    }
}
