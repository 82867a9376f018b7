//! What system calls that are over did to files: sizes set, names gained, moved and lost.
//!
//! The entry points are global functions (exported, scalars only): the verifier checks each once, not once
//! per caller. They return 1 when done.

use cache_ebpf::{
    NO_ROOT, OPERATION_ENTER, OPERATION_LINK, OPERATION_RENAME, OPERATION_WRITE, Touched,
    settling::GONE,
};

use super::{
    entry::Entry,
    outside,
    settle::{
        Known as _, Member, credit_size, followed, insert, settle, settle_closed, tell, unfollow,
    },
    sizes::{Kept, drop_size, hold_size, is_fentry, keep_size, settled_size},
};
use crate::{
    account::{self, Change},
    events::{self, Path},
    kernel::{Inode, Read},
    pending, roots,
};

/// A file's size was set by a call of the running process that is over.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn resize(thread: u64, slot: u32) -> u64 {
    let Some((member, item)) = of_touched(thread, slot, None) else {
        return 0;
    };
    if !member.inode.is(&member.key, member.generation) {
        return 0;
    }
    events::count_fault(resized(&member, item.size));
    1
}

#[inline(always)]
fn resized(member: &Member, before: u64) -> Read<()> {
    let process = account::current();
    if let Some(entry) = followed(member) {
        settle(member, entry, Some(process), false).map(drop)
    } else {
        let known = settled_size(&member.key, member.generation).unwrap_or(before);
        settle_closed(member, process, known)
    }
}

/// A file is about to leave `root`: what was written until then still belongs to its writer. (Apart from
/// [`leave`], so that each has a stack of its own.)
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn settle_leaving(thread: u64, slot: u32, root: u32) -> u64 {
    let Some((member, item)) = of_touched(thread, slot, Some(root)) else {
        return 0;
    };
    item.size = settle_before_leaving(&member, item.size);
    unfollow(member.inode.address());
    drop_size(&member.key);
    1
}

/// A file's last name in `root` went, and it is settled; `operation` says how.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn leave(thread: u64, slot: u32, root: u32, operation: u32) -> u64 {
    let Some((member, item)) = of_touched(thread, slot, Some(root)) else {
        return 0;
    };
    let process = account::current();
    account::credit(&process, root, &Change::leave(item.size));
    tell(&member, &process, item.size, 0, operation);
    1
}

/// Size of a file that has just left. A hook on the call itself still holds the inode; after a system call it
/// may be freed, its size cleared.
#[inline(always)]
fn last_size(member: &Member, before: u64) -> u64 {
    if is_fentry() {
        member.inode.size().unwrap_or(before)
    } else {
        before
    }
}

/// What was written until the file went still belongs to its writer. The size that leaves with it; `before` is that
/// before the call.
#[inline(always)]
fn settle_before_leaving(member: &Member, before: u64) -> u64 {
    if let Some(entry) = followed(member) {
        let size = last_size(member, before);
        let (known, payee) = (entry.end(), entry.opener());
        if known != GONE {
            if known != size {
                let growth = size.wrapping_sub(known).cast_signed();
                credit_size(member, &payee, growth, size, OPERATION_WRITE);
            }
            return size;
        }
    }
    // Read only now: who closed it may have settled it a moment ago.
    match Kept::find(&member.key, member.generation).map(Kept::take) {
        Some(known) if known != GONE => known,
        _ => last_size(member, before),
    }
}

/// A file got its first name in `root`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enter(thread: u64, slot: u32, root: u32) -> u64 {
    let Some((mut member, _)) = of_touched(thread, slot, Some(root)) else {
        return 0;
    };
    // The path stored before the call is where it came from.
    if let Ok(Some(name)) = member.inode.name() {
        member.path = Path::Of(name);
        member.parent = 0;
    }
    events::count_fault(entered(&member));
    1
}

#[inline(always)]
fn entered(member: &Member) -> Read<()> {
    let process = account::current();
    let size = member.inode.size()?;
    account::credit(&process, member.root, &Change::enter(size));
    tell(member, &process, 0, size, OPERATION_ENTER);
    // Who else writes it outside is followed from now on; what it writes is the mover's.
    if member.inode.writers()? == 0 {
        keep_size(&member.key, member.generation, member.root, size);
    } else if !insert(member, process, size, 0) {
        hold_size(&member.key, member.generation, member.root, size);
    }
    Ok(())
}

/// A file was renamed inside `root`, or outside all roots.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn rename(thread: u64, slot: u32, root: u32) -> u64 {
    if root == NO_ROOT {
        return changed_outside(thread, slot);
    }
    told(thread, slot, root, OPERATION_RENAME, &Change::rename())
}

/// A file outside all roots was renamed, resized or unlinked by a call that is over. Where hooks see all, it has
/// been told before.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn changed_outside(thread: u64, slot: u32) -> u64 {
    if is_fentry() || !roots::is_measuring() {
        return 0;
    }
    let Some((member, item)) = of_touched(thread, slot, Some(NO_ROOT)) else {
        return 0;
    };
    outside::tell_as_it_was(&member, item.size);
    1
}

/// A file got or lost one of several names in `root`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn tell_link(thread: u64, slot: u32, root: u32) -> u64 {
    told(thread, slot, root, OPERATION_LINK, &Change::size(0))
}

#[inline(always)]
fn told(thread: u64, slot: u32, root: u32, operation: u32, change: &Change) -> u64 {
    let Some((member, item)) = of_touched(thread, slot, Some(root)) else {
        return 0;
    };
    let process = account::current();
    account::credit(&process, root, change);
    if roots::is_measuring() {
        keep_unknown(&member, item);
    }
    tell(&member, &process, item.size, item.size, operation);
    1
}

/// A file that came with a directory which is not measured yet: from here on its size is known. Of one that is known
/// already, that is what is told.
#[inline(always)]
fn keep_unknown(member: &Member, item: &mut Touched) {
    if is_fentry() {
        return;
    }
    let open = followed(member).map_or(GONE, Entry::known);
    if open != GONE {
        item.size = open;
    } else if let Some(size) = settled_size(&member.key, member.generation) {
        item.size = size;
    } else {
        hold_size(&member.key, member.generation, member.root, item.size);
    }
}

/// A file as the call under way of `thread` touched it in `slot`.
#[inline(always)]
fn of_touched(thread: u64, slot: u32, root: Option<u32>) -> Option<(Member, &'static mut Touched)> {
    let (pending, item) = pending::touched(thread, slot)?;
    let path = if pending.path_len > 0 {
        Path::Stored {
            thread,
            length: pending.path_len,
        }
    } else {
        Path::None
    };
    let root = root.unwrap_or(item.root);
    Some((
        Member {
            inode: Inode::at(item.inode),
            key: item.key,
            generation: item.generation,
            root,
            path,
            parent: item.parent,
        },
        item,
    ))
}
