//! Directories that crossed a root's border with all they hold.

use aya_ebpf::bindings::BPF_NOEXIST;
use cache_ebpf::{
    Crossing, NO_ROOT, OPERATION_DIRECTORY_ENTER, OPERATION_DIRECTORY_LEAVE, ProcessKey, Touched,
    counter,
};

use super::touched;
use crate::{
    account,
    events::{self, Fact, Path},
    kernel::{Fault, Inode, Read},
    maps::CROSSINGS,
    roots,
};

/// A directory may have crossed a border with all it holds: user space measures it.
///
/// A global function (exported, scalars only): the verifier checks it once, with a stack of its own.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn directory_renamed(thread: u64, slot: u32) -> u64 {
    if let Some((_, item)) = touched(thread, slot) {
        events::count_fault(compare(item));
    }
    1
}

#[inline(always)]
fn compare(item: &Touched) -> Read<()> {
    let inode = Inode::at(item.inode);
    if !inode.is(&item.key, item.generation) {
        return Ok(());
    }
    let Some(dentry) = inode.any_dentry()? else {
        return Ok(());
    };
    let to = roots::holder_of_name(dentry)?;
    if to == item.root {
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
            let Touched {
                key, generation, ..
            } = *item;
            let fact = Fact {
                key,
                process,
                before: 0,
                after: 0,
                operation,
                root,
                generation,
                parent: 0,
            };
            events::emit(&fact, &Path::Of(dentry));
        }
    }
    // Counted after it was told: whoever sees the count finds the events.
    roots::count_crossing();
    Ok(())
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
