//! The maps, typed. Everything the rest of the agent knows of the kernel side comes through here.

use std::io::ErrorKind;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, MapData, MapError, PerCpuArray, RingBuf},
};
use cache_ebpf::{
    Credit, CreditKey, Crossing, InodeKey, Links, OpenFile, Process, ProcessKey, Reply, Root,
    Settled, WATCHED_MAX, Watched, counter, map,
};

use super::session::Registered;

/// Update flags of `bpf_map_update_elem`.
const NOEXIST: u64 = 1;

/// All maps.
pub struct Tables {
    /// The hooks need to be told the sizes of closed files.
    keeps_sizes: bool,
    roots: HashMap<MapData, u64, Root>,
    watched: Array<MapData, Watched>,
    devices: HashMap<MapData, u64, u32>,
    epoch: Array<MapData, u64>,
    open: HashMap<MapData, u64, OpenFile>,
    sizes: HashMap<MapData, InodeKey, Settled>,
    links: HashMap<MapData, InodeKey, Links>,
    credits: HashMap<MapData, CreditKey, Credit>,
    totals: Array<MapData, Credit>,
    untold: Array<MapData, Credit>,
    processes: HashMap<MapData, ProcessKey, Process>,
    family: HashMap<MapData, u32, u64>,
    crossings: HashMap<MapData, u32, Crossing>,
    counters: PerCpuArray<MapData, u64>,
    asleep: Array<MapData, u64>,
    reply: Array<MapData, Reply>,
    events: RingBuf<MapData>,
    /// Losses of user space itself, by counter.
    lost: [u64; counter::COUNT as usize],
}

pub(super) fn taken<M: TryFrom<aya::maps::Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &str,
) -> Result<M> {
    let map = ebpf
        .take_map(name)
        .with_context(|| format!("the kernel object has no map {name}"))?;
    M::try_from(map)
        .with_context(|| format!("map {name} has another shape than this agent expects"))
}

/// `Ok(None)` for a key that is not there.
fn optional<T>(result: Result<T, MapError>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A key that is not there is as good as removed.
fn gone(result: Result<(), MapError>) -> Result<()> {
    match result {
        Err(MapError::SyscallError(error)) if error.io_error.kind() == ErrorKind::NotFound => {
            Ok(())
        }
        other => Ok(other?),
    }
}

/// All keys first, then the values: iteration restarts when the present key is deleted under it.
fn entries<K: Pod + Eq + std::hash::Hash, V: Pod>(
    map: &HashMap<MapData, K, V>,
    limit: usize,
) -> Result<Vec<(K, V)>> {
    let mut keys = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for key in map.keys() {
        let key = key?;
        if seen.insert(key) {
            keys.push(key);
        }
        if keys.len() >= limit {
            break;
        }
    }
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        if let Some(value) = optional(map.get(&key, 0))? {
            found.push((key, value));
        }
    }
    Ok(found)
}

impl Tables {
    /// Takes all maps out of the loaded object.
    pub fn take(ebpf: &mut Ebpf, keeps_sizes: bool) -> Result<Self> {
        Ok(Self {
            keeps_sizes,
            roots: taken(ebpf, map::ROOTS)?,
            watched: taken(ebpf, map::WATCHED)?,
            devices: taken(ebpf, map::DEVICES)?,
            epoch: taken(ebpf, map::EPOCH)?,
            open: taken(ebpf, map::OPEN)?,
            sizes: taken(ebpf, map::SIZES)?,
            links: taken(ebpf, map::LINKS)?,
            credits: taken(ebpf, map::CREDITS)?,
            totals: taken(ebpf, map::TOTALS)?,
            untold: taken(ebpf, map::UNTOLD)?,
            processes: taken(ebpf, map::PROCESSES)?,
            family: taken(ebpf, map::FAMILY)?,
            crossings: taken(ebpf, map::CROSSINGS)?,
            counters: taken(ebpf, map::COUNTERS)?,
            asleep: taken(ebpf, map::ASLEEP)?,
            reply: taken(ebpf, map::REPLY)?,
            events: taken(ebpf, map::EVENTS)?,
            lost: [0; counter::COUNT as usize],
        })
    }

