//! The maps that follow processes, typed.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, BorrowedFd},
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{HashMap, MapData, PerCpuArray, RingBuf},
};
use cache_ebpf::{
    ProcessKey,
    ancestry::{
        LOOKUP_RING_BYTES, Lookup, TOOL_ENVIRONMENT, TOOL_INVOCATION, TRACKED_HEAD, TRACKED_SEEDED,
        Tracked, counter,
    },
    map_names,
};

use super::{
    kernel_side::FollowsProcesses,
    maps::{gone, taken},
};

/// Bytes of a command name that the kernel keeps, without its NUL.
const COMM_BYTES: usize = 15;
/// A command name as the kernel keeps it.
type Comm = [u8; 16];

/// Who descends from a tool.
pub struct ProcessMaps {
    tracked: HashMap<MapData, u32, Tracked>,
    tools: HashMap<MapData, Comm, u32>,
    counters: PerCpuArray<MapData, u64>,
    events: RingBuf<MapData>,
    lookups: RingBuf<MapData>,
}

impl ProcessMaps {
    /// Takes the maps out of the loaded object.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            tracked: taken(ebpf, map_names::TRACKED)?,
            tools: taken(ebpf, map_names::TOOLS)?,
            counters: taken(ebpf, map_names::LINEAGE_COUNTERS)?,
            events: taken(ebpf, map_names::PROCESS_EVENTS)?,
            lookups: taken(ebpf, map_names::LOOKUPS)?,
        })
    }

    /// Whatever this process starts is an invocation, by whatever name.
    pub fn enter_head(&mut self, process: ProcessKey) -> Result<()> {
        let head = Tracked {
            start_ns: process.start_ns,
            invocation: nobody(),
            parent: nobody(),
            flags: TRACKED_HEAD,
            pad: 0,
        };
        Ok(self.tracked.insert(process.tgid, head, 0)?)
    }

    /// The head starts nothing more; its children stay.
    pub fn leave_head(&mut self, process: ProcessKey) -> Result<()> {
        Ok(self.tracked.remove(&process.tgid)?)
    }
}

impl FollowsProcesses for ProcessMaps {
    fn follow_tools<'a>(
        &mut self,
        tools: impl IntoIterator<Item = &'a str>,
        told: impl IntoIterator<Item = &'a str>,
    ) -> Result<()> {
        let wanted = by_comm(tools, told);
        let followed: Vec<Comm> = self.tools.keys().collect::<Result<_, _>>()?;
        for comm in followed.iter().filter(|comm| !wanted.contains_key(*comm)) {
            gone(self.tools.remove(comm))?;
        }
        for (comm, flags) in wanted {
            self.tools.insert(comm, flags, 0).with_context(|| {
                let name = String::from_utf8_lossy(&comm);
                let name = name.trim_end_matches('\0');
                format!("no room to follow the tool {name}")
            })?;
        }
        Ok(())
    }

    fn seed(
        &mut self,
        process: ProcessKey,
        invocation: ProcessKey,
        parent: ProcessKey,
    ) -> Result<()> {
        /// `BPF_NOEXIST` of `bpf_map_update_elem`.
        const NOEXIST: u64 = 1;
        let tracked = Tracked {
            start_ns: process.start_ns,
            invocation,
            parent,
            flags: TRACKED_SEEDED,
            pad: 0,
        };
        match self.tracked.insert(process.tgid, tracked, NOEXIST) {
            Err(error) if !super::maps::already_exists(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn drain(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> usize {
        for done in 0..limit {
            match self.events.next() {
                Some(record) => each(&record),
                None => return done,
            }
        }
        limit
    }

    fn drain_lookups(&mut self, mut each: impl FnMut(&Lookup)) {
        // No more than the ring holds: a busy host must not keep the caller here.
        for _ in 0..LOOKUP_RING_BYTES / size_of::<Lookup>() {
            let Some(record) = self.lookups.next() else {
                return;
            };
            if let Ok(lookup) = bytemuck::try_pod_read_unaligned(&record) {
                each(&lookup);
            }
        }
    }

    fn events_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    fn lost(&self) -> Result<u64> {
        let sum = |slot| -> Result<u64> { Ok(self.counters.get(&slot, 0)?.iter().sum()) };
        Ok(sum(counter::DROPPED)? + sum(counter::UNTRACKED)? + sum(counter::UNNAMED)?)
    }
}

fn nobody() -> ProcessKey {
    ProcessKey {
        start_ns: 0,
        tgid: 0,
        pad: 0,
    }
}

/// `TOOL_*` by what the kernel keeps of a name: several names may be one to it.
fn by_comm<'a>(
    tools: impl IntoIterator<Item = &'a str>,
    told: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<Comm, u32> {
    let tools = tools.into_iter();
    let tools = tools.map(|name| (name, TOOL_INVOCATION | TOOL_ENVIRONMENT));
    let told = told.into_iter().map(|name| (name, TOOL_ENVIRONMENT));
    let mut wanted = BTreeMap::new();
    for (name, flags) in tools.chain(told) {
        let mut comm = Comm::default();
        for (target, byte) in comm.iter_mut().take(COMM_BYTES).zip(name.bytes()) {
            *target = byte;
        }
        *wanted.entry(comm).or_default() |= flags;
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_all_that_it_is_listed_for() {
        let long = ["a-very-long-name", "a-very-long-nam", "go", "vet"];
        let found = by_comm(long, ["vet", "asm"]);
        let comm = |name: &str| {
            let mut comm = Comm::default();
            comm[..name.len()].copy_from_slice(name.as_bytes());
            comm
        };
        let both = TOOL_INVOCATION | TOOL_ENVIRONMENT;
        let expected = [
            (comm("a-very-long-nam"), both),
            (comm("asm"), TOOL_ENVIRONMENT),
            (comm("go"), both),
            (comm("vet"), both),
        ];
        assert_eq!(found, expected.into());
    }
}
