//! Files that were open for write before the hooks came: only what happens from now on is credited.

use std::{
    fs::{read_dir, symlink_metadata},
    os::{fd::AsFd as _, unix::fs::PermissionsExt as _},
};

use anyhow::Result;
use cache_ebpf::{Process, ProcessKey};
use rustix::fs::{Mode, OFlags, open};

use crate::{kernel::ledger_maps::LedgerMaps, sys::procfs};

/// Owner's write bit of a link in `/proc/PID/fd`: the descriptor was opened for write (proc(5)).
const WRITABLE: u32 = 0o200;

/// Enters every file that any process has open for write below a root. What vanishes meanwhile is left out.
pub fn seed(maps: &mut impl LedgerMaps) -> Result<()> {
    let own = std::process::id();
    let processes = procfs::numbers().into_iter().flatten();
    for pid in processes.filter(|pid| *pid != own) {
        seed_process(maps, pid)?;
    }
    Ok(())
}

fn seed_process(maps: &mut impl LedgerMaps, pid: u32) -> Result<()> {
    let Ok(descriptors) = read_dir(format!("/proc/{pid}/fd")) else {
        return Ok(());
    };
    for link in descriptors.flatten().map(|entry| entry.path()) {
        if !symlink_metadata(&link).is_ok_and(|link| link.permissions().mode() & WRITABLE != 0) {
            continue;
        }
        // O_PATH opens nothing: no device is touched, no lease broken.
        let Ok(file) = open(&link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
            continue;
        };
        if rustix::fs::fstat(&file).is_ok_and(|stat| stat.st_mode & 0o170_000 != 0o100_000) {
            continue;
        }
        let process = procfs::Process::numbered(pid);
        let stat = process.as_ref().and_then(procfs::Process::stat);
        // Cut to ticks: an account of its own may appear once it opens again.
        let key = ProcessKey {
            start_ns: stat.map_or(0, |stat| stat.start_ns),
            tgid: pid,
            pad: 0,
        };
        if maps.seed_open(file.as_fd(), key)? {
            maps.enter_process(key, identity(process.as_ref()))?;
        }
    }
    Ok(())
}

/// The leader of an invocation as /proc shows it, ended if it is gone.
pub fn identity_of(leader: &ProcessKey) -> Process {
    let found = procfs::Process::of(leader);
    let mut process = identity(found.as_ref());
    process.invocation = *leader;
    process.ended_ns = found.map_or(leader.start_ns, |_| 0);
    process
}

/// Of one that is gone nothing is known.
fn identity(found: Option<&procfs::Process>) -> Process {
    let mut process = Process {
        comm: [0; 16],
        uid: found.and_then(procfs::Process::owner).unwrap_or(0),
        ppid: 0,
        flags: 0,
        argv_len: 0,
        cgroup: 0,
        ended_ns: 0,
        invocation: ProcessKey {
            start_ns: 0,
            tgid: 0,
            pad: 0,
        },
        argv: [0; cache_ebpf::ARGV_BYTES],
    };
    let stat = found.and_then(procfs::Process::stat);
    copy(
        &stat.map_or_else(Vec::new, |stat| stat.comm),
        &mut process.comm,
    );
    let argv = found.and_then(|found| found.read("cmdline"));
    let argv = argv.unwrap_or_default();
    process.argv_len = u32::try_from(copy(&argv, &mut process.argv)).unwrap_or(0);
    process
}

fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let length = from.len().min(to.len());
    for (target, byte) in to.iter_mut().zip(from) {
        *target = *byte;
    }
    length
}