    /// Hands over at most `limit` records of the ring; how many there were.
    pub fn drain(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> usize {
        for done in 0..limit {
            match self.events.next() {
                Some(record) => each(&record),
                None => return done,
            }
        }
        limit
    }

    /// Readable when the kernel side wants the ring to be looked at.
    pub fn events_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.events)
    }

    /// Makes the hooks look at a file system on which a root has been registered.
    pub fn watch_superblock(&mut self, superblock: u64) -> Result<()> {
        let roots = optional(self.devices.get(&superblock, 0))?.unwrap_or(0);
        self.devices.insert(superblock, roots + 1, 0)?;
        self.tell_watched()?;
        self.forget_verdicts()
    }

    /// Forgets a root, while its directory is still open; its file system too if it was the last on it.
    pub fn unregister(&mut self, root: &Registered) -> Result<()> {
        gone(self.roots.remove(&root.inode))?;
        match optional(self.devices.get(&root.superblock, 0))? {
            Some(roots) if roots > 1 => self.devices.insert(root.superblock, roots - 1, 0)?,
            _ => gone(self.devices.remove(&root.superblock))?,
        }
        self.tell_watched()?;
        self.forget_verdicts()
    }

    /// The hooks look at nothing any more.
    pub fn watch_nothing(&mut self) -> Result<()> {
        let nothing = Watched {
            superblocks: [0; WATCHED_MAX],
            more: 0,
        };
        Ok(self.watched.set(0, nothing, 0)?)
    }

    fn tell_watched(&mut self) -> Result<()> {
        let all = entries(&self.devices, usize::MAX)?;
        let mut watched = Watched {
            superblocks: [0; WATCHED_MAX],
            more: u64::from(all.len() > WATCHED_MAX),
        };
        for (slot, (superblock, _)) in watched.superblocks.iter_mut().zip(all) {
            *slot = superblock;
        }
        Ok(self.watched.set(0, watched, 0)?)
    }

    /// The hooks need to be told the sizes of closed files.
    pub fn keeps_sizes(&self) -> bool {
        self.keeps_sizes
    }

    /// Directories that crossed a border so far.
    pub fn crossings(&self) -> Result<u64> {
        Ok(self.epoch.get(&map::EPOCH_CROSSED, 0)?)
    }

    /// So many of them have been measured.
    pub fn measured_crossings(&mut self, crossings: u64) -> Result<()> {
        Ok(self.epoch.set(map::EPOCH_MEASURED, crossings, 0)?)
    }

    fn forget_verdicts(&mut self) -> Result<()> {
        let epoch = self.epoch.get(&0, 0)?;
        Ok(self.epoch.set(0, epoch + 1, 0)?)
    }

    /// Prepares the accounts of a root: zero totals, and nobody's account, which must always exist.
    pub fn open_root(&mut self, index: u32) -> Result<()> {
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
        self.totals.set(index, zero, 0)?;
        self.untold.set(index, zero, 0)?;
        self.credits
            .insert(nobody(index), zero, 0)
            .context("no account is free for a root; raise `accounts` in [maps]")
    }

    /// Enters the size of a file found by a walk, unless the hooks know it already.
    pub fn enter_size(&mut self, key: InodeKey, root: u32, size: u64) -> Result<()> {
        if !self.keeps_sizes {
            return Ok(());
        }
        let outcome = self.sizes.insert(key, walked(size, root), NOEXIST);
        self.entered(outcome, counter::FAULT_SIZES_FULL)
    }

    /// Puts right the size of a file nobody has open for write.
    pub fn correct_size(&mut self, key: InodeKey, root: u32, size: u64) -> Result<()> {
        if !self.keeps_sizes {
            return Ok(());
        }
        let outcome = self.sizes.insert(key, walked(size, root), 0);
        self.entered(outcome, counter::FAULT_SIZES_FULL)
    }

    /// One that is there already is as good as entered; for one without room the loss is counted.
    fn entered(&mut self, outcome: Result<(), MapError>, loss: u32) -> Result<()> {
        match outcome {
            Err(error) if is_full(&error) => {
                self.lost[loss as usize] += 1;
                Ok(())
            }
            Err(error) if already_exists(&error) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Forgets the sizes of files of `root` that `exists` denies.
    pub fn retain_sizes(&mut self, root: u32, exists: impl Fn(&InodeKey) -> bool) -> Result<()> {
        let known = entries(&self.sizes, usize::MAX)?;
        for (key, settled) in known {
            if settled.root == root && !exists(&key) {
                gone(self.sizes.remove(&key))?;
            }
        }
        Ok(())
    }

    /// Enters a multiply linked file found by a walk, unless the hooks know it already.
    pub fn enter_links(&mut self, key: InodeKey, root: u32, inside: u32, nlink: u32) -> Result<()> {
        let links = Links {
            inside,
            nlink,
            root,
            pad: 0,
        };
        let outcome = self.links.insert(key, links, NOEXIST);
        self.entered(outcome, counter::FAULT_LINKS)
    }

    /// Size that the ledger has of a file of `root`, open or closed.
    pub fn known_size(&self, key: &InodeKey, root: u32) -> Result<Option<u64>> {
        if let Some((_, open)) = self.find_open(key)?.filter(|(_, open)| open.root == root) {
            return Ok(Some(open.known));
        }
        Ok(optional(self.sizes.get(key, 0))?
            .filter(|settled| settled.root == root)
            .map(|settled| settled.size))
    }

    /// Forgets a file that left every root.
    pub fn forget_file(&mut self, key: &InodeKey) -> Result<()> {
        if let Some((inode, _)) = self.find_open(key)? {
            gone(self.open.remove(&inode))?;
        }
        gone(self.sizes.remove(key))
    }

    fn find_open(&self, key: &InodeKey) -> Result<Option<(u64, OpenFile)>> {
        let mut open = entries(&self.open, usize::MAX)?.into_iter();
        Ok(open.find(|(_, open)| open.key() == *key))
    }

    /// One account.
    pub fn credit(&self, key: &CreditKey) -> Result<Option<Credit>> {
        optional(self.credits.get(key, 0))
    }

    /// All accounts.
    pub fn credits(&self) -> Result<Vec<(CreditKey, Credit)>> {
        entries(&self.credits, usize::MAX)
    }

    /// Closes an account; the caller has taken it over.
    pub fn close_account(&mut self, key: &CreditKey) -> Result<()> {
        gone(self.credits.remove(key))
    }

    /// All processes with an account.
    pub fn processes(&self) -> Result<Vec<(ProcessKey, Process)>> {
        entries(&self.processes, usize::MAX)
    }

    /// One process.
    pub fn process(&self, key: &ProcessKey) -> Result<Option<Process>> {
        optional(self.processes.get(key, 0))
    }

    /// Enters a process the kernel has not met yet.
    pub fn enter_process(&mut self, key: ProcessKey, process: Process) -> Result<()> {
        let outcome = self.processes.insert(key, process, NOEXIST);
        self.entered(outcome, counter::FAULT_PROCESSES_FULL)
    }

    /// Forgets a process that ended.
    pub fn forget_process(&mut self, key: &ProcessKey) -> Result<()> {
        gone(self.processes.remove(key))
    }

    /// The running account of a root.
    pub fn total(&self, index: u32) -> Result<Credit> {
        Ok(self.totals.get(&index, 0)?)
    }

    /// The part of it of which no event told.
    pub fn untold(&self, index: u32) -> Result<Credit> {
        Ok(self.untold.get(&index, 0)?)
    }

    /// Makes a process the head of the traced family.
    pub fn enter_family(&mut self, tgid: u32) -> Result<()> {
        Ok(self.family.insert(tgid, 1, 0)?)
    }

    /// Takes a process out of the family; its children stay.
    pub fn leave_family(&mut self, tgid: u32) -> Result<()> {
        gone(self.family.remove(&tgid))
    }

    /// Border crossings of directories not measured yet, taken out.
    pub fn take_crossing(&mut self, index: u32) -> Result<Option<Crossing>> {
        let found = optional(self.crossings.get(&index, 0))?;
        if found.is_some() {
            gone(self.crossings.remove(&index))?;
        }
        Ok(found)
    }

    /// True where a crossing waits to be measured.
    pub fn has_crossing(&self, index: u32) -> Result<bool> {
        Ok(optional(self.crossings.get(&index, 0))?.is_some())
    }

    /// All counters, summed over the CPUs, with the losses of user space itself.
    pub fn counters(&self) -> Result<[u64; counter::COUNT as usize]> {
        let mut sums = self.lost;
        for (slot, sum) in (0..).zip(&mut sums) {
            *sum += self.counters.get(&slot, 0)?.iter().sum::<u64>();
        }
        Ok(sums)
    }

    /// Files open for write at this moment, at most `limit` of them counted.
    pub fn open_files(&self, limit: usize) -> usize {
        self.open.keys().take(limit).count()
    }

    /// Asks to be woken by the next event.
    pub fn sleep(&mut self) -> Result<()> {
        Ok(self.asleep.set(0, 1, 0)?)
    }

    /// Clears the control program's answer.
    pub fn clear_reply(&mut self) -> Result<()> {
        let nobody = ProcessKey {
            start_ns: 0,
            tgid: 0,
            pad: 0,
        };
        let blank = Reply {
            status: 0,
            key: InodeKey {
                ino: 0,
                dev: 0,
                pad: 0,
            },
            inode: 0,
            superblock: 0,
            process: nobody,
            generation: 0,
            pad: 0,
        };
        Ok(self.reply.set(0, blank, 0)?)
    }

    /// The control program's answer.
    pub fn reply(&self) -> Result<Reply> {
        Ok(self.reply.get(&0, 0)?)
    }
}

/// Nobody's account in a root: what cannot be attributed.
pub fn nobody(root: u32) -> CreditKey {
    CreditKey {
        process: ProcessKey {
            start_ns: 0,
            tgid: 0,
            pad: 0,
        },
        root,
        pad: 0,
    }
}

/// A size as a walk found it: of which generation is not known.
fn walked(size: u64, root: u32) -> Settled {
    Settled {
        size,
        generation: 0,
        root,
    }
}

pub(super) fn already_exists(error: &MapError) -> bool {
    is_syscall_error(error, ErrorKind::AlreadyExists)
}

/// `E2BIG`: no room left.
fn is_full(error: &MapError) -> bool {
    is_syscall_error(error, ErrorKind::ArgumentListTooLong)
}

fn is_syscall_error(error: &MapError, kind: ErrorKind) -> bool {
    matches!(error, MapError::SyscallError(error) if error.io_error.kind() == kind)
}
