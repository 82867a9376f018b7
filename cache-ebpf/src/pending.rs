//! Name- and size-changing calls, followed from entry to exit. A path says nothing in the kernel side;
//! instead the inodes that the call changes are noted on the way (`touch`), and at the exit of a call that
//! succeeded their state before and after is compared.
#![expect(
    clippy::cast_possible_truncation,
    reason = "slots are below TOUCHED_MAX"
)]

mod directories;
mod files;

use core::mem::offset_of;

use aya_ebpf::{bindings::BPF_ANY, helpers::bpf_get_current_pid_tgid};
use cache_ebpf::{
    NO_ROOT, PATH_BYTES, PENDING_RENAME, PENDING_RESIZE, PENDING_UNLINK, Pending, TOUCHED_MAX,
    Touched, counter,
};

pub(crate) use self::directories::tell_place;
use self::{
    directories::{directory_changed, directory_crosses},
    files::{Step, file_changed},
};
use crate::{
    account::NOBODY,
    events,
    kernel::{self, Dentry, Fault, Inode, Read},
    ledger,
    maps::{BLANK_PENDING, DRAFT, PENDING, PENDING_PATHS},
    path, roots,
};

/// Names a call under way: the running thread's.
#[inline(always)]
pub(crate) fn of_thread() -> u64 {
    bpf_get_current_pid_tgid() & u64::from(u32::MAX)
}

/// Names the call under way on one file system. overlayfs calls the VFS again for the file below: the inner
/// call has another device, and an account of its own if it has any.
#[inline(always)]
pub(crate) fn of_thread_on(device: u32) -> u64 {
    of_thread() | u64::from(device) << 32
}

/// The running thread enters `call`.
#[inline(always)]
pub(crate) fn begin(thread: u64, call: u32) -> Read<()> {
    let Some(blank) = BLANK_PENDING.get(0) else {
        return Ok(());
    };
    if PENDING.insert(thread, blank, u64::from(BPF_ANY)).is_err() {
        return Err(Fault(counter::FAULT_PENDING_FULL));
    }
    if let Some(pending) = PENDING.get_ptr_mut(thread) {
        // SAFETY: a value just looked up, this thread's own.
        unsafe { (*pending).call = call };
    }
    Ok(())
}

/// The running thread enters a call that sets the size of a file in a root.
#[inline(always)]
pub(crate) fn begin_resize(thread: u64, inode: Inode) -> Read<()> {
    begin(thread, PENDING_RESIZE)?;
    touch(thread, inode)
}

/// The call under way changes an inode.
#[inline(always)]
pub(crate) fn touch(thread: u64, inode: Inode) -> Read<()> {
    let Some(pending) = PENDING.get_ptr_mut(thread) else {
        return Ok(());
    };
    // SAFETY: a value just looked up, this thread's own until its call ends.
    let pending = unsafe { &mut *pending };
    for slot in 0..TOUCHED_MAX {
        if slot >= pending.count as usize {
            note(inode.address(), thread, slot as u32);
            return Ok(());
        }
        let Some(item) = pending.touched.get(slot) else {
            break;
        };
        if item.inode == inode.address() {
            return Ok(());
        }
    }
    Err(Fault(counter::FAULT_TOUCHED_FULL))
}

/// A thread's call under way and one inode it touched.
#[inline(always)]
pub(crate) fn touched(
    thread: u64,
    slot: u32,
) -> Option<(&'static mut Pending, &'static mut Touched)> {
    let pending = PENDING.get_ptr_mut(thread)?;
    let slot = slot as usize & (TOUCHED_MAX - 1);
    let item = pending
        .wrapping_byte_add(offset_of!(Pending, touched))
        .cast::<Touched>()
        .wrapping_add(slot);
    // SAFETY: a value just looked up, this thread's own until its call ends; callers use `item` for the
    // touched inode and this for the rest.
    let pending = unsafe { &mut *pending };
    // SAFETY: as above; `slot` is masked below the length.
    Some((pending, unsafe { &mut *item }))
}

/// Notes the state of an inode before the call is done with it.
///
/// A global function (exported, scalars only): the verifier checks it once, not once per caller.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn note(inode: u64, thread: u64, slot: u32) -> u64 {
    let Some((pending, item)) = touched(thread, slot) else {
        return 0;
    };
    match note_state(Inode::at(inode), item) {
        Ok(()) => pending.count = slot + 1,
        Err(fault) => events::fault(fault),
    }
    if events::wants_paths() && pending.path_len == 0 && kernel::is_regular(item.mode) {
        pending.path_len = store_path(item.dentry, thread);
    }
    1
}

