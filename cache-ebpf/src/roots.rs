//! Does this inode belong to a root? Device first, then the memoised verdict of its directory, then a
//! bounded walk up the dentries.

use aya_ebpf::{bindings::BPF_ANY, helpers::bpf_loop};
use cache_ebpf::{DEPTH_MAX, NO_ROOT, Verdict, counter, map_names};

use crate::{
    atomic, events,
    kernel::{Access, Dentry, Fault, Inode, Read},
    maps::{DEVICES, EPOCH, ROOTS, VERDICTS, WATCHED},
};

/// True where at least one root lives on the superblock: a few comparisons, on most hosts one.
#[inline(always)]
pub(crate) fn is_watched(superblock: u64) -> bool {
    let Some(watched) = WATCHED.get_ptr(0) else {
        return false;
    };
    // SAFETY: an array slot, always live; user space changes one word at a time.
    let watched = unsafe { &*watched };
    for one in &watched.superblocks {
        if *one == superblock {
            return true;
        }
        if *one == 0 {
            return false;
        }
    }
    watched.more != 0 && DEVICES.get_ptr(superblock).is_some()
}

/// The root that holds a file with this name, [`NO_ROOT`] if none.
#[inline(always)]
pub(crate) fn holder_of_name<A: Access>(dentry: Dentry<A>) -> Read<u32> {
    let directory = dentry.parent()?;
    match remembered(directory)? {
        UNKNOWN => Ok(holder(directory.plain()?.address())),
        root => Ok(root),
    }
}

/// The root that holds the files in this directory.
#[inline(always)]
pub(crate) fn holder_of_directory(dentry: Dentry) -> u32 {
    holder(dentry.address())
}

/// Voids all memoised verdicts: a directory crosses a border.
#[inline(always)]
pub(crate) fn forget_verdicts() {
    raise(0);
}

/// A directory has crossed a border.
#[inline(always)]
pub(crate) fn count_crossing() {
    raise(map_names::EPOCH_CROSSED);
}

#[inline(always)]
fn raise(slot: u32) {
    if let Some(count) = EPOCH.get_ptr_mut(slot) {
        // SAFETY: an array slot, always live.
        unsafe { atomic::add(count, 1) };
    }
}

/// User space has not measured yet all directories that crossed.
#[inline(always)]
pub(crate) fn is_measuring() -> bool {
    epoch_slot(map_names::EPOCH_CROSSED) != epoch_slot(map_names::EPOCH_MEASURED)
}

/// Index of the root whose directory this inode is.
#[inline(always)]
pub(crate) fn root_at(inode: Inode) -> Read<Option<u32>> {
    let Some(root) = ROOTS.get_ptr(inode.address()) else {
        return Ok(None);
    };
    // SAFETY: a value just looked up; read once.
    let root = unsafe { root.read() };
    Ok((root.generation == inode.generation()?).then_some(root.index))
}

/// A global function: the verifier checks it once, not once per caller.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn holder(directory: u64) -> u32 {
    match memoised(Dentry::at(directory)) {
        Ok(root) => root,
        Err(fault) => {
            events::fault(fault);
            NO_ROOT
        }
    }
}

/// No verdict. (An `Option` would leave its payload uninitialised, which the verifier refuses.)
const UNKNOWN: u32 = NO_ROOT - 1;

/// The verdict on a directory, [`UNKNOWN`] if there is none.
#[inline(always)]
fn remembered<A: Access>(directory: Dentry<A>) -> Read<u32> {
    let Some(inode) = directory.inode()? else {
        return Ok(NO_ROOT);
    };
    let Some(verdict) = VERDICTS.get_ptr(inode.address()) else {
        return Ok(UNKNOWN);
    };
    // SAFETY: a value just looked up; read once.
    let verdict = unsafe { verdict.read() };
    let (ino, generation) = inode.number_and_generation()?;
    let valid = verdict.epoch == epoch() && verdict.ino == ino && verdict.generation == generation;
    Ok(if valid { verdict.root } else { UNKNOWN })
}

/// What verdicts are valid for.
#[inline(always)]
fn epoch() -> u64 {
    epoch_slot(0)
}

#[inline(always)]
fn epoch_slot(slot: u32) -> u64 {
    // SAFETY: an array slot, always live.
    EPOCH
        .get_ptr(slot)
        .map_or(0, |value| unsafe { value.read_volatile() })
}

#[inline(always)]
fn memoised(directory: Dentry) -> Read<u32> {
    let root = remembered(directory)?;
    if root != UNKNOWN {
        return Ok(root);
    }
    let Some(inode) = directory.inode()? else {
        return Ok(NO_ROOT);
    };
    let ((ino, generation), epoch) = (inode.number_and_generation()?, epoch());
    let root = walk(directory)?;
    let verdict = Verdict {
        root,
        generation,
        epoch,
        ino,
    };
    if VERDICTS
        .insert(inode.address(), verdict, u64::from(BPF_ANY))
        .is_err()
    {
        // An LRU map refuses only for want of memory; the next look-up walks again.
        return Ok(root);
    }
    Ok(root)
}

/// A walk from a directory towards the root of its file system.
struct Ascent {
    dentry: u64,
    /// What was found, [`NO_ROOT`] as long as nothing was.
    root: u32,
    /// Counter of the fault that ended it, or one of the two below.
    end: u32,
}

/// Not over yet: the bound was reached.
const CLIMBING: u32 = counter::FAULT_DEPTH;
/// Found, or at the top.
const ARRIVED: u32 = u32::MAX;

/// A callback loop: the verifier checks one step, not a hundred.
#[inline(always)]
fn walk(directory: Dentry) -> Read<u32> {
    let mut ascent = Ascent {
        dentry: directory.address(),
        root: NO_ROOT,
        end: CLIMBING,
    };
    let callback = climb as *const () as *mut core::ffi::c_void;
    // SAFETY: the callback has the signature the helper asks for, the context outlives the call.
    unsafe { bpf_loop(DEPTH_MAX, callback, (&raw mut ascent).cast(), 0) };
    if ascent.end == ARRIVED {
        Ok(ascent.root)
    } else {
        Err(Fault(ascent.end))
    }
}

/// One step; 1 = stop.
extern "C" fn climb(_step: u32, ascent: *mut Ascent) -> i64 {
    // SAFETY: the context handed to the helper.
    let ascent = unsafe { &mut *ascent };
    match step(Dentry::at(ascent.dentry), &mut ascent.root) {
        Ok(Some(parent)) => {
            ascent.dentry = parent.address();
            return 0;
        }
        Ok(None) => ascent.end = ARRIVED,
        Err(Fault(counter)) => ascent.end = counter,
    }
    1
}

/// The parent to go on with, if there is any and this is no root.
#[inline(always)]
fn step(dentry: Dentry, root: &mut u32) -> Read<Option<Dentry>> {
    if let Some(inode) = dentry.inode()? {
        if let Some(found) = root_at(inode)? {
            *root = found;
            return Ok(None);
        }
        // Inode numbers begin anew in it: to everybody but the kernel it is another file system.
        if inode.is_subvolume()? {
            return Ok(None);
        }
    }
    let parent = dentry.parent()?;
    Ok(if parent.address() == dentry.address() {
        None
    } else {
        Some(parent)
    })
}
