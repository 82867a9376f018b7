//! A kernel side without a kernel: what a test says that processes do happens on the disk, and totals, accounts
//! and events tell of it as the hooks would.
//!
//! Clones are one and the same: one goes to the ledger, one stays with the test.

mod acts;
mod maps;
mod processes;

pub(crate) use self::processes::FakeProcesses;

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, VecDeque},
    ffi::OsString,
    fs::File,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
    rc::Rc,
};

use anyhow::{Result, anyhow};
use cache_ebpf::{Credit, CreditKey, Crossing, InodeKey, Process, ProcessKey, ancestry::Lookup};
use rustix::event::{EventfdFlags, eventfd};

use super::{
    counters::Counters,
    coverage::{Coverage, Hook},
    hooks::Backend,
    kernel_side::KernelSide,
    session::Registered,
};
use crate::config::kernel_maps::Maps;

/// The fake.
#[derive(Clone)]
pub(crate) struct FakeKernel {
    state: Rc<RefCell<State>>,
    backend: Backend,
    coverage: Rc<Coverage>,
    capacities: Maps,
    /// Readable once something came while it was asleep.
    file_bell: Rc<OwnedFd>,
    process_bell: Rc<OwnedFd>,
}

/// What the maps hold, and what only a kernel knows.
#[derive(Default)]
struct State {
    roots: BTreeMap<u32, Root>,
    totals: HashMap<u32, Credit>,
    untold: HashMap<u32, Credit>,
    accounts: HashMap<CreditKey, Credit>,
    processes: HashMap<ProcessKey, Process>,
    /// Those that were started, with or without an account.
    started: HashMap<ProcessKey, Process>,
    sizes: HashMap<InodeKey, (u32, u64)>,
    open: HashMap<InodeKey, Open>,
    crossings: HashMap<u32, Crossing>,
    crossed: u64,
    measured: u64,
    counters: Counters,
    missed_runs: u64,
    files: VecDeque<Vec<u8>>,
    steps: VecDeque<Vec<u8>>,
    lookups: Vec<Lookup>,
    tools: Vec<String>,
    steps_lost: u64,
    is_asleep: bool,
    loses_events: bool,
    /// What the hooks do not see of the agent's own files.
    blind_to: Option<u32>,
}

/// A registered directory.
struct Root {
    registered: Registered,
    path: PathBuf,
    /// The self-test's: its files, names and sizes by inode number, as they were at the last look.
    own: Option<OwnFiles>,
}

type OwnFiles = BTreeMap<u64, (Vec<OsString>, u64)>;

/// A file that processes have open for write; the last one of them opened it last.
struct Open {
    file: File,
    root: u32,
    openers: Vec<ProcessKey>,
    known: u64,
}

impl FakeKernel {
    /// With all hooks of a backend.
    pub(crate) fn new(backend: Backend) -> Self {
        let bell = || Rc::new(eventfd(0, EventfdFlags::NONBLOCK).unwrap());
        Self {
            state: Rc::default(),
            backend,
            coverage: Rc::new(Coverage::new(backend)),
            capacities: Maps::default(),
            file_bell: bell(),
            process_bell: bell(),
        }
    }

    /// Without one of them.
    pub(crate) fn without_hook(backend: Backend, program: &'static str) -> Self {
        let mut coverage = Coverage::new(backend);
        let hook = Hook {
            program,
            target: "its tracepoint",
        };
        coverage.note(hook, Err(anyhow!("no such event"))).unwrap();
        Self {
            coverage: Rc::new(coverage),
            ..Self::new(backend)
        }
    }

    /// From now on the ring is full, or has room again.
    pub(crate) fn lose_events(&self, loses: bool) {
        self.state.borrow_mut().loses_events = loses;
    }

    /// From now on the hooks do not see this operation on the agent's own files.
    pub(crate) fn go_blind_to(&self, operation: Option<u32>) {
        self.state.borrow_mut().blind_to = operation;
    }

    /// A counter grows by one.
    pub(crate) fn count(&self, counter: u32) {
        self.state.borrow_mut().counters[counter as usize] += 1;
    }

    /// A program was not run once.
    pub(crate) fn miss_run(&self) {
        self.state.borrow_mut().missed_runs += 1;
    }

    /// Moved directories that were reported as measured.
    pub(crate) fn measured(&self) -> u64 {
        self.state.borrow().measured
    }

    /// Names whose exec begins an invocation.
    pub(crate) fn tools(&self) -> Vec<String> {
        self.state.borrow().tools.clone()
    }
}

impl KernelSide for FakeKernel {
    type Processes = FakeProcesses;

    fn backend(&self) -> Backend {
        self.backend
    }

    fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    fn capacities(&self) -> &Maps {
        &self.capacities
    }

    fn missed_runs(&self) -> u64 {
        self.state.borrow().missed_runs
    }

    fn identify(&mut self) -> Result<ProcessKey> {
        Ok(own_process())
    }

    fn sleep(&mut self) -> Result<()> {
        self.state.borrow_mut().is_asleep = true;
        Ok(())
    }

    fn events_fd(&self) -> BorrowedFd<'_> {
        self.file_bell.as_fd()
    }
}

/// The agent itself.
fn own_process() -> ProcessKey {
    ProcessKey {
        start_ns: 1,
        tgid: std::process::id(),
        pad: 0,
    }
}
