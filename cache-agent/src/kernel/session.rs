//! Loads the kernel side, attaches its hooks, and owns both: dropping the session detaches everything.

use std::{
    os::fd::{AsRawFd as _, BorrowedFd},
    thread,
};

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf, EbpfLoader,
    programs::{RawTracePoint, RawTracePointRunOptions, TestRun as _},
};
use aya_log::EbpfLogger;
use cache_ebpf::{
    InodeKey, ProcessKey, Reply, control, map_names,
    offsets::{KEEP_SIZES, WITH_PATHS},
};
use log::Log;
use tracing::{Level, level_filters::LevelFilter};

use super::{
    attach::{Prepared, Types},
    coverage::Coverage,
    detach::{Detach, Holder, Links},
    hooks::{Backend, Choice},
    kernel_side::KernelSide,
    maps::KernelMaps,
    missed_runs::MissedRuns,
    process_maps::ProcessMaps,
    trampolines::Trampolines,
};
use crate::config::kernel_maps::Maps;

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
    /// Who waits for the end of the hooks.
    pub detach: Detach,
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
    #[expect(dead_code, reason = "likewise")]
    links: Links,
    detach: Detach,
    /// Goes last: by then all of the above is closed.
    holder: Option<Holder>,
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
        let (types, mut loader) = read_types()?;
        let mut attached = |backend| Self::attached(purpose, backend, &types, &mut loader);
        match purpose.backend {
            Choice::Fentry => attached(Backend::Fentry)
                .context("the fentry backend does not work here; `--backend auto` takes what does"),
            Choice::Tracepoint => attached(Backend::Tracepoint),
            Choice::Auto => match attached(Backend::Fentry) {
                Ok(opened) => Ok(opened),
                Err(error) => {
                    let reason = format!("{error:#}");
                    tracing::info!(
                        reason,
                        "the fentry backend does not work here, using tracepoint"
                    );
                    attached(Backend::Tracepoint)
                }
            },
        }
    }

    fn attached<'t>(
        purpose: Purpose,
        backend: Backend,
        types: &'t Types,
        loader: &mut EbpfLoader<'t>,
    ) -> Result<(Self, ProcessMaps)> {
        let prepared = Prepared::new(backend, types)?;
        let mut ebpf = load(loader, types, purpose, backend)?;
        let mut trampolines = Trampolines::new();
        let mut links = Links::default();
        let coverage = prepared.attach(&mut ebpf, &mut trampolines, &mut links)?;
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
            links,
            detach: purpose.detach,
            holder: None,
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

impl Drop for Session {
    fn drop(&mut self) {
        if self.detach == Detach::Wait {
            return;
        }
        let started = self
            .maps
            .watch_nothing()
            .and_then(|()| Ok(Holder::start()?));
        match started {
            Ok(holder) => self.holder = Some(holder),
            Err(error) => tracing::debug!(error = format!("{error:#}"), "the hooks end here"),
        }
    }
}

pub(super) fn fd_argument(fd: BorrowedFd<'_>) -> u64 {
    // Descriptors of this process are never negative.
    u64::from(fd.as_raw_fd().unsigned_abs())
}

/// The kernel's types, and a loader. aya's reads them too, unasked: that takes as long.
fn read_types() -> Result<(Types, EbpfLoader<'static>)> {
    thread::scope(|scope| {
        let loader = scope.spawn(EbpfLoader::new);
        let types = Types::read()?;
        let mut loader = loader.join().unwrap_or_default();
        // No relocations against kernel types in the object: keeping them would only cost memory.
        loader.btf(None);
        Ok((types, loader))
    })
}

fn load<'t>(
    loader: &mut EbpfLoader<'t>,
    types: &'t Types,
    purpose: Purpose,
    backend: Backend,
) -> Result<Ebpf> {
    loader.override_global(aya_log::LEVEL, log_level(), true);
    loader.override_global(WITH_PATHS, flag(purpose.with_paths), true);
    loader.override_global(KEEP_SIZES, flag(backend == Backend::Tracepoint), true);
    for (name, value) in &types.globals {
        loader.override_global(name, value, true);
    }
    for (name, entries) in entries(&purpose.maps) {
        loader.map_max_entries(name, entries);
    }
    loader
        .load(OBJECT)
        .context("cannot load the kernel object: needs CAP_BPF and CAP_PERFMON, or root")
}

/// A global that is on or off.
fn flag(is_on: bool) -> &'static u64 {
    if is_on { &1 } else { &0 }
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
        (map_names::EVENTS, ring_bytes),
        (map_names::OPEN, open_files),
        (map_names::SIZES, files),
        (map_names::CREDITS, accounts),
        (map_names::PROCESSES, processes),
        (map_names::PENDING, calls),
        (map_names::PENDING_PATHS, calls),
    ]
}

/// The kernel side leaves out messages that nobody would see (`aya_log_common::Level`: 1 error to 5 trace).
fn log_level() -> &'static u8 {
    match LevelFilter::current().into_level() {
        None => &0,
        Some(Level::ERROR) => &1,
        Some(Level::WARN) => &2,
        Some(Level::INFO) => &3,
        Some(Level::DEBUG) => &4,
        Some(Level::TRACE) => &5,
    }
}
