//! The running account: who changed the size of which root by how much.
//!
//! Takes: totals and events from `intake`, walks of the disk. Gives: accounts per process and root, and
//! sizes. Never: a figure that rides on the event stream alone.

pub mod accounts;
pub mod directory;
pub mod measure;
pub mod merge;
mod moved_directories;
pub mod open_files;
mod pseudo;
mod reconcile;
pub mod root;
pub mod sequence;
pub mod walk;
mod walkers;

use std::{
    collections::{HashSet, VecDeque},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use cache_ebpf::{
    APPEARANCES, Credit, CreditKey, InodeKey, NO_ROOT, OPERATION_VANISH, Process, ProcessKey,
    ROOTS_MAX, counter,
};
use rustix::io::Errno;

pub use self::reconcile::{Reconciled, Reconciliation, Unsure};
use self::{
    accounts::Accounts,
    pseudo::refuse_pseudo,
    root::{WatchedRoot, open_directory},
    sequence::Sequence,
    walkers::Walkers,
};
use crate::{
    kernel::{
        counters::Counters,
        file_events::Fact,
        kernel_side::KernelSide,
        ledger_maps::LedgerMaps,
        maps,
        process_maps::ProcessMaps,
        session::{Purpose, Registered, Session},
    },
    model::{
        changes::{Changes, changes},
        printable::Shown,
    },
    sys::shortage::is_shortage,
};

/// Numbers left alone for a while: what was done under them may not have been told yet.
const FREE_KEPT: usize = 8;
/// Records handed over per look at the ring, so that nothing else starves.
const DRAIN_LIMIT: usize = 16_384;

/// The ledger.
pub struct Ledger<M: LedgerMaps = Session> {
    maps: M,
    roots: Vec<Option<WatchedRoot>>,
    /// Numbers that no root has any more, the longest free first.
    free: VecDeque<usize>,
    walkers: Walkers,
    /// What is told while directories that crossed a border wait to be measured.
    sequence: Sequence,
    /// The root of which nobody is told.
    unseen: Option<u32>,
}

impl Ledger {
    /// Loads the kernel side; its maps of processes are for who follows them.
    pub fn open(purpose: Purpose) -> Result<(Self, ProcessMaps)> {
        let (session, process_maps) = Session::open(purpose)?;
        Ok((Self::with(session)?, process_maps))
    }

    /// What `spawn` starts belongs to the traced family, of which this process is the head only for that long.
    pub fn with_family<T>(&mut self, spawn: impl FnOnce() -> Result<T>) -> Result<T> {
        let own = self.maps.identify()?;
        self.maps.enter_family(own.tgid)?;
        let spawned = spawn()?;
        self.maps.leave_family(own.tgid)?;
        Ok(spawned)
    }
}

impl<K: KernelSide> Ledger<K> {
    /// The hooks in use, and what they observe.
    pub fn session(&self) -> &K {
        &self.maps
    }

    /// This process as the kernel side names it.
    pub fn identify(&mut self) -> Result<ProcessKey> {
        self.maps.identify()
    }

    /// Asks to be woken by the next event.
    pub fn sleep(&mut self) -> Result<()> {
        self.maps.sleep()
    }

    /// Readable when the ring wants to be looked at.
    pub fn events_fd(&self) -> BorrowedFd<'_> {
        self.maps.events_fd()
    }
}

impl<M: LedgerMaps> Ledger<M> {
    /// A ledger without roots.
    pub fn with(maps: M) -> Result<Self> {
        Ok(Self {
            maps,
            roots: Vec::new(),
            free: VecDeque::new(),
            walkers: Walkers::start().context("cannot walk roots: no thread")?,
            sequence: Sequence::default(),
            unseen: None,
        })
    }

    /// All counters, summed over the CPUs.
    pub fn counters(&self) -> Result<Counters> {
        self.maps.counters()
    }

    /// Who a process with an account is.
    pub fn process(&self, key: &ProcessKey) -> Result<Option<Process>> {
        self.maps.process(key)
    }

    /// All processes with an account.
    pub fn processes(&self) -> Result<Vec<(ProcessKey, Process)>> {
        self.maps.processes()
    }

    /// All accounts as the kernel side has them.
    pub fn credits(&self) -> Result<Vec<(CreditKey, Credit)>> {
        self.maps.accounts()
    }

    /// Closes an account; the caller has taken it over.
    pub fn close_account(&mut self, key: &CreditKey) -> Result<()> {
        self.maps.close_account(key)
    }

    /// Forgets a process that ended.
    pub fn forget_process(&mut self, key: &ProcessKey) -> Result<()> {
        self.maps.forget_process(key)
    }

    /// Files open for write at this moment.
    pub fn open_files(&self) -> usize {
        self.maps.open_files(usize::MAX)
    }

    /// True where a moved directory waits to be measured.
    pub fn has_crossing(&self, index: u32) -> Result<bool> {
        self.maps.has_crossing(index)
    }

