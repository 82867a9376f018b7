//! File systems and modules.

use std::{
    ffi::{CStr, CString},
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use cache_tests::vm::{DISKS, Disk, MODULES};
use rustix::{
    mount::{MountFlags, mount},
    system::finit_module,
};

use super::busybox;

/// The longest that kernels allow.
const SLICE_NS: &str = "1000000000";
/// Type and place, in the order of mounting.
const KERNEL: [(&str, &str); 9] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("debugfs", "/sys/kernel/debug"),
    ("tracefs", "/sys/kernel/tracing"),
    ("bpf", "/sys/fs/bpf"),
    ("cgroup2", "/sys/fs/cgroup"),
];

/// What the kernel itself offers, and the userland's names.
pub(super) fn kernel_file_systems() -> Result<()> {
    for (kind, place) in KERNEL {
        fs::create_dir_all(place).or_else(exists)?;
        mount(kind, place, kind, MountFlags::empty(), None::<&CStr>)
            .with_context(|| format!("cannot mount {kind} on {place}"))?;
    }
    busybox(&["--install", "-s", "/bin"])
}

/// Lets a process have a processor for a second, or as near to it as the kernel allows.
///
/// An emulated processor does a fiftieth of what time slices are made for: with the usual ones, a
/// preemptible kernel takes it away in the middle of a program of the agent's, and skips that
/// program, counted as `missed_run`, for whoever comes next. On real processors that is rare.
pub(super) fn long_slices() {
    for file in [
        "base_slice_ns",
        "min_granularity_ns",
        "wakeup_granularity_ns",
    ] {
        // Kernels have one or the other, and what one has not need not be set.
        let set = fs::write(Path::new("/sys/kernel/debug/sched").join(file), SLICE_NS);
        if let Err(error) = set {
            eprintln!("vm_init: {file}: {error}");
        }
    }
}

fn exists(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == ErrorKind::AlreadyExists {
        Ok(())
    } else {
        Err(error)
    }
}

pub(super) fn load_modules() -> Result<()> {
    for module in entries(Path::new(MODULES))? {
        let loaded = File::open(&module).map(|file| finit_module(&file, c"", 0))?;
        // Some are for processors that this is not; whoever needs a missing one will say so.
        if let Err(error) = loaded {
            eprintln!("vm_init: {}: {error}", module.display());
        }
    }
    Ok(())
}

/// Mounts the disks, found by their serial numbers.
pub(super) fn disks(disks: &[Disk]) -> Result<()> {
    for disk in disks {
        let device = device(&disk.serial)?;
        let place = Path::new(DISKS).join(&disk.serial);
        let options = CString::new(disk.options.as_str())?;
        fs::create_dir_all(&place)?;
        mount(
            &device,
            &place,
            disk.kind.as_str(),
            MountFlags::empty(),
            options.as_c_str(),
        )
        .with_context(|| format!("cannot mount {} as {}", device.display(), disk.kind))?;
    }
    Ok(())
}

fn device(serial: &str) -> Result<PathBuf> {
    for disk in entries(Path::new("/sys/block"))? {
        let found = fs::read_to_string(disk.join("serial")).unwrap_or_default();
        if let (true, Some(name)) = (found.trim() == serial, disk.file_name()) {
            return Ok(Path::new("/dev").join(name));
        }
    }
    anyhow::bail!("no disk has the serial number {serial}")
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = listed
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}
