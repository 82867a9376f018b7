//! The maps that follow processes, typed.

use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{HashMap, MapData, PerCpuArray, RingBuf},
};
use cache_ebpf::{
    ProcessKey,
    lineage::{TOOL_ENVIRONMENT, TOOL_INVOCATION, TRACKED_HEAD, TRACKED_SEEDED, Tracked, counter},
    map,
};

use super::kernel_side::FollowsProcesses;

use super::maps::taken;

/// Bytes of a command name that the kernel keeps, without its NUL.
const COMM_BYTES: usize = 15;

/// Who descends from a tool.
pub struct ProcessMaps {
    tracked: HashMap<MapData, u32, Tracked>,
    tools: HashMap<MapData, [u8; 16], u32>,
    counters: PerCpuArray<MapData, u64>,
    events: RingBuf<MapData>,
}

impl ProcessMaps {
    /// Takes the maps out of the loaded object.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            tracked: taken(ebpf, map::TRACKED)?,
            tools: taken(ebpf, map::TOOLS)?,
            counters: taken(ebpf, map::LINEAGE_COUNTERS)?,
            events: taken(ebpf, map::PROCESS_EVENTS)?,
        })
    }

    fn enter_tool(&mut self, name: &str, flags: u32) -> Result<()> {
        let mut key = [0; 16];
        for (target, byte) in key.iter_mut().take(COMM_BYTES).zip(name.bytes()) {
            *target = byte;
        }
        self.tools
            .insert(key, flags, 0)
            .with_context(|| format!("no room to follow the tool {name}"))
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
    fn follow_tools<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
        for name in names {
            self.enter_tool(name, TOOL_INVOCATION | TOOL_ENVIRONMENT)?;
        }
        Ok(())
    }

    fn send_environment_of<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
        for name in names {
            self.enter_tool(name, TOOL_ENVIRONMENT)?;
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

    fn events_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    fn lost(&self) -> Result<u64> {
        let sum = |slot| -> Result<u64> { Ok(self.counters.get(&slot, 0)?.iter().sum()) };
        Ok(sum(counter::DROPPED)? + sum(counter::UNTRACKED)?)
    }
}

fn nobody() -> ProcessKey {
    ProcessKey {
        start_ns: 0,
        tgid: 0,
        pad: 0,
    }
}