    /// The roots.
    pub fn roots(&self) -> impl Iterator<Item = &WatchedRoot> {
        self.roots.iter().flatten()
    }

    /// One root.
    pub fn root(&self, index: u32) -> Option<&WatchedRoot> {
        self.roots.get(usize::try_from(index).ok()?)?.as_ref()
    }

    /// The same, to be changed.
    pub fn root_mut(&mut self, index: u32) -> Option<&mut WatchedRoot> {
        self.roots.get_mut(usize::try_from(index).ok()?)?.as_mut()
    }

    /// Takes a directory up as a root. Its first walk waits for [`Self::seed_open_files`].
    pub fn watch(&mut self, path: &Path) -> Result<u32> {
        self.watch_opened(path, open_directory(path)?)
    }

    /// The same with the directory at hand.
    pub fn watch_opened(&mut self, path: &Path, directory: OwnedFd) -> Result<u32> {
        self.enlist(path, directory)
    }

    /// The same with a directory of the agent's own: never walked, and its events are for nobody.
    pub fn watch_unseen(&mut self, path: &Path, directory: OwnedFd) -> Result<u32> {
        let index = self.enlist(path, directory)?;
        self.unseen = Some(index);
        Ok(index)
    }

    /// Taken only once it is occupied: what cannot be watched leaves it.
    fn free_slot(&self) -> usize {
        let mut free = self.free.iter().copied();
        let has_room = self.roots.len() < ROOTS_MAX as usize;
        let reused = free
            .next()
            .filter(|_| !has_room || self.free.len() > FREE_KEPT);
        reused.unwrap_or(self.roots.len())
    }

    fn enlist(&mut self, path: &Path, directory: OwnedFd) -> Result<u32> {
        let slot = self.free_slot();
        let index = u32::try_from(slot).ok().filter(|index| *index < ROOTS_MAX);
        let index = index.with_context(|| format!("more than {ROOTS_MAX} roots"))?;
        refuse_pseudo(path, directory.as_fd())?;
        self.maps.open_root(index)?;
        let registered = self.maps.register(directory.as_fd(), index)?;
        let registered = registered.with_context(|| {
            format!(
                "the kernel side does not take {} as a root",
                Shown::path(path)
            )
        })?;
        self.refuse_twin(path, &registered)?;
        if let Err(error) = self.maps.watch_superblock(registered.superblock) {
            // Its number is another root's next.
            return self.maps.unregister(&registered).and(Err(error));
        }
        let root = WatchedRoot::new(index, path.to_path_buf(), registered, directory);
        if slot == self.roots.len() {
            self.roots.push(Some(root));
        } else {
            self.free.retain(|free| *free != slot);
            self.roots[slot] = Some(root);
        }
        Ok(index)
    }

    /// Enters the files that were open for write below the roots before they were taken up: once for all
    /// of them, as it looks at every descriptor of the host. Then their first walks start.
    ///
    /// Not before: a file that is written and closed between the two is followed by nobody, so a walk must find
    /// it as it was closed.
    pub fn seed_open_files(&mut self) -> Result<()> {
        let seeded = open_files::seed(&mut self.maps);
        let unseen = self.unseen;
        let new = self.roots().filter(|root| root.base.is_none());
        let new: Vec<u32> = new.map(|root| root.index).collect();
        let new = new.into_iter().filter(|index| unseen != Some(*index));
        // One that cannot be walked holds up no other.
        let started: Vec<Result<()>> = new.map(|index| self.start_walk(index)).collect();
        started.into_iter().fold(seeded, Result::and)
    }

    /// Two paths to one directory are one root; the registration just made has taken the first one's place.
    fn refuse_twin(&mut self, path: &Path, registered: &Registered) -> Result<()> {
        let Some(twin) = self
            .roots()
            .find(|root| root.registered.inode == registered.inode)
        else {
            return Ok(());
        };
        let (index, twin_path) = (twin.index, Shown::path(&twin.path).to_string());
        let directory = twin.directory().reopen().context("no descriptor left")?;
        self.maps.register(directory.as_fd(), index)?;
        bail!(
            "roots {} and {twin_path} are the same directory",
            Shown::path(path)
        )
    }

    /// Credits what was there before the root was watched: to its owner, who alone can have written it, or to
    /// nobody.
    pub fn credit_initial_content(
        &mut self,
        index: u32,
        initial_owner: Option<ProcessKey>,
    ) -> Result<()> {
        let Some(before) = self
            .root_mut(index)
            .and_then(WatchedRoot::take_initial_content)
        else {
            return Ok(());
        };
        let initial_owner = match initial_owner {
            Some(initial_owner) => {
                let identity = open_files::identity_of(&initial_owner);
                self.maps.enter_process(initial_owner, identity)?;
                initial_owner
            }
            None => maps::nobody(index).process,
        };
        if let Some(root) = self.root_mut(index) {
            // No event tells of it.
            root.reported.add(&before);
        }
        self.maps.credit(initial_owner, index, &before)
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
        self.free.push_back(usize::try_from(index)?);
        self.maps.unregister(&root.registered)?;
        self.maps.retain_sizes(index, |_| false)
    }

