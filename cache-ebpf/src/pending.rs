//! Name- and size-changing system calls, followed from entry to exit. A path says nothing in the kernel
//! side; instead the inodes whose status the call changes are noted on the way (`touch`), and at the exit
//! of a call that succeeded their state before and after is compared.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::bpf_get_current_pid_tgid,
};
use cache_ebpf::{
    Crossing, Links, NO_ROOT, OPERATION_LEAVE, OPERATION_MOVE_DIRECTORY, OPERATION_REPLACE,
    OPERATION_UNLINK, PATH_BYTES, PENDING_LINK, PENDING_RENAME, PENDING_RESIZE, PENDING_UNLINK,
    Pending, ProcessKey, TOUCHED_MAX, Touched, counter,
};

use crate::{
    account,
    detail::{self, Fact, Path},
    kernel::{self, Dentry, Fault, File, Inode, Read},
    ledger,
    maps::{BLANK_PENDING, CROSSINGS, DRAFT, LINKS, PENDING, PENDING_PATHS},
    names, roots,
};

/// The running thread enters `call`.
#[inline(always)]
pub(crate) fn begin(call: u32) -> Read<()> {
    let Some(blank) = BLANK_PENDING.get(0) else {
        return Ok(());
    };
    let thread = bpf_get_current_pid_tgid();
    if PENDING.insert(thread, blank, u64::from(BPF_ANY)).is_err() {
        return Err(Fault(counter::FAULT_PENDING_FULL));
    }
    if let Some(pending) = PENDING.get_ptr_mut(thread) {
        // SAFETY: a value just looked up, this thread's own.
        unsafe { (*pending).call = call };
    }
    Ok(())
}

/// The running thread enters a call that sets the size of the file at a descriptor.
#[inline(always)]
pub(crate) fn begin_resize(file: File) -> Read<()> {
    let inode = file.inode()?;
    if !file.mode()?.writes()
        || !kernel::is_regular(inode.mode()?)
        || !roots::is_watched(inode.device()?)
    {
        return Ok(());
    }
    if roots::holder_of_name(file.dentry()?)? == NO_ROOT {
        return Ok(());
    }
    begin(PENDING_RESIZE)?;
    touch(inode)
}

