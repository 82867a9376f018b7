//! Loads the kernel side, attaches its hooks, and owns both: dropping the session detaches everything.

use std::{
    os::fd::{AsRawFd as _, BorrowedFd},
    path::Path,
};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{
    Ebpf, EbpfLoader,
    programs::{ProgramError, RawTracePoint, RawTracePointRunOptions, TestRun as _, TracePoint},
};
use aya_log::EbpfLogger;
use cache_ebpf::{
    InodeKey, ProcessKey, Reply, control,
    offsets::{KEEP_SIZES, WITH_PATHS},
};
use log::Log;
use tracing::{Level, level_filters::LevelFilter};

use crate::snapshot::Changes;

use super::{
    coverage::{Coverage, Hook},
    missed::MissedRuns,
    offsets::{self, KERNEL_BTF},
    tables::Tables,
};

/// The kernel side, embedded at build time.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/cache-ebpf.o"));

/// The hooks in use, as people see them.
pub const BACKEND: &str = "tracepoint";

/// Name of the program user space runs.
const CONTROL: &str = "control";

/// Raw tracepoints: program, tracepoint. Those that end things come first, so that nothing is begun unseen.
const KERNEL_HOOKS: [(&str, &str); 6] = [
    ("process_exit", "sched_process_exit"),
    ("process_exec", "sched_process_exec"),
    ("process_fork", "sched_process_fork"),
    ("status_change", "inode_set_ctime_to_ts"),
    ("status_change", "ctime_ns_xchg"),
    ("status_change", "ctime_xchg_skip"),
];

/// System call tracepoints: program, tracepoint; in the order of attachment, those that end things first.
const SYSCALL_HOOKS: [(&str, &str); 31] = [
    ("exit_pending", "sys_exit_unlink"),
    ("exit_pending", "sys_exit_unlinkat"),
    ("exit_pending", "sys_exit_rmdir"),
    ("exit_pending", "sys_exit_rename"),
    ("exit_pending", "sys_exit_renameat"),
    ("exit_pending", "sys_exit_renameat2"),
    ("exit_pending", "sys_exit_link"),
    ("exit_pending", "sys_exit_linkat"),
    ("exit_pending", "sys_exit_truncate"),
    ("exit_pending", "sys_exit_ftruncate"),
    ("exit_pending", "sys_exit_fallocate"),
    ("enter_unlink", "sys_enter_unlink"),
    ("enter_unlink", "sys_enter_unlinkat"),
    ("enter_unlink", "sys_enter_rmdir"),
    ("enter_rename", "sys_enter_rename"),
    ("enter_rename", "sys_enter_renameat"),
    ("enter_rename", "sys_enter_renameat2"),
    ("enter_link", "sys_enter_link"),
    ("enter_link", "sys_enter_linkat"),
    ("enter_truncate", "sys_enter_truncate"),
    ("enter_resize", "sys_enter_ftruncate"),
    ("enter_resize", "sys_enter_fallocate"),
    ("enter_close", "sys_enter_close"),
    ("exit_close_range", "sys_exit_close_range"),
    ("enter_dup", "sys_enter_dup2"),
    ("enter_dup", "sys_enter_dup3"),
    ("exit_open", "sys_exit_open"),
    ("exit_open", "sys_exit_creat"),
    ("exit_open", "sys_exit_openat"),
    ("exit_open", "sys_exit_openat2"),
    ("exit_open", "sys_exit_open_by_handle_at"),
];

/// What a session is loaded for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Purpose {
    /// Events carry paths.
    pub with_paths: bool,
}

/// The loaded and attached kernel side.
pub struct Session {
    ebpf: Ebpf,
    messages: EbpfLogger<&'static dyn Log>,
    /// Its maps.
    pub tables: Tables,
    /// What is observed.
    pub coverage: Coverage,
    missed_runs: MissedRuns,
}

impl Session {
    /// Loads and attaches. Errors say in one sentence what is missing and what to do.
    pub fn open(purpose: Purpose) -> Result<Self> {
        if OBJECT.is_empty() {
            bail!(
                "this binary was built without its kernel object; build it with `cargo xtask build`"
            );
        }
        super::privilege::check()?;
        let tracefs = super::tracefs::ensure()?;
        let mut ebpf = load(&tracefs, purpose)?;
        let coverage = attach(&mut ebpf, &tracefs)?;
        let messages =
            EbpfLogger::init(&mut ebpf).context("cannot read the kernel side's messages")?;
        let tables = Tables::take(&mut ebpf)?;
        Ok(Self {
            ebpf,
            messages,
            tables,
            coverage,
            missed_runs: MissedRuns::of_loaded(),
        })
    }

    /// Runs of programs that the kernel left out: events of which nothing is known.
    pub fn missed_runs(&self) -> u64 {
        self.missed_runs.count()
    }

    /// Runs the control program in this thread's context.
    fn control(&mut self, arguments: [u64; 5]) -> Result<Reply> {
        let program: &RawTracePoint = self
            .ebpf
            .program(CONTROL)
            .context("the kernel object has no control program")?
            .try_into()?;
        self.tables.clear_reply()?;
        let mut options = RawTracePointRunOptions::new();
        for (slot, argument) in options.args.iter_mut().zip(arguments) {
            *slot = argument;
        }
        program
            .test_run(options)
            .context("cannot run the control program")?;
        // The kernel side speaks only when it is asked something.
        self.messages.flush();
        self.tables.reply()
    }

