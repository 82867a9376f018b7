//! What the self-test does, and what each act must amount to.

use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    ptr::null_mut,
};

use anyhow::{Context as _, Result};
use rustix::{
    fs::{
        AtFlags, FallocateFlags, Mode, OFlags, fallocate, ftruncate, linkat, openat, renameat,
        unlinkat,
    },
    io::Errno,
    mm::{MapFlags, ProtFlags, mmap, munmap},
    rand::{GetRandomFlags, getrandom},
};

use super::{compare::Comparison, directory};
use crate::{kernel::ledger_maps::LedgerMaps, model::changes::Changes};

/// Name of its file, the one it gets, and a second one.
const FILE: &str = "file";
const RENAMED: &str = "renamed";
const LINKED: &str = "linked";
/// All names it uses.
pub(super) const NAMES: [&str; 3] = [FILE, RENAMED, LINKED];

/// Bytes that are written first, while the file stays open; then before it is closed, and after it is opened
/// again. All differ, so that no two mistakes make up for each other.
const FIRST: usize = 4000;
const LAST: usize = 96;
const APPENDED: usize = 1001;
const AGAIN: usize = 707;
/// Sizes that are set.
const EXTENDED: u64 = 12_289;
const ALLOCATED: u64 = 16_385;
const CUT: u64 = 1234;
/// What is written through a mapping: bytes that are there.
const MAPPED: usize = 4096;

/// Does all of it; the directory is empty before and after.
pub(super) fn perform(
    directory: &OwnedFd,
    comparison: &mut Comparison<'_, impl LedgerMaps>,
) -> Result<()> {
    let outcome = written(directory, comparison)
        .and_then(|size| resized(directory, comparison, size))
        .and_then(|size| named(directory, comparison, size));
    directory::clear(directory)?;
    outcome
}

/// Created, written, closed, appended to; its size.
fn written(directory: &OwnedFd, comparison: &mut Comparison<'_, impl LedgerMaps>) -> Result<u64> {
    let file = open(directory, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
    comparison.remember(&file)?;
    comparison.expect("open", created())?;
    let mut size = write(&file, FIRST)?;
    comparison.sweep()?;
    comparison.expect("write", grown(FIRST as u64))?;
    size += write(&file, LAST)?;
    drop(file);
    comparison.expect("close", grown(LAST as u64))?;
    let file = open(directory, OFlags::WRONLY | OFlags::APPEND)?;
    size += write(&file, APPENDED)?;
    drop(file);
    comparison.expect("write", grown(APPENDED as u64))?;
    Ok(size)
}

/// Extended, mapped, allocated, cut; its size.
fn resized(
    directory: &OwnedFd,
    comparison: &mut Comparison<'_, impl LedgerMaps>,
    mut size: u64,
) -> Result<u64> {
    let file = open(directory, OFlags::RDWR)?;
    ftruncate(&file, EXTENDED).context("cannot extend the canary's file")?;
    comparison.expect("ftruncate", grown(EXTENDED - size))?;
    size = EXTENDED;
    write_mapped(file)?;
    comparison.expect("mmap", Changes::default())?;
    let file = open(directory, OFlags::WRONLY)?;
    match fallocate(&file, FallocateFlags::empty(), 0, ALLOCATED) {
        Ok(()) => {
            drop(file);
            comparison.expect("fallocate", grown(ALLOCATED - size))?;
            size = ALLOCATED;
        }
        // Not every file system can.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => drop(file),
        Err(error) => return Err(error).context("cannot allocate for the canary's file"),
    }
    cut(directory)?;
    comparison.expect("truncate", shrunk(size - CUT))?;
    let file = open(directory, OFlags::WRONLY | OFlags::TRUNC)?;
    comparison.expect("open", shrunk(CUT))?;
    let size = write(&file, AGAIN)?;
    drop(file);
    comparison.expect("close", grown(AGAIN as u64))?;
    Ok(size)
}

/// Renamed, linked, unlinked.
fn named(
    directory: &OwnedFd,
    comparison: &mut Comparison<'_, impl LedgerMaps>,
    size: u64,
) -> Result<()> {
    renameat(directory, FILE, directory, RENAMED).context("cannot rename the canary's file")?;
    let renamed = Changes {
        files_renamed: 1,
        ..Changes::default()
    };
    comparison.expect("rename", renamed)?;
    match linkat(directory, RENAMED, directory, LINKED, AtFlags::empty()) {
        Ok(()) => {
            unlink(directory, LINKED)?;
            comparison.expect("link", Changes::default())?;
        }
        // Not every file system can.
        Err(Errno::OPNOTSUPP | Errno::PERM | Errno::NOSYS) => {}
        Err(error) => return Err(error).context("cannot link the canary's file"),
    }
    unlink(directory, RENAMED)?;
    let gone = Changes {
        files_deleted: 1,
        ..shrunk(size)
    };
    comparison.expect("unlink", gone)
}

fn open(directory: &OwnedFd, flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, FILE, flags, Mode::RUSR | Mode::WUSR).context("cannot open the canary's file")
}

fn write(file: &OwnedFd, bytes: usize) -> Result<u64> {
    let content = [b'c'; FIRST];
    let mut rest = content.get(..bytes).unwrap_or_default();
    while !rest.is_empty() {
        let written = rustix::io::write(file, rest).context("cannot write the canary's file")?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(bytes as u64)
}

/// Writes through a mapping that outlives the descriptor.
fn write_mapped(file: OwnedFd) -> Result<()> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a fresh mapping at an address of the kernel's choice.
    let mapping = unsafe { mmap(null_mut(), MAPPED, protection, MapFlags::SHARED, &file, 0) };
    let mapping = mapping.context("cannot map the canary's file")?;
    drop(file);
    // SAFETY: so many bytes, mapped for reading and writing until `munmap` below, and of no other reference.
    let bytes = unsafe { std::slice::from_raw_parts_mut(mapping.cast::<u8>(), MAPPED) };
    // The kernel writes: a page for which there is no room is an error to it, and would be a signal to us.
    let filled = getrandom(bytes, GetRandomFlags::NONBLOCK);
    // SAFETY: the mapping made above; the reference to it is not used any more.
    unsafe { munmap(mapping, MAPPED) }.context("cannot unmap the canary's file")?;
    filled.context("cannot write the mapped canary's file")?;
    Ok(())
}

/// Sets the size by name; the name is that of a descriptor, which leads nowhere else.
fn cut(directory: &OwnedFd) -> Result<()> {
    let file = open(directory, OFlags::PATH)?;
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    nix::unistd::truncate(name.as_str(), CUT.cast_signed()).context("cannot cut the canary's file")
}

fn unlink(directory: &OwnedFd, name: &str) -> Result<()> {
    unlinkat(directory, name, AtFlags::empty()).context("cannot unlink the canary's file")
}

fn created() -> Changes {
    Changes {
        files_created: 1,
        ..Changes::default()
    }
}

fn grown(bytes: u64) -> Changes {
    Changes {
        growth_bytes: bytes.cast_signed(),
        ..Changes::default()
    }
}

fn shrunk(bytes: u64) -> Changes {
    Changes {
        growth_bytes: bytes.cast_signed().wrapping_neg(),
        freed_bytes: bytes,
        ..Changes::default()
    }
}