    /// Starts a walk of a root, unless one is under way.
    pub fn start_walk(&mut self, index: u32) -> Result<()> {
        let inner = self.inner_roots(index);
        let dropped = self.dropped()?;
        let Some(root) = self.root(index).filter(|root| root.walk.is_none()) else {
            return Ok(());
        };
        let directory = match root.directory().reopen() {
            // It went: who looks after roots lets it go.
            Err(error) if !is_shortage(error) => return Ok(()),
            other => other.context("cannot walk a root: no descriptor left")?,
        };
        let ticket = self.walkers.submit(directory, inner).ok_or(Errno::AGAIN);
        let ticket = ticket.context("cannot walk a root: too many walks wait")?;
        if let Some(root) = self.root_mut(index) {
            root.walk_started(ticket, dropped);
        }
        Ok(())
    }

    /// Takes over the walks that are done; waits so long for the first one.
    fn take_walks(&mut self, patience: Duration) {
        for walked in self.walkers.done(patience) {
            let mut running = self
                .roots
                .iter_mut()
                .flatten()
                .filter_map(|root| root.walk.as_mut());
            // A root that was let go meanwhile has none.
            if let Some(walk) = running.find(|walk| walk.ticket == walked.ticket) {
                walk.done = Some(walked);
            }
        }
    }

    /// Inode numbers of the other roots' directories on a root's device: what they hold is theirs.
    fn inner_roots(&self, index: u32) -> HashSet<u64> {
        let device = self.root(index).map(|root| root.key.dev);
        let others = self.roots().filter(|other| other.index != index);
        others
            .filter(|other| Some(other.key.dev) == device)
            .map(|other| other.key.ino)
            .collect()
    }

    fn dropped(&self) -> Result<u64> {
        Ok(self.maps.counters()?[counter::DROPPED_RING_FULL as usize])
    }

    /// Takes what is in the ring; `each` sees every event.
    pub fn drain(&mut self, mut each: impl FnMut(Fact)) -> usize {
        let (roots, sequence, unseen) = (&mut self.roots, &mut self.sequence, self.unseen);
        self.maps.drain(DRAIN_LIMIT, |record| {
            let Some(fact) = Fact::decode(record) else {
                return;
            };
            if unseen == Some(fact.event.root) {
                return;
            }
            let is_root = |key: &InodeKey| roots.iter().flatten().any(|root| root.key == *key);
            if sequence.note(&fact, is_root) {
                return;
            }
            note(roots, &fact);
            if fact.event.root != NO_ROOT {
                each(fact);
            }
        })
    }

    /// Settles all files open for write.
    pub fn sweep(&mut self) -> Result<()> {
        self.maps.sweep()
    }

    /// The same if there are any; true if so.
    pub fn sweep_open(&mut self) -> Result<bool> {
        let has_open = self.maps.open_files(1) > 0;
        if has_open {
            self.sweep()?;
        }
        Ok(has_open)
    }

    /// Total of a root since it was registered.
    pub fn total(&self, index: u32) -> Result<Changes> {
        Ok(changes(&self.maps.total(index)?))
    }

    /// One account, if there is one.
    pub fn credit(&self, key: &CreditKey) -> Result<Option<Credit>> {
        self.maps.account(key)
    }

    /// Forgets a file of a root that is gone, whether or not it was seen to go.
    pub fn forget_file(&mut self, index: u32, ino: u64) -> Result<()> {
        let Some(dev) = self.root(index).map(|root| root.key.dev) else {
            return Ok(());
        };
        let key = InodeKey { ino, dev, pad: 0 };
        self.maps.forget_file(&key)
    }

    /// All accounts.
    pub fn accounts(&self) -> Result<Accounts> {
        Ok(Accounts::of(
            &self.maps.accounts()?,
            &self.maps.processes()?,
        ))
    }
}

/// Takes note of an event of a root: the total so far, files that change under a walk.
fn note(roots: &mut [Option<WatchedRoot>], fact: &Fact) {
    let event = &fact.event;
    let at = usize::try_from(event.root).ok();
    let Some(root) = at.and_then(|at| roots.get_mut(at)?.as_mut()) else {
        return;
    };
    root.reported.add(&fact.changes());
    if let Some(walk) = &mut root.walk {
        let is_gone = fact.changes().files_deleted > 0 || event.operation == OPERATION_VANISH;
        walk.recorder
            .insert(event.key, (!is_gone).then_some(event.after));
        if APPEARANCES.contains(&event.operation) {
            walk.arrivals.insert(event.key);
        }
    }
}

#[cfg(test)]
mod tests;
