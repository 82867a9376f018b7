//! Loads the kernel side, attaches its hooks, and owns both: dropping the session detaches everything.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf, EbpfLoader,
    programs::{RawTracePoint, RawTracePointRunOptions, TestRun as _},
};
use aya_log::EbpfLogger;
use cache_ebpf::{InodeKey, ProcessKey, Reply, control, map, offsets::WITH_PATHS};
use log::Log;
use tracing::{Level, level_filters::LevelFilter};

use super::{
    attach::Prepared,
    coverage::Coverage,
    hooks::{Backend, Choice},
    kernel_side::KernelSide,
    maps::KernelMaps,
    missed_runs::MissedRuns,
    process_maps::ProcessMaps,
    trampolines::Trampolines,
};
use crate::config::maps::Maps;

/// The kernel side, embedded at build time.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/cache-ebpf.o"));

/// Name of the program user space runs.
pub(super) const CONTROL: &str = "control";

/// What a session is loaded for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Purpose {
    /// Events carry paths.
    pub with_paths: bool,
    /// Kernel hooks to use.
    pub backend: Choice,
    /// Sizes of the maps.
    pub maps: Maps,
}

/// What the kernel calls a root.
#[derive(Clone, Copy, Debug)]
pub struct Registered {
    /// Device and inode number.
    pub key: InodeKey,
    /// Address of its inode, valid while the directory is open.
    pub inode: u64,
    /// Address of its superblock, likewise.
    pub superblock: u64,
}

/// The loaded and attached kernel side.
pub struct Session {
    ebpf: Ebpf,
    messages: EbpfLogger<&'static dyn Log>,
    /// The hooks in use.
    pub backend: Backend,
    /// Its maps.
    pub(super) maps: KernelMaps,
    /// How many entries they can hold.
    capacities: Maps,
    /// What is observed.
    pub coverage: Coverage,
    missed_runs: MissedRuns,
    #[expect(dead_code, reason = "the hooks run as long as it lives")]
    trampolines: Trampolines,
}

impl Session {
    /// Loads and attaches. Errors say in one sentence what is missing and what to do.
    pub fn open(purpose: Purpose) -> Result<(Self, ProcessMaps)> {
        if OBJECT.is_empty() {
            bail!(
                "this binary was built without its kernel object; build it with `cargo xtask build`"
            );
        }
        super::privilege::check()?;
        match purpose.backend {
            Choice::Fentry => Self::attached(purpose, Backend::Fentry)
                .context("the fentry backend does not work here; `--backend auto` takes what does"),
            Choice::Tracepoint => Self::attached(purpose, Backend::Tracepoint),
            Choice::Auto => match Self::attached(purpose, Backend::Fentry) {
                Ok(opened) => Ok(opened),
                Err(error) => {
                    let reason = format!("{error:#}");
                    tracing::info!(
                        reason,
                        "the fentry backend does not work here, using tracepoint"
                    );
                    Self::attached(purpose, Backend::Tracepoint)
                }
            },
        }
    }

    fn attached(purpose: Purpose, backend: Backend) -> Result<(Self, ProcessMaps)> {
        let prepared = Prepared::new(backend)?;
        let mut ebpf = load(&prepared, purpose)?;
        let mut trampolines = Trampolines::new();
        let coverage = prepared.attach(&mut ebpf, &mut trampolines)?;
        tracing::info!(backend = backend.as_str(), "hooks attached");
        let messages =
            EbpfLogger::init(&mut ebpf).context("cannot read the kernel side's messages")?;
        let maps = KernelMaps::take(&mut ebpf, backend == Backend::Tracepoint)?;
        let process_maps = ProcessMaps::take(&mut ebpf)?;
        let session = Self {
            ebpf,
            messages,
            backend,
            maps,
            capacities: purpose.maps,
            coverage,
            missed_runs: MissedRuns::of_loaded(trampolines.groups()),
            trampolines,
        };
        Ok((session, process_maps))
    }

    /// Runs the control program in this thread's context.
    pub(super) fn control(&mut self, arguments: [u64; 5]) -> Result<Reply> {
        let program: &RawTracePoint = self
            .ebpf
            .program(CONTROL)
            .context("the kernel object has no control program")?
            .try_into()?;
        self.maps.clear_reply()?;
        let mut options = RawTracePointRunOptions::new();
        for (slot, argument) in options.args.iter_mut().zip(arguments) {
            *slot = argument;
        }
        program
            .test_run(options)
            .context("cannot run the control program")?;
        // The kernel side speaks only when it is asked something.
        self.messages.flush();
        self.maps.reply()
    }

    /// Makes a process the head of the traced family.
    pub fn enter_family(&mut self, tgid: u32) -> Result<()> {
        self.maps.enter_family(tgid)
    }

    /// Takes a process out of the family; its children stay.
    pub fn leave_family(&mut self, tgid: u32) -> Result<()> {
        self.maps.leave_family(tgid)
    }
}

impl KernelSide for Session {
    type Processes = ProcessMaps;

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
        self.missed_runs.count()
    }

    fn identify(&mut self) -> Result<ProcessKey> {
        Ok(self.control([control::IDENTIFY, 0, 0, 0, 0])?.process)
    }

    fn sleep(&mut self) -> Result<()> {
        self.maps.sleep()
    }

    fn events_fd(&self) -> BorrowedFd<'_> {
        self.maps.events_fd()
    }
}

pub(super) fn fd_argument(fd: BorrowedFd<'_>) -> u64 {
    // Descriptors of this process are never negative.
    u64::from(fd.as_raw_fd().unsigned_abs())
}

fn load(prepared: &Prepared, purpose: Purpose) -> Result<Ebpf> {
    let mut loader = EbpfLoader::new();
    // No relocations against kernel types in the object: parsing them would only cost memory.
    loader.btf(None);
    let level = log_level();
    loader.override_global(aya_log::LEVEL, &level, true);
    let with_paths = u64::from(purpose.with_paths);
    loader.override_global(WITH_PATHS, &with_paths, true);
    for (name, value) in &prepared.globals {
        loader.override_global(name, value, true);
    }
    for (name, entries) in entries(&purpose.maps) {
        loader.map_max_entries(name, entries);
    }
    loader
        .load(OBJECT)
        .context("cannot load the kernel object: needs CAP_BPF and CAP_PERFMON, or root")
}

/// Maps that have a size of their own.
fn entries(maps: &Maps) -> [(&'static str, u32); 7] {
    let Maps {
        ring_bytes,
        open_files,
        files,
        accounts,
        processes,
        calls,
    } = *maps;
    [
        (map::EVENTS, ring_bytes),
        (map::OPEN, open_files),
        (map::SIZES, files),
        (map::CREDITS, accounts),
        (map::PROCESSES, processes),
        (map::PENDING, calls),
        (map::PENDING_PATHS, calls),
    ]
}

/// The kernel side leaves out messages that nobody would see (`aya_log_common::Level`: 1 error to 5 trace).
fn log_level() -> u8 {
    match LevelFilter::current().into_level() {
        None => 0,
        Some(Level::ERROR) => 1,
        Some(Level::WARN) => 2,
        Some(Level::INFO) => 3,
        Some(Level::DEBUG) => 4,
        Some(Level::TRACE) => 5,
    }
}