/// The kernel changes the status of an inode on a watched device.
#[inline(always)]
pub(crate) fn touch(inode: Inode) -> Read<()> {
    let thread = bpf_get_current_pid_tgid();
    let Some(pending) = PENDING.get_ptr_mut(thread) else {
        return Ok(());
    };
    // SAFETY: a value just looked up, this thread's own until its call ends.
    let pending = unsafe { &mut *pending };
    for slot in 0..TOUCHED_MAX {
        if slot >= pending.count as usize {
            note(inode.0, thread, slot as u32);
            return Ok(());
        }
        let Some(item) = pending.touched.get(slot) else {
            break;
        };
        if item.inode == inode.0 {
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
    // SAFETY: a value just looked up, this thread's own until its call ends; the two borrows touch different fields.
    let (pending, item) = unsafe {
        (
            &mut *pending,
            (&raw mut (*pending).touched).cast::<Touched>().add(slot),
        )
    };
    // SAFETY: `slot` is masked below the length.
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
    match note_state(Inode(inode), item) {
        Ok(()) => pending.count = slot + 1,
        Err(fault) => detail::fault(fault),
    }
    if detail::wants_paths() && pending.path_len == 0 && kernel::is_regular(item.mode) {
        pending.path_len = store_path(item.dentry, thread);
    }
    1
}

#[inline(always)]
fn note_state(inode: Inode, item: &mut Touched) -> Read<()> {
    item.inode = inode.0;
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
        item.dentry = dentry.0;
        item.root = roots::holder_of_name(dentry)?;
        if directory {
            item.holds = roots::holder_of_directory(dentry);
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
    let Some(draft) = DRAFT.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: this CPU's slot; tracing programs do not preempt each other on a CPU.
    let path = unsafe { &mut (*draft).path };
    let composed = names::compose(Dentry(dentry), path.as_mut_ptr());
    // SAFETY: the first PATH_BYTES bytes of a longer array.
    let stored = unsafe { &*path.as_ptr().cast::<[u8; PATH_BYTES]>() };
    if PENDING_PATHS
        .insert(thread, stored, u64::from(BPF_ANY))
        .is_err()
    {
        return 0;
    }
    composed.length
}

/// The running thread's call is over.
#[inline(always)]
pub(crate) fn end(result: i64) -> Read<()> {
    let thread = bpf_get_current_pid_tgid();
    let Some(pending) = PENDING.get_ptr_mut(thread) else {
        return Ok(());
    };
    // SAFETY: a value just looked up, this thread's own until it is removed below.
    let pending = unsafe { &*pending };
    if result == 0 {
        let holds = common_holder(pending);
        for slot in 0..TOUCHED_MAX as u32 {
            if slot >= pending.count {
                break;
            }
            commit(thread, slot, holds);
        }
    }
    // ENOENT is the only failure, and what was wanted.
    PENDING.remove(thread).unwrap_or_default();
    if detail::wants_paths() {
        PENDING_PATHS.remove(thread).unwrap_or_default();
    }
    Ok(())
}

/// No root in common.
const MIXED: u32 = NO_ROOT - 1;
/// No directory seen. (An `Option` would leave its payload uninitialised, which the verifier refuses.)
const UNSET: u32 = NO_ROOT - 2;

/// The root that holds the files of all directories the call changed; [`MIXED`] where they differ.
#[inline(always)]
fn common_holder(pending: &Pending) -> u32 {
    let mut common = UNSET;
    for slot in 0..TOUCHED_MAX {
        let Some(item) = pending.touched.get(slot) else {
            break;
        };
        if slot >= pending.count as usize {
            break;
        }
        if !kernel::is_directory(item.mode) || item.holds == common {
            continue;
        }
        if common != UNSET {
            return MIXED;
        }
        common = item.holds;
    }
    if common == UNSET { MIXED } else { common }
}

/// Compares one inode before and after the call.
///
/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn commit(thread: u64, slot: u32, holds: u32) -> u64 {
    let Some((pending, item)) = touched(thread, slot) else {
        return 0;
    };
    let step = if kernel::is_directory(item.mode) {
        if pending.call == PENDING_RENAME {
            directory_renamed(item).map(|()| Step::Nothing)
        } else {
            Ok(Step::Nothing)
        }
    } else if kernel::is_regular(item.mode) {
        file_changed(pending.call, item, holds)
    } else {
        Ok(Step::Nothing)
    };
    match step {
        Ok(Step::Nothing) => {}
        Ok(Step::Resize) => drop(ledger::resize(thread, slot)),
        Ok(Step::Rename(root)) => drop(ledger::rename(thread, slot, root)),
        Ok(Step::Link(root)) => drop(ledger::tell_link(thread, slot, root)),
        Ok(Step::Move {
            from,
            to,
            operation,
        }) => {
            if from != NO_ROOT {
                ledger::leave(thread, slot, from, operation);
            }
            if to != NO_ROOT {
                ledger::enter(thread, slot, to);
            }
        }
        Err(fault) => detail::fault(fault),
    }
    1
}

/// What a call did to a file, as the ledger sees it.
#[derive(Clone, Copy)]
enum Step {
    Nothing,
    Resize,
    /// Renamed inside this root.
    Rename(u32),
    /// Got or lost one of several names in this root.
    Link(u32),
    /// Its last name in one root went, its first in another came; either may be none.
    Move {
        from: u32,
        to: u32,
        operation: u32,
    },
}

impl Step {
    #[inline(always)]
    fn leave(from: u32, operation: u32) -> Self {
        Self::Move {
            from,
            to: NO_ROOT,
            operation,
        }
    }

    #[inline(always)]
    fn enter(to: u32) -> Self {
        Self::Move {
            from: NO_ROOT,
            to,
            operation: OPERATION_LEAVE,
        }
    }
}

#[inline(always)]
fn file_changed(call: u32, item: &Touched, holds: u32) -> Read<Step> {
    if call == PENDING_RESIZE {
        return Ok(Step::Resize);
    }
    let holds = if holds == MIXED { None } else { Some(holds) };
    let inode = Inode(item.inode);
    // Freed memory may already hold another file: then the last name is gone for sure.
    let nlink = if inode.is(&item.key, item.generation) {
        inode.nlink()?
    } else {
        0
    };
    match call {
        PENDING_UNLINK => name_lost(item, holds, nlink, OPERATION_UNLINK),
        PENDING_LINK => name_gained(item, holds, nlink),
        _ => renamed(item, holds, nlink),
    }
}

/// Unlinked, or replaced by a rename over it.
#[inline(always)]
fn name_lost(item: &Touched, holds: Option<u32>, nlink: u32, operation: u32) -> Read<Step> {
    let root = holds.unwrap_or(item.root);
    if root == NO_ROOT {
        return Ok(Step::Nothing);
    }
    if nlink == 0 {
        LINKS.remove(item.key).unwrap_or_default();
        return Ok(Step::leave(root, operation));
    }
    let Some(links) = LINKS.get_ptr_mut(item.key) else {
        return Err(Fault(counter::FAULT_LINKS));
    };
    // SAFETY: a value just looked up; calls on one inode are serialised by its lock.
    let inside = unsafe {
        (*links).inside = (*links).inside.wrapping_sub(1);
        (*links).nlink = nlink;
        (*links).inside
    };
    if inside == 0 {
        LINKS.remove(item.key).unwrap_or_default();
        return Ok(Step::leave(root, operation));
    }
    Ok(Step::Link(root))
}

/// Got a name by `link`, which for an `O_TMPFILE` is its first.
#[inline(always)]
fn name_gained(item: &Touched, holds: Option<u32>, nlink: u32) -> Read<Step> {
    let to = holds.unwrap_or(NO_ROOT);
    if nlink <= 1 {
        return Ok(Step::enter(to));
    }
    if let Some(links) = LINKS.get_ptr_mut(item.key) {
        // SAFETY: as in `name_lost`.
        let root = unsafe {
            (*links).nlink = nlink;
            (*links).root
        };
        if to == root {
            // SAFETY: as in `name_lost`.
            unsafe { (*links).inside = (*links).inside.wrapping_add(1) };
            return Ok(Step::Link(root));
        }
        return if to == NO_ROOT {
            Ok(Step::Nothing)
        } else {
            Err(Fault(counter::FAULT_LINKS))
        };
    }
    let from = item.root;
    if to == NO_ROOT && from == NO_ROOT {
        return Ok(Step::Nothing);
    }
    if nlink > 2 || (to != NO_ROOT && from != NO_ROOT && to != from) {
        return Err(Fault(counter::FAULT_LINKS));
    }
    let (root, inside) = if from == NO_ROOT {
        (to, 1)
    } else {
        (from, if to == from { 2 } else { 1 })
    };
    if LINKS
        .insert(
            item.key,
            Links {
                inside,
                nlink,
                root,
                pad: 0,
            },
            u64::from(BPF_ANY),
        )
        .is_err()
    {
        return Err(Fault(counter::FAULT_LINKS));
    }
    Ok(if from == NO_ROOT {
        Step::enter(to)
    } else {
        Step::Link(root)
    })
}

/// A rename moved it, or replaced it.
#[inline(always)]
fn renamed(item: &Touched, holds: Option<u32>, nlink: u32) -> Read<Step> {
    if nlink == 0 {
        return name_lost(item, Some(item.root), 0, OPERATION_REPLACE);
    }
    if let Some(links) = LINKS.get_ptr(item.key) {
        // SAFETY: a value just looked up; read once.
        let links = unsafe { links.read() };
        return match holds {
            Some(_) if nlink < links.nlink => name_lost(item, holds, nlink, OPERATION_REPLACE),
            Some(root) => Ok(Step::Rename(root)),
            None => Err(Fault(counter::FAULT_LINKS)),
        };
    }
    if nlink > 1 {
        return if holds == Some(NO_ROOT) {
            Ok(Step::Nothing)
        } else {
            Err(Fault(counter::FAULT_LINKS))
        };
    }
    let (from, to) = match Inode(item.inode).name()? {
        Some(dentry) => (item.root, roots::holder_of_name(dentry)?),
        None => (item.root, NO_ROOT),
    };
    Ok(if from == to {
        Step::Rename(from)
    } else {
        Step::Move {
            from,
            to,
            operation: OPERATION_LEAVE,
        }
    })
}

/// A directory may have crossed a border with all it holds: user space measures it.
#[inline(always)]
fn directory_renamed(item: &Touched) -> Read<()> {
    let inode = Inode(item.inode);
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
    let process = account::current()?;
    for root in [item.root, to] {
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
                operation: OPERATION_MOVE_DIRECTORY,
                root,
                generation,
            };
            detail::emit(&fact, &Path::Of(dentry));
        }
    }
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
    unsafe {
        (*crossing).count += 1;
        if (*crossing).mover != mover {
            (*crossing).ambiguous = 1;
        }
    }
    Ok(())
}
