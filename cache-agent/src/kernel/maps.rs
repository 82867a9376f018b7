//! The maps, typed. Everything the rest of the agent knows of the kernel side comes through here.

use std::io::ErrorKind;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, MapData, MapError, PerCpuArray, RingBuf},
};
use cache_ebpf::{
    Credit, CreditKey, Crossing, InodeKey, Links, OpenFile, Process, ProcessKey, Reply, Root,
    Settled, WATCHED_MAX, Watched, counter, map_names,
};

/// Update flags of `bpf_map_update_elem`.
pub(super) const NOEXIST: u64 = 1;

/// All maps.
pub(super) struct KernelMaps {
    /// The hooks need to be told the sizes of closed files.
    pub(super) keeps_sizes: bool,
    pub(super) roots: HashMap<MapData, u64, Root>,
    pub(super) watched: Array<MapData, Watched>,
    pub(super) devices: HashMap<MapData, u64, u32>,
    pub(super) epoch: Array<MapData, u64>,
    pub(super) open: HashMap<MapData, u64, OpenFile>,
    pub(super) sizes: HashMap<MapData, InodeKey, Settled>,
    pub(super) links: HashMap<MapData, InodeKey, Links>,
    pub(super) credits: HashMap<MapData, CreditKey, Credit>,
    pub(super) totals: Array<MapData, Credit>,
    pub(super) untold: Array<MapData, Credit>,
    pub(super) processes: HashMap<MapData, ProcessKey, Process>,
    pub(super) family: HashMap<MapData, u32, u64>,
    pub(super) crossings: HashMap<MapData, u32, Crossing>,
    pub(super) counters: PerCpuArray<MapData, u64>,
    pub(super) asleep: Array<MapData, u64>,
    pub(super) reply: Array<MapData, Reply>,
    pub(super) events: RingBuf<MapData>,
    /// Losses of user space itself, by counter.
    pub(super) lost: [u64; counter::COUNT as usize],
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
pub(super) fn optional<T>(result: Result<T, MapError>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A key that is not there is as good as removed.
pub(super) fn gone(result: Result<(), MapError>) -> Result<()> {
    match result {
        Err(MapError::SyscallError(error)) if error.io_error.kind() == ErrorKind::NotFound => {
            Ok(())
        }
        other => Ok(other?),
    }
}

/// All keys first, then the values: iteration restarts when the present key is deleted under it.
pub(super) fn entries<K: Pod + Eq + std::hash::Hash, V: Pod>(
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

impl KernelMaps {
    /// Takes all maps out of the loaded object.
    pub(super) fn take(ebpf: &mut Ebpf, keeps_sizes: bool) -> Result<Self> {
        Ok(Self {
            keeps_sizes,
            roots: taken(ebpf, map_names::ROOTS)?,
            watched: taken(ebpf, map_names::WATCHED)?,
            devices: taken(ebpf, map_names::DEVICES)?,
            epoch: taken(ebpf, map_names::EPOCH)?,
            open: taken(ebpf, map_names::OPEN)?,
            sizes: taken(ebpf, map_names::SIZES)?,
            links: taken(ebpf, map_names::LINKS)?,
            credits: taken(ebpf, map_names::CREDITS)?,
            totals: taken(ebpf, map_names::TOTALS)?,
            untold: taken(ebpf, map_names::UNTOLD)?,
            processes: taken(ebpf, map_names::PROCESSES)?,
            family: taken(ebpf, map_names::FAMILY)?,
            crossings: taken(ebpf, map_names::CROSSINGS)?,
            counters: taken(ebpf, map_names::COUNTERS)?,
            asleep: taken(ebpf, map_names::ASLEEP)?,
            reply: taken(ebpf, map_names::REPLY)?,
            events: taken(ebpf, map_names::EVENTS)?,
            lost: [0; counter::COUNT as usize],
        })
    }

    /// Readable when the kernel side wants the ring to be looked at.
    pub(super) fn events_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.events)
    }

    /// The hooks look at nothing any more.
    pub(super) fn watch_nothing(&mut self) -> Result<()> {
        let nothing = Watched {
            superblocks: [0; WATCHED_MAX],
            more: 0,
        };
        Ok(self.watched.set(0, nothing, 0)?)
    }

    pub(super) fn tell_watched(&mut self) -> Result<()> {
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

    pub(super) fn forget_verdicts(&mut self) -> Result<()> {
        let epoch = self.epoch.get(&0, 0)?;
        Ok(self.epoch.set(0, epoch + 1, 0)?)
    }

    /// One that is there already is as good as entered; for one without room the loss is counted.
    pub(super) fn entered(&mut self, outcome: Result<(), MapError>, loss: u32) -> Result<()> {
        match outcome {
            Err(error) if is_full(&error) => {
                self.lost[loss as usize] += 1;
                Ok(())
            }
            Err(error) if already_exists(&error) => Ok(()),
            other => Ok(other?),
        }
    }

    pub(super) fn find_open(&self, key: &InodeKey) -> Result<Option<(u64, OpenFile)>> {
        let mut open = entries(&self.open, usize::MAX)?.into_iter();
        Ok(open.find(|(_, open)| open.key() == *key))
    }

    /// Makes a process the head of the traced family.
    pub(super) fn enter_family(&mut self, tgid: u32) -> Result<()> {
        Ok(self.family.insert(tgid, 1, 0)?)
    }

    /// Takes a process out of the family; its children stay.
    pub(super) fn leave_family(&mut self, tgid: u32) -> Result<()> {
        gone(self.family.remove(&tgid))
    }

    /// Asks to be woken by the next event.
    pub(super) fn sleep(&mut self) -> Result<()> {
        Ok(self.asleep.set(0, 1, 0)?)
    }

    /// Clears the control program's answer.
    pub(super) fn clear_reply(&mut self) -> Result<()> {
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
    pub(super) fn reply(&self) -> Result<Reply> {
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
pub(super) fn walked(size: u64, root: u32) -> Settled {
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
pub(super) fn is_full(error: &MapError) -> bool {
    is_syscall_error(error, ErrorKind::ArgumentListTooLong)
}

fn is_syscall_error(error: &MapError, kind: ErrorKind) -> bool {
    matches!(error, MapError::SyscallError(error) if error.io_error.kind() == kind)
}

#[cfg(test)]
mod tests {
    use aya::sys::SyscallError;
    use rustix::io::Errno;

    use super::*;
    use crate::sys::shortage::is_caused_by_shortage;

    #[test]
    fn a_map_without_room_is_a_shortage_and_one_that_is_gone_is_none() {
        for (errno, expected) in [(Errno::TOOBIG, true), (Errno::BADF, false)] {
            let error = MapError::SyscallError(SyscallError {
                call: "bpf_map_update_elem",
                io_error: errno.into(),
            });
            let error = anyhow::Error::new(error).context("cannot credit");
            assert_eq!(is_caused_by_shortage(&error), expected, "{error:#}");
        }
    }
}
