//! Processes of the fake: they start, start others, and end.

use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::Result;
use bytemuck::Zeroable as _;
use cache_ebpf::{
    ARGV_BYTES, Process, ProcessKey,
    ancestry::{Lookup, PROCESS_EXEC, PROCESS_EXIT, ProcessEvent},
};

use super::{FakeKernel, State};
use crate::{kernel::kernel_side::FollowsProcesses, sys::clock::boot_now_ns};

/// The maps of processes of a fake.
pub(crate) struct FakeProcesses(FakeKernel);

/// What processes do is told as of then, so that what ended has rested.
const AGE_NS: u64 = 5_000_000_000;

/// Far above the numbers that the host gives.
const FIRST_TGID: u32 = 1 << 30;

impl FakeKernel {
    /// Its maps of processes.
    pub(crate) fn process_maps(&self) -> FakeProcesses {
        FakeProcesses(self.clone())
    }

    /// A process executes a command line.
    pub(crate) fn start(&self, line: &str) -> ProcessKey {
        self.start_below(None, line)
    }

    /// A child of another one does.
    pub(crate) fn start_child(&self, parent: ProcessKey, line: &str) -> ProcessKey {
        self.start_below(Some(parent), line)
    }

    fn start_below(&self, parent: Option<ProcessKey>, line: &str) -> ProcessKey {
        let state = &mut *self.state.borrow_mut();
        let above = parent.and_then(|parent| state.started.get(&parent));
        let above = above.map_or(ProcessKey::zeroed(), |above| above.invocation);
        let key = ProcessKey {
            start_ns: boot_now_ns() - AGE_NS,
            tgid: FIRST_TGID + u32::try_from(state.started.len()).unwrap(),
            pad: 0,
        };
        let program = line.split(' ').next().unwrap();
        let is_tool = state.tools.iter().any(|tool| tool == program);
        let mut process = Process {
            uid: 1000,
            ppid: parent.map_or(1, |parent| parent.tgid),
            invocation: if is_tool { key } else { above },
            ..Process::zeroed()
        };
        process.comm[..program.len()].copy_from_slice(program.as_bytes());
        let argv = line.replace(' ', "\0") + "\0";
        let kept = argv.len().min(ARGV_BYTES);
        process.argv[..kept].copy_from_slice(&argv.as_bytes()[..kept]);
        process.argv_len = u32::try_from(kept).unwrap();
        state.started.insert(key, process);
        let parent = if is_tool { above } else { ProcessKey::zeroed() };
        state.step(PROCESS_EXEC, key, parent, argv.as_bytes());
        key
    }

    /// A process ends.
    pub(crate) fn exit(&self, key: ProcessKey) {
        let state = &mut *self.state.borrow_mut();
        let ended_ns = boot_now_ns() - AGE_NS;
        state.started.get_mut(&key).unwrap().ended_ns = ended_ns;
        if let Some(process) = state.processes.get_mut(&key) {
            process.ended_ns = ended_ns;
        }
        state.step(PROCESS_EXIT, key, ProcessKey::zeroed(), b"");
    }

    /// So many events of processes found no room.
    pub(crate) fn lose_steps(&self, count: u64) {
        self.state.borrow_mut().steps_lost += count;
    }
}

impl State {
    /// Tells of a process that descends from a tool, as the hooks of processes do.
    fn step(&mut self, kind: u32, process: ProcessKey, parent: ProcessKey, argv: &[u8]) {
        let who = self.started[&process];
        if who.invocation.tgid == 0 {
            return;
        }
        let event = ProcessEvent {
            time_ns: boot_now_ns() - AGE_NS,
            process,
            invocation: who.invocation,
            parent,
            kind,
            uid: who.uid,
            ppid: who.ppid,
            argv_len: u32::try_from(argv.len()).unwrap(),
            comm: who.comm,
            ..ProcessEvent::zeroed()
        };
        self.steps
            .push_back([bytemuck::bytes_of(&event), argv].concat());
    }
}

impl FollowsProcesses for FakeProcesses {
    fn follow_tools<'a>(
        &mut self,
        tools: impl IntoIterator<Item = &'a str>,
        _told: impl IntoIterator<Item = &'a str>,
    ) -> Result<()> {
        self.0.state.borrow_mut().tools = tools.into_iter().map(str::to_owned).collect();
        Ok(())
    }

    fn seed(&mut self, _: ProcessKey, _: ProcessKey, _: ProcessKey) -> Result<()> {
        Ok(())
    }

    fn drain(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> usize {
        let steps = &mut self.0.state.borrow_mut().steps;
        let count = limit.min(steps.len());
        steps.drain(..count).for_each(|step| each(&step));
        count
    }

    fn drain_lookups(&mut self, mut each: impl FnMut(&Lookup)) {
        let lookups = &mut self.0.state.borrow_mut().lookups;
        lookups.drain(..).for_each(|lookup| each(&lookup));
    }

    fn events_fd(&self) -> BorrowedFd<'_> {
        self.0.process_bell.as_fd()
    }

    fn lost(&self) -> Result<u64> {
        Ok(self.0.state.borrow().steps_lost)
    }
}