#[inline(always)]
fn note_state(inode: Inode, item: &mut Touched) -> Read<()> {
    item.inode = inode.address();
    item.key = inode.key()?;
    item.size = inode.size()?;
    item.generation = inode.generation()?;
    item.mode = inode.mode()?;
    item.nlink = inode.nlink()?;
    item.root = NO_ROOT;
    item.holds = NO_ROOT;
    let directory = kernel::is_directory(item.mode);
    let dentry = if directory {
        inode.any_dentry()?
    } else {
        inode.name()?
    };
    if let Some(dentry) = dentry {
        item.dentry = dentry.address();
        item.parent = dentry.directory_number()?;
        item.root = roots::holder_of_name(dentry)?;
        if directory {
            item.holds = roots::holder_of_directory(dentry);
            item.name_hash = dentry.name_hash()?;
        }
    }
    Ok(())
}

/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn store_path(dentry: u64, thread: u64) -> u32 {
    if dentry == 0 {
        return 0;
    }
    let slot = events::claim();
    let Some(draft) = DRAFT.get_ptr_mut(slot) else {
        return 0;
    };
    // SAFETY: claimed for this run.
    let path = unsafe { &(*draft).path };
    let composed = path::compose(Dentry::at(dentry), slot);
    // SAFETY: the first PATH_BYTES bytes of a longer array.
    let stored = unsafe { &*path.as_ptr().cast::<[u8; PATH_BYTES]>() };
    let inserted = PENDING_PATHS.insert(thread, stored, u64::from(BPF_ANY));
    events::give_back(draft);
    if inserted.is_ok() { composed.length } else { 0 }
}

/// The call under way is over.
#[inline(always)]
pub(crate) fn end(thread: u64, result: i64) {
    let Some(pending) = PENDING.get_ptr_mut(thread) else {
        return;
    };
    // SAFETY: a value just looked up, this thread's own until it is removed below.
    let pending = unsafe { &*pending };
    if result == 0 {
        for slot in 0..TOUCHED_MAX as u32 {
            if slot >= pending.count {
                break;
            }
            take(thread, slot, Step::from_word(compare(thread, slot)));
        }
    }
    // ENOENT is the only failure, and what was wanted.
    PENDING.remove(thread).unwrap_or_default();
    if events::wants_paths() {
        PENDING_PATHS.remove(thread).unwrap_or_default();
    }
}

/// No root in common.
const MIXED: u32 = NO_ROOT - 1;
/// No directory seen. (An `Option` would leave its payload uninitialised, which the verifier refuses.)
const UNSET: u32 = NO_ROOT - 2;

/// The root that holds the files of all directories the call changed on `device`; [`MIXED`] where they differ.
/// (A call on an overlay changes directories of the layer below too, which may be in another root or in none.)
#[inline(always)]
fn common_holder(pending: &Pending, device: u32) -> u32 {
    let mut common = UNSET;
    for slot in 0..TOUCHED_MAX {
        let Some(item) = pending.touched.get(slot) else {
            break;
        };
        if slot >= pending.count as usize {
            break;
        }
        let is_other = !kernel::is_directory(item.mode) || item.key.dev != device;
        if is_other || item.holds == common {
            continue;
        }
        if common != UNSET {
            return MIXED;
        }
        common = item.holds;
    }
    if common == UNSET { MIXED } else { common }
}

/// Compares one inode before and after the call; the step that follows, as a word.
///
/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn compare(thread: u64, slot: u32) -> u64 {
    let Some((pending, item)) = touched(thread, slot) else {
        return Step::nothing().to_word();
    };
    let step = if kernel::is_regular(item.mode) {
        let holds = common_holder(pending, item.key.dev);
        file_changed(pending.call, item, holds)
    } else if kernel::is_directory(item.mode) && moves_directories(pending.call) {
        Step::plain(files::DIRECTORY, NO_ROOT)
    } else {
        Step::nothing()
    };
    step.to_word()
}

/// A directory that is removed matters to user space only while it measures others.
#[inline(always)]
fn moves_directories(call: u32) -> bool {
    call == PENDING_RENAME || call == PENDING_UNLINK && roots::is_measuring()
}

#[inline(always)]
fn take(thread: u64, slot: u32, step: Step) {
    match step.kind {
        files::VANISH => drop(ledger::changed_outside(thread, slot)),
        files::RESIZE => drop(ledger::resize(thread, slot)),
        files::RENAME => drop(ledger::rename(thread, slot, step.to)),
        files::LINK => drop(ledger::tell_link(thread, slot, step.to)),
        files::MOVE => {
            if step.from != NO_ROOT {
                ledger::settle_leaving(thread, slot, step.from);
                ledger::leave(thread, slot, step.from, step.detail);
            }
            if step.from == NO_ROOT {
                ledger::changed_outside(thread, slot);
            }
            if step.to != NO_ROOT {
                ledger::enter(thread, slot, step.to);
            }
        }
        files::DIRECTORY => {
            if directory_crosses(thread, slot) == 1 {
                // What was written until now is the writers'.
                ledger::settle_open(&NOBODY);
            }
            directory_changed(thread, slot);
        }
        files::FAULT => events::fault(Fault(step.detail)),
        _ => {}
    }
}
