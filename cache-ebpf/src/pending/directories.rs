//! Directories that crossed a root's border with all they hold.

use aya_ebpf::bindings::BPF_NOEXIST;
use cache_ebpf::{
    Crossing, NO_ROOT, OPERATION_DIRECTORY_ENTER, OPERATION_DIRECTORY_GONE,
    OPERATION_DIRECTORY_LEAVE, OPERATION_DIRECTORY_MOVE, OPERATION_DIRECTORY_PLACE, ProcessKey,
    Touched, control, counter,
};

use super::touched;
use crate::{
    account::{self, NOBODY},
    events::{self, Fact, Path},
    kernel::{Dentry, Fault, Inode, Read},
    maps::CROSSINGS,
    roots,
};

/// 1 if a directory has crossed a border.
///
/// A global function (exported, scalars only): the verifier checks it once, with a stack of its own.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn directory_crosses(thread: u64, slot: u32) -> u64 {
    // What cannot be read is a fault of the comparison that follows.
    touched(thread, slot).map_or(0, |(_, item)| u64::from(crosses(item).unwrap_or(false)))
}

#[inline(always)]
fn crosses(item: &Touched) -> Read<bool> {
    let inode = Inode::at(item.inode);
    if !inode.is(&item.key, item.generation) || inode.nlink()? == 0 || inode.is_subvolume()? {
        return Ok(false);
    }
    Ok(match inode.any_dentry()? {
        Some(dentry) => roots::holder_of_name(dentry)? != item.root,
        None => false,
    })
}

/// A directory may have crossed a border with all it holds: user space measures it.
///
/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn directory_changed(thread: u64, slot: u32) -> u64 {
    if let Some((_, item)) = touched(thread, slot) {
        events::count_fault(compare(item));
    }
    1
}

#[inline(always)]
fn compare(item: &Touched) -> Read<()> {
    let inode = Inode::at(item.inode);
    if !inode.is(&item.key, item.generation) || inode.nlink()? == 0 {
        tell_moved(item, Dentry::at(0), NO_ROOT, OPERATION_DIRECTORY_GONE);
        return Ok(());
    }
    // What it holds is in no root, wherever it is.
    if inode.is_subvolume()? {
        return Ok(());
    }
    let Some(dentry) = inode.any_dentry()? else {
        return Ok(());
    };
    let to = roots::holder_of_name(dentry)?;
    if to == item.root {
        // Its directories, old and new, are touched too, but stay where they are.
        if dentry.directory_number()? != item.parent || dentry.name_hash()? != item.name_hash {
            tell_moved(item, dentry, to, OPERATION_DIRECTORY_MOVE);
        }
        return Ok(());
    }
    roots::forget_verdicts();
    let process = account::current();
    for (root, operation) in [
        (item.root, OPERATION_DIRECTORY_LEAVE),
        (to, OPERATION_DIRECTORY_ENTER),
    ] {
        if root != NO_ROOT {
            crossed(root, process)?;
            tell(item, dentry, root, operation, process);
        }
    }
    // Counted after it was told: whoever sees the count finds the events.
    roots::count_crossing();
    Ok(())
}

/// Where directories are matters while user space measures what others held.
#[inline(always)]
fn tell_moved(item: &Touched, dentry: Dentry, root: u32, operation: u32) {
    if roots::is_measuring() {
        tell(item, dentry, root, operation, NOBODY);
    }
}

/// `dentry` leads to where the directory is now; it was in `item.parent`.
#[inline(always)]
fn tell(item: &Touched, dentry: Dentry, root: u32, operation: u32, process: ProcessKey) {
    let Touched {
        key,
        generation,
        parent,
        ..
    } = *item;
    let fact = Fact {
        key,
        process,
        before: item.inode,
        after: item.inode,
        operation,
        root,
        generation,
        parent,
    };
    events::emit(&fact, &Path::Of(dentry));
}

/// Tells where a directory is now, as long as its inode is in memory.
///
/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn tell_place(inode: u64, number: u64, generation: u64) -> u64 {
    match placed(Inode::at(inode), number, generation as u32) {
        Ok(status) => status,
        // The memory may be of something else by now: no fault.
        Err(_) => control::REFUSED,
    }
}

#[inline(always)]
fn placed(inode: Inode, number: u64, generation: u32) -> Read<u64> {
    if inode.number_and_generation()? != (number, generation) || inode.nlink()? == 0 {
        return Ok(control::REFUSED);
    }
    let Some(dentry) = inode.any_dentry()? else {
        return Ok(control::REFUSED);
    };
    let fact = Fact {
        key: inode.key()?,
        process: NOBODY,
        before: inode.address(),
        after: inode.address(),
        operation: OPERATION_DIRECTORY_PLACE,
        root: roots::holder_of_name(dentry)?,
        generation,
        parent: 0,
    };
    events::emit(&fact, &Path::Of(dentry));
    Ok(control::OK)
}

#[inline(always)]
fn crossed(root: u32, mover: ProcessKey) -> Read<()> {
    let first = Crossing {
        count: 1,
        mover,
        ambiguous: 0,
        pad: 0,
    };
    if CROSSINGS
        .insert(root, first, u64::from(BPF_NOEXIST))
        .is_ok()
    {
        return Ok(());
    }
    let Some(crossing) = CROSSINGS.get_ptr_mut(root) else {
        return Err(Fault(counter::FAULT_PENDING_FULL));
    };
    // SAFETY: a value just looked up; a torn update can only make it ambiguous.
    let crossing = unsafe { &mut *crossing };
    crossing.count += 1;
    if crossing.mover != mover {
        crossing.ambiguous = 1;
    }
    Ok(())
}
