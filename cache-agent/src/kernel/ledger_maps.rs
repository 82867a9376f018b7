//! What the ledger needs of the kernel side: totals, accounts, sizes, and the ring.
//!
//! [`Session`](super::session::Session) is the kernel's own; a fake of it makes the ledger testable without one.

use std::{collections::HashMap, os::fd::BorrowedFd};

use anyhow::{Context as _, Result};
use cache_ebpf::{
    CARRIED, Credit, CreditKey, Crossing, InodeKey, Links, Process, ProcessKey, Settled, control,
    counter, map_names, settling::GONE,
};

use super::{
    counters::Counters,
    maps::{NOEXIST, entries, gone, nobody, optional, walked},
    session::{Registered, Session, fd_argument},
};
use crate::model::changes::Changes;

/// The kernel side as the ledger sees it.
pub trait LedgerMaps {
    /// Makes the directory open at `directory` root number `index`; `None` if it is not a directory.
    ///
    /// The caller has entered its superblock into the tables afterwards: see [`Self::watch_superblock`].
    fn register(&mut self, directory: BorrowedFd<'_>, index: u32) -> Result<Option<Registered>>;

    /// Enters a file that `opener` has open for write since before the hooks; false if it is in no root.
    fn seed_open(&mut self, file: BorrowedFd<'_>, opener: ProcessKey) -> Result<bool>;

    /// Settles every file open for write.
    fn sweep(&mut self) -> Result<()>;

    /// Credits what user space measured.
    fn credit(&mut self, process: ProcessKey, root: u32, changes: &Changes) -> Result<()>;

    /// Hands over at most `limit` records of the ring; how many there were.
    fn drain(&mut self, limit: usize, each: impl FnMut(&[u8])) -> usize;

    /// Makes the hooks look at a file system on which a root has been registered.
    fn watch_superblock(&mut self, superblock: u64) -> Result<()>;

    /// Forgets a root, while its directory is still open; its file system too if it was the last on it.
    fn unregister(&mut self, root: &Registered) -> Result<()>;

    /// The hooks need to be told the sizes of closed files.
    fn keeps_sizes(&self) -> bool;

    /// Directories that crossed a border so far.
    fn crossings(&self) -> Result<u64>;

    /// So many of them have been measured.
    fn measured_crossings(&mut self, crossings: u64) -> Result<()>;

    /// Prepares the accounts of a root: zero totals, and nobody's account, which must always exist.
    fn open_root(&mut self, index: u32) -> Result<()>;

    /// Enters the size of a file found by a walk, unless the hooks know it already.
    fn enter_size(&mut self, key: InodeKey, root: u32, size: u64) -> Result<()>;

    /// Puts right the size of a file nobody has open for write.
    fn correct_size(&mut self, key: InodeKey, root: u32, size: u64) -> Result<()>;

    /// Forgets the sizes of files of `root` that `exists` denies.
    fn retain_sizes(&mut self, root: u32, exists: impl Fn(&InodeKey) -> bool) -> Result<()>;

    /// Enters a multiply linked file found by a walk, unless the hooks know it already.
    fn enter_links(&mut self, key: InodeKey, root: u32, inside: u32, nlink: u32) -> Result<()>;

    /// Has the kernel side tell where a directory is now; false if its inode is not in memory any more.
    fn locate(&mut self, inode: u64, number: u64, generation: u32) -> Result<bool>;

    /// Size that the ledger has of every file that is open for write.
    fn open_sizes(&self) -> Result<HashMap<InodeKey, u64>>;

    /// Size that the hooks keep of a file, if it is one that they have met.
    fn kept_size(&self, key: &InodeKey) -> Result<Option<u64>>;

    /// A directory has taken a closed file to a root, or out of all: what is kept of it follows.
    fn carry_size(&mut self, key: InodeKey, to: Option<(u32, u64)>) -> Result<()>;

    /// Forgets a file that left every root.
    fn forget_file(&mut self, key: &InodeKey) -> Result<()>;

    /// One account.
    fn account(&self, key: &CreditKey) -> Result<Option<Credit>>;

    /// All accounts.
    fn accounts(&self) -> Result<Vec<(CreditKey, Credit)>>;

    /// Closes an account; the caller has taken it over.
    fn close_account(&mut self, key: &CreditKey) -> Result<()>;

    /// All processes with an account.
    fn processes(&self) -> Result<Vec<(ProcessKey, Process)>>;

    /// One process.
    fn process(&self, key: &ProcessKey) -> Result<Option<Process>>;

    /// Enters a process the kernel has not met yet.
    fn enter_process(&mut self, key: ProcessKey, process: Process) -> Result<()>;

    /// Forgets a process that ended.
    fn forget_process(&mut self, key: &ProcessKey) -> Result<()>;

    /// The running account of a root.
    fn total(&self, index: u32) -> Result<Credit>;

    /// The part of it of which no event told.
    fn untold(&self, index: u32) -> Result<Credit>;

    /// Border crossings of directories not measured yet, taken out.
    fn take_crossing(&mut self, index: u32) -> Result<Option<Crossing>>;

    /// True where a crossing waits to be measured.
    fn has_crossing(&self, index: u32) -> Result<bool>;

    /// All counters, summed over the CPUs, with the losses of user space itself.
    fn counters(&self) -> Result<Counters>;

    /// Files open for write at this moment, at most `limit` of them counted.
    fn open_files(&self, limit: usize) -> usize;

    /// True where the hooks in use observe this operation.
    fn observes(&self, operation: &str) -> bool;
}

impl LedgerMaps for Session {
    fn register(&mut self, directory: BorrowedFd<'_>, index: u32) -> Result<Option<Registered>> {
        let reply = self.control([
            control::REGISTER,
            fd_argument(directory),
            u64::from(index),
            0,
            0,
        ])?;
        Ok((reply.status == control::OK).then_some(Registered {
            key: reply.key,
            inode: reply.inode,
            superblock: reply.superblock,
        }))
    }

    fn seed_open(&mut self, file: BorrowedFd<'_>, opener: ProcessKey) -> Result<bool> {
        let reply = self.control([
            control::SEED_OPEN,
            fd_argument(file),
            u64::from(opener.tgid),
            opener.start_ns,
            0,
        ])?;
        Ok(reply.status == control::OK)
    }

    fn sweep(&mut self) -> Result<()> {
        self.control([control::SWEEP, 0, 0, 0, 0]).map(drop)
    }

    fn credit(&mut self, process: ProcessKey, root: u32, changes: &Changes) -> Result<()> {
        /// Files that fit one call: two fields of 16 bits.
        const FILES_MAX: u64 = 0xffff;
        let who = u64::from(root) << 32 | u64::from(process.tgid);
        let (mut created, mut deleted) = (changes.files_created, changes.files_deleted);
        let mut growth = changes.growth_bytes.cast_unsigned();
        loop {
            let (now_created, now_deleted) = (created.min(FILES_MAX), deleted.min(FILES_MAX));
            let files = now_created | now_deleted << 16;
            self.control([control::CREDIT, who, process.start_ns, growth, files])?;
            (created, deleted, growth) = (created - now_created, deleted - now_deleted, 0);
            if created == 0 && deleted == 0 {
                return Ok(());
            }
        }
    }

    fn drain(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> usize {
        for done in 0..limit {
            match self.maps.events.next() {
                Some(record) => each(&record),
                None => return done,
            }
        }
        limit
    }

    fn watch_superblock(&mut self, superblock: u64) -> Result<()> {
        let roots = optional(self.maps.devices.get(&superblock, 0))?.unwrap_or(0);
        self.maps.devices.insert(superblock, roots + 1, 0)?;
        self.maps.tell_watched()?;
        self.maps.forget_verdicts()
    }

    fn unregister(&mut self, root: &Registered) -> Result<()> {
        gone(self.maps.roots.remove(&root.inode))?;
        match optional(self.maps.devices.get(&root.superblock, 0))? {
            Some(roots) if roots > 1 => self.maps.devices.insert(root.superblock, roots - 1, 0)?,
            _ => gone(self.maps.devices.remove(&root.superblock))?,
        }
        self.maps.tell_watched()?;
        self.maps.forget_verdicts()
    }

    fn keeps_sizes(&self) -> bool {
        self.maps.keeps_sizes
    }

    fn crossings(&self) -> Result<u64> {
        Ok(self.maps.epoch.get(&map_names::EPOCH_CROSSED, 0)?)
    }

    fn measured_crossings(&mut self, crossings: u64) -> Result<()> {
        Ok(self
            .maps
            .epoch
            .set(map_names::EPOCH_MEASURED, crossings, 0)?)
    }

    fn open_root(&mut self, index: u32) -> Result<()> {
        let zero = Credit {
            growth: 0,
            freed: 0,
            created: 0,
            deleted: 0,
            renamed: 0,
            changes: 0,
            hits: 0,
            misses: 0,
        };
        self.maps.totals.set(index, zero, 0)?;
        self.maps.untold.set(index, zero, 0)?;
        self.maps
            .credits
            .insert(nobody(index), zero, 0)
            .context("no account is free for a root; raise `accounts` in [maps]")
    }

    fn enter_size(&mut self, key: InodeKey, root: u32, size: u64) -> Result<()> {
        if !self.maps.keeps_sizes {
            return Ok(());
        }
        let outcome = self.maps.sizes.insert(key, walked(size, root), NOEXIST);
        self.maps.entered(outcome, counter::FAULT_SIZES_FULL)
    }

    fn correct_size(&mut self, key: InodeKey, root: u32, size: u64) -> Result<()> {
        if !self.maps.keeps_sizes {
            return Ok(());
        }
        let outcome = self.maps.sizes.insert(key, walked(size, root), 0);
        self.maps.entered(outcome, counter::FAULT_SIZES_FULL)
    }

    fn retain_sizes(&mut self, root: u32, exists: impl Fn(&InodeKey) -> bool) -> Result<()> {
        let known = entries(&self.maps.sizes, usize::MAX)?;
        for (key, settled) in known {
            if settled.root == root && !exists(&key) {
                gone(self.maps.sizes.remove(&key))?;
            }
        }
        Ok(())
    }

    fn enter_links(&mut self, key: InodeKey, root: u32, inside: u32, nlink: u32) -> Result<()> {
        let links = Links {
            inside,
            nlink,
            root,
            pad: 0,
        };
        let outcome = self.maps.links.insert(key, links, NOEXIST);
        self.maps.entered(outcome, counter::FAULT_LINKS)
    }

    fn locate(&mut self, inode: u64, number: u64, generation: u32) -> Result<bool> {
        let arguments = [control::LOCATE, inode, number, u64::from(generation), 0];
        Ok(self.control(arguments)?.status == control::OK)
    }

    fn open_sizes(&self) -> Result<HashMap<InodeKey, u64>> {
        let open = entries(&self.maps.open, usize::MAX)?.into_iter();
        let open = open.filter(|(_, open)| open.known != GONE);
        Ok(open.map(|(_, open)| (open.key(), open.known)).collect())
    }

    fn kept_size(&self, key: &InodeKey) -> Result<Option<u64>> {
        let settled = optional(self.maps.sizes.get(key, 0))?;
        let met = settled.filter(|kept| kept.generation != CARRIED && kept.size != GONE);
        Ok(met.map(|settled| settled.size))
    }

    fn carry_size(&mut self, key: InodeKey, to: Option<(u32, u64)>) -> Result<()> {
        let Some((root, size)) = to else {
            return gone(self.maps.sizes.remove(&key));
        };
        let kept = optional(self.maps.sizes.get(&key, 0))?;
        let met = kept.filter(|kept| kept.generation != CARRIED && kept.size != GONE);
        if !self.maps.keeps_sizes || met.is_some_and(|kept| kept.root == root) {
            return Ok(());
        }
        let carried = Settled {
            size: met.map_or(size, |kept| kept.size),
            generation: met.map_or(CARRIED, |kept| kept.generation),
            root,
        };
        let outcome = self.maps.sizes.insert(key, carried, 0);
        self.maps.entered(outcome, counter::FAULT_SIZES_FULL)
    }

    fn forget_file(&mut self, key: &InodeKey) -> Result<()> {
        if let Some((inode, _)) = self.maps.find_open(key)? {
            gone(self.maps.open.remove(&inode))?;
        }
        gone(self.maps.sizes.remove(key))
    }

    fn account(&self, key: &CreditKey) -> Result<Option<Credit>> {
        optional(self.maps.credits.get(key, 0))
    }

    fn accounts(&self) -> Result<Vec<(CreditKey, Credit)>> {
        entries(&self.maps.credits, usize::MAX)
    }

    fn close_account(&mut self, key: &CreditKey) -> Result<()> {
        gone(self.maps.credits.remove(key))
    }

    fn processes(&self) -> Result<Vec<(ProcessKey, Process)>> {
        entries(&self.maps.processes, usize::MAX)
    }

    fn process(&self, key: &ProcessKey) -> Result<Option<Process>> {
        optional(self.maps.processes.get(key, 0))
    }

    fn enter_process(&mut self, key: ProcessKey, process: Process) -> Result<()> {
        let outcome = self.maps.processes.insert(key, process, NOEXIST);
        self.maps.entered(outcome, counter::FAULT_PROCESSES_FULL)
    }

    fn forget_process(&mut self, key: &ProcessKey) -> Result<()> {
        gone(self.maps.processes.remove(key))
    }

    fn total(&self, index: u32) -> Result<Credit> {
        Ok(self.maps.totals.get(&index, 0)?)
    }

    fn untold(&self, index: u32) -> Result<Credit> {
        Ok(self.maps.untold.get(&index, 0)?)
    }

    fn take_crossing(&mut self, index: u32) -> Result<Option<Crossing>> {
        let found = optional(self.maps.crossings.get(&index, 0))?;
        if found.is_some() {
            gone(self.maps.crossings.remove(&index))?;
        }
        Ok(found)
    }

    fn has_crossing(&self, index: u32) -> Result<bool> {
        Ok(optional(self.maps.crossings.get(&index, 0))?.is_some())
    }

    fn counters(&self) -> Result<Counters> {
        let mut sums = self.maps.lost;
        for (slot, sum) in (0..).zip(&mut sums) {
            *sum += self.maps.counters.get(&slot, 0)?.iter().sum::<u64>();
        }
        Ok(sums)
    }

    fn open_files(&self, limit: usize) -> usize {
        self.maps.open.keys().take(limit).count()
    }

    fn observes(&self, operation: &str) -> bool {
        self.coverage.observes(operation)
    }
}
