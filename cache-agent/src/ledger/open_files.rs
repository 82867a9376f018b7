//! Files that were open for write before the hooks came: only what happens from now on is credited.

use std::{
    fs::{read_dir, read_to_string, symlink_metadata},
    os::{fd::AsFd as _, unix::fs::PermissionsExt as _},
    path::Path,
};

use anyhow::Result;
use cache_ebpf::{Process, ProcessKey};
use rustix::fs::{Mode, OFlags, open};

use crate::kernel::ledger_maps::LedgerMaps;

/// Owner's write bit of a link in `/proc/PID/fd`: the descriptor was opened for write (proc(5)).
const WRITABLE: u32 = 0o200;
/// Nanoseconds of one tick of `/proc/PID/stat`, which counts in `USER_HZ` = 100.
const TICK_NS: u64 = 10_000_000;

/// Enters every file that any process has open for write below a root. What vanishes meanwhile is left out.
pub fn seed(maps: &mut impl LedgerMaps) -> Result<()> {
    let Ok(processes) = read_dir("/proc") else {
        return Ok(());
    };
    let own = std::process::id();
    for process in processes.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        if pid != own {
            seed_process(maps, pid, &process.path())?;
        }
    }
    Ok(())
}

fn seed_process(maps: &mut impl LedgerMaps, pid: u32, directory: &Path) -> Result<()> {
    let Ok(descriptors) = read_dir(directory.join("fd")) else {
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
        let key = ProcessKey {
            start_ns: start_ns(directory).unwrap_or(0),
            tgid: pid,
            pad: 0,
        };
        if maps.seed_open(file.as_fd(), key)? {
            maps.enter_process(key, identity(directory))?;
        }
    }
    Ok(())
}

/// Start of a process as /proc tells it: cut to ticks, so an account of its own may appear once it opens again.
fn start_ns(directory: &Path) -> Option<u64> {
    let stat = read_to_string(directory.join("stat")).ok()?;
    let ticks: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    Some(ticks * TICK_NS)
}

/// The leader of an invocation as /proc shows it, ended if it is gone.
pub fn identity_of(leader: &ProcessKey) -> Process {
    let is_alive = crate::process::running_tools::is_alive(leader);
    // There is no process 0: of one that is gone nothing is known.
    let number = if is_alive { leader.tgid } else { 0 };
    let mut process = identity(Path::new(&format!("/proc/{number}")));
    process.invocation = *leader;
    process.ended_ns = if is_alive { 0 } else { leader.start_ns };
    process
}

fn identity(directory: &Path) -> Process {
    let mut process = Process {
        comm: [0; 16],
        uid: std::fs::metadata(directory)
            .map_or(0, |meta| std::os::unix::fs::MetadataExt::uid(&meta)),
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
    copy(
        &std::fs::read(directory.join("comm")).unwrap_or_default(),
        &mut process.comm,
    );
    let argv = std::fs::read(directory.join("cmdline")).unwrap_or_default();
    process.argv_len = u32::try_from(copy(&argv, &mut process.argv)).unwrap_or(0);
    process
}

fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let from = from.strip_suffix(b"\n").unwrap_or(from);
    let length = from.len().min(to.len());
    for (target, byte) in to.iter_mut().zip(from) {
        *target = *byte;
    }
    length
}
