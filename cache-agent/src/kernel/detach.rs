//! The end of the hooks. For each perf event of a system call tracepoint the kernel waits for two grace periods,
//! 60 to 80 ms (`perf_event_detach_bpf_prog`, `perf_trace_event_unreg`, Linux 6.18), and there are 31 of them.
//!
//! The first wait is nobody else's: links closed side by side share it. The second holds a lock of the kernel; who
//! cannot wait for it leaves the links to a child.

use std::{
    any::Any,
    fs::{read_dir, read_to_string},
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsRawFd as _, RawFd},
    sync::Mutex,
    thread,
};

use nix::{
    libc,
    unistd::{ForkResult, fork},
};

/// Threads that close links: few enough for the unit's `TasksMax`.
const CLOSERS: usize = 8;

/// Who waits for the end of the hooks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Detach {
    /// Whoever ends the session.
    #[default]
    Wait,
    /// A child that may outlive this process by seconds.
    Leave,
}

/// Attached programs; they run as long as this lives.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<Box<dyn Any + Send>>);

impl Links {
    /// Keeps a link.
    pub(super) fn keep(&mut self, link: impl Any + Send) {
        self.0.push(Box::new(link));
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        let links = std::mem::take(&mut self.0);
        let closers = CLOSERS.min(links.len());
        let links = Mutex::new(links.into_iter());
        let close = || {
            while let Some(link) = links.lock().ok().and_then(|mut links| links.next()) {
                drop(link);
            }
        };
        thread::scope(|scope| {
            for _ in 1..closers {
                // Without another thread it only takes longer.
                drop(thread::Builder::new().spawn_scoped(scope, close));
            }
            close();
        });
    }
}

/// A child that has every link of this process open, and ends once this is gone.
#[derive(Debug)]
pub(super) struct Holder {
    #[expect(dead_code, reason = "the child waits for its end")]
    released: PipeWriter,
}

impl Holder {
    /// Forks it.
    #[expect(unsafe_code, reason = "fork has no safe form")]
    pub(super) fn start() -> io::Result<Self> {
        let (gone, released) = io::pipe()?;
        let mut kept = links()?;
        kept.push(gone.as_raw_fd());
        kept.sort_unstable();
        // SAFETY: other threads may hold locks; the child makes system calls only until it ends.
        match unsafe { fork() }? {
            ForkResult::Parent { .. } => Ok(Self { released }),
            ForkResult::Child => hold(&kept, &gone),
        }
    }
}

/// The child: nothing of whoever started this process is kept waiting for it.
#[expect(unsafe_code, reason = "the only way to end without destructors")]
fn hold(kept: &[RawFd], gone: &PipeReader) -> ! {
    // Neither a terminal nor a directory; both calls can fail for a session leader only, or not at all.
    rustix::process::setsid().map(drop).unwrap_or_default();
    rustix::process::chdir(c"/").unwrap_or_default();
    close_others(kept);
    while rustix::io::read(gone, &mut [0; 1]) == Err(rustix::io::Errno::INTR) {}
    // SAFETY: it has no precondition.
    unsafe { libc::_exit(0) }
}

/// Closes every descriptor but those `kept`, which ascend.
fn close_others(kept: &[RawFd]) {
    let mut first = 0;
    for descriptor in kept.iter().map(|descriptor| descriptor.unsigned_abs()) {
        if first < descriptor {
            close_range(first, descriptor - 1);
        }
        first = descriptor + 1;
    }
    close_range(first, libc::c_uint::MAX);
}

#[expect(unsafe_code, reason = "no crate in use has a safe form")]
fn close_range(first: libc::c_uint, last: libc::c_uint) {
    // SAFETY: what owns these descriptors is never used again in this process.
    unsafe { libc::close_range(first, last, 0) };
}

/// Descriptors of this process' links (`bpf_link_show_fdinfo`, Linux 5.8).
fn links() -> io::Result<Vec<RawFd>> {
    let mut found = Vec::new();
    for entry in read_dir("/proc/self/fdinfo")? {
        let entry = entry?;
        // The descriptor of this very directory is gone when it is asked about.
        let about = read_to_string(entry.path()).unwrap_or_default();
        if about.lines().any(|line| line.starts_with("link_type:")) {
            let name = entry.file_name();
            let descriptor = name.to_str().and_then(|name| name.parse::<RawFd>().ok());
            found.extend(descriptor);
        }
    }
    Ok(found)
}