    /// Makes the directory open at `directory` root number `index`; `None` if it is not a directory.
    ///
    /// The caller has entered its device into the tables afterwards: see [`Tables::watch_device`].
    pub fn register(
        &mut self,
        directory: BorrowedFd<'_>,
        index: u32,
    ) -> Result<Option<(InodeKey, u32)>> {
        let reply = self.control([
            control::REGISTER,
            fd_argument(directory),
            u64::from(index),
            0,
            0,
        ])?;
        Ok((reply.status == control::OK).then_some((reply.key, reply.generation)))
    }

    /// Enters a file that `opener` has open for write since before the hooks; false if it is in no root.
    pub fn seed_open(&mut self, file: BorrowedFd<'_>, opener: ProcessKey) -> Result<bool> {
        let reply = self.control([
            control::SEED_OPEN,
            fd_argument(file),
            u64::from(opener.tgid),
            opener.start_ns,
            0,
        ])?;
        Ok(reply.status == control::OK)
    }

    /// Settles every file open for write.
    pub fn sweep(&mut self) -> Result<()> {
        self.control([control::SWEEP, 0, 0, 0, 0]).map(drop)
    }

    /// Credits what user space measured.
    pub fn credit(&mut self, process: ProcessKey, root: u32, changes: &Changes) -> Result<()> {
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

    /// This process as the kernel side names it.
    pub fn identify(&mut self) -> Result<ProcessKey> {
        Ok(self.control([control::IDENTIFY, 0, 0, 0, 0])?.process)
    }
}

fn fd_argument(fd: BorrowedFd<'_>) -> u64 {
    // Descriptors of this process are never negative.
    u64::from(fd.as_raw_fd().unsigned_abs())
}

fn load(tracefs: &Path, purpose: Purpose) -> Result<Ebpf> {
    let blob = std::fs::read(KERNEL_BTF).with_context(|| {
        format!("cannot read {KERNEL_BTF}: the kernel needs CONFIG_DEBUG_INFO_BTF")
    })?;
    let mut globals = offsets::resolve(&blob)?;
    drop(blob);
    globals.extend(offsets::syscall_fields(tracefs)?);
    globals.push((WITH_PATHS, u64::from(purpose.with_paths)));
    globals.push((KEEP_SIZES, 1));
    let mut loader = EbpfLoader::new();
    // No relocations against kernel types in the object: parsing them would only cost memory.
    loader.btf(None);
    let level = log_level();
    loader.override_global(aya_log::LEVEL, &level, true);
    for (name, value) in &globals {
        loader.override_global(name, value, true);
    }
    loader
        .load(OBJECT)
        .context("cannot load the kernel object: needs CAP_BPF and CAP_PERFMON, or root")
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

fn attach(ebpf: &mut Ebpf, tracefs: &Path) -> Result<Coverage> {
    let mut coverage = Coverage::default();
    let control: &mut RawTracePoint = ebpf
        .program_mut(CONTROL)
        .context("no control program")?
        .try_into()?;
    control
        .load()
        .map_err(refusal)
        .context("the kernel refuses the control program")?;
    for (program, tracepoint) in KERNEL_HOOKS {
        let hook = attach_raw(ebpf, program, tracepoint);
        coverage.note(
            Hook {
                program,
                tracepoint,
            },
            hook,
        )?;
    }
    for (program, tracepoint) in SYSCALL_HOOKS {
        if !tracefs.join("events/syscalls").join(tracepoint).is_dir() {
            // Not a call of this architecture or kernel: there is nothing to miss.
            continue;
        }
        let hook = attach_syscall(ebpf, program, tracepoint);
        coverage.note(
            Hook {
                program,
                tracepoint,
            },
            hook,
        )?;
    }
    Ok(coverage)
}

/// One sentence out of a refused load; the verifier's whole log, up to thousands of lines, is for debugging.
fn refusal(error: ProgramError) -> anyhow::Error {
    let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    else {
        return error.into();
    };
    let log = verifier_log.to_string();
    tracing::debug!(log, "verifier");
    let said = log
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !is_statistics(line))
        .unwrap_or("nothing");
    anyhow!(
        "kernel {}: {io_error}; the verifier says: {said}",
        release()
    )
}

/// Closing lines that each verifier log has.
fn is_statistics(line: &str) -> bool {
    ["processed ", "verification time ", "stack depth "]
        .iter()
        .any(|prefix| line.starts_with(prefix))
}

fn release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

fn attach_raw(ebpf: &mut Ebpf, name: &str, tracepoint: &str) -> Result<()> {
    let program: &mut RawTracePoint = ebpf
        .program_mut(name)
        .context("not in the kernel object")?
        .try_into()?;
    if program.fd().is_err() {
        program.load().map_err(refusal)?;
    }
    program.attach(tracepoint)?;
    Ok(())
}

fn attach_syscall(ebpf: &mut Ebpf, name: &str, tracepoint: &str) -> Result<()> {
    let program: &mut TracePoint = ebpf
        .program_mut(name)
        .context("not in the kernel object")?
        .try_into()?;
    if program.fd().is_err() {
        program.load().map_err(refusal)?;
    }
    program.attach("syscalls", tracepoint)?;
    Ok(())
}
