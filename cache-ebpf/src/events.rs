//! Detail for readers: events in the ring, and the counters that say what was lost. No figure of the
//! ledger depends on anything here.
#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths are at most PATH_BYTES"
)]

use aya_ebpf::{
    Global,
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_get_current_comm, bpf_ringbuf_output},
    },
};
use cache_ebpf::{
    EVENT_IN_COMMAND, EVENT_PATH_CUT, Event, InodeKey, OPERATION_DIRECTORY_ENTER,
    OPERATION_DIRECTORY_LEAVE, OPERATION_DIRECTORY_MOVE, OPERATION_DIRECTORY_PLACE, PATH_BYTES,
    ProcessKey, counter,
};

use crate::{
    account, atomic,
    kernel::{Access, Dentry, Fault, Inode, Plain, Read, current},
    maps::{ASLEEP, COUNTERS, DRAFT, DRAFTS, Draft, EVENTS, FAMILY, PENDING_PATHS},
    path::{self, Composed},
};

#[unsafe(no_mangle)]
static WITH_PATHS: Global<u64> = Global::new(0);

/// Raises a counter.
#[inline(always)]
pub(crate) fn count(counter: u32) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter) {
        // SAFETY: this CPU's slot of an array; another hook may preempt this one.
        unsafe { atomic::add(slot, 1) };
    }
}

/// Counts a fault.
#[inline(always)]
pub(crate) fn fault(fault: Fault) {
    count(fault.0);
}

/// Counts the fault of a hook's body, if it had one.
#[inline(always)]
pub(crate) fn count_fault(result: Read<()>) {
    if let Err(error) = result {
        fault(error);
    }
}

/// True where events carry paths.
#[inline(always)]
pub(crate) fn wants_paths() -> bool {
    WITH_PATHS.load() == 1
}

/// What an event tells.
#[derive(Clone, Copy)]
pub(crate) struct Fact {
    pub key: InodeKey,
    pub process: ProcessKey,
    pub before: u64,
    pub after: u64,
    pub operation: u32,
    pub root: u32,
    pub generation: u32,
    /// Inode number of the file's directory.
    pub parent: u64,
}

/// Where an event's path comes from.
#[derive(Clone, Copy)]
pub(crate) enum Path<A: Access = Plain> {
    /// The names of this dentry.
    Of(Dentry<A>),
    /// Stored when the call under way first touched the file.
    Stored {
        /// The call (`pending::of_thread`).
        thread: u64,
        /// Bytes.
        length: u32,
    },
    /// Nowhere.
    None,
}

impl Path {
    /// Any name of the inode, where paths are wanted.
    #[inline(always)]
    pub(crate) fn any(inode: Inode) -> Self {
        match inode.name() {
            Ok(Some(dentry)) if wants_paths() => Self::Of(dentry),
            _ => Self::None,
        }
    }
}

/// User space finds a directory that was moved by its path.
#[inline(always)]
fn is_directory_move(operation: u32) -> bool {
    operation == OPERATION_DIRECTORY_ENTER
        || operation == OPERATION_DIRECTORY_LEAVE
        || operation == OPERATION_DIRECTORY_MOVE
        || operation == OPERATION_DIRECTORY_PLACE
}

/// Puts an event into the ring: one hit, and either one delivery or one drop.
#[inline(always)]
pub(crate) fn emit<A: Access>(fact: &Fact, path: &Path<A>) {
    let slot = claim();
    if let Some(draft) = DRAFT.get_ptr_mut(slot) {
        // SAFETY: claimed for this run.
        let event = unsafe { &mut (*draft).event };
        // Field by field: a whole event would not fit the stack beside the callers' frames.
        event.key = fact.key;
        event.process = fact.process;
        event.before = fact.before;
        event.after = fact.after;
        event.operation = fact.operation;
        event.root = fact.root;
        event.generation = fact.generation;
        event.parent = fact.parent;
    } else {
        lose(
            fact.root,
            fact.after.wrapping_sub(fact.before),
            fact.operation,
        );
        return;
    }
    match *path {
        Path::Of(dentry) if wants_paths() || is_directory_move(fact.operation) => {
            match dentry.plain() {
                Ok(dentry) => send_draft(slot, PATH_OF, dentry.address(), 0),
                Err(_) => send_draft(slot, PATH_NONE, 0, 0),
            }
        }
        Path::Stored { thread, length } => send_draft(slot, PATH_STORED, thread, u64::from(length)),
        Path::Of(_) | Path::None => send_draft(slot, PATH_NONE, 0, 0),
    };
}

const PATH_NONE: u64 = 0;
const PATH_OF: u64 = 1;
const PATH_STORED: u64 = 2;

/// Takes one of this CPU's drafts; [`DRAFTS`] if there is none. Who takes one gives it back ([`give_back`]).
#[inline(always)]
pub(crate) fn claim() -> u32 {
    for slot in 0..DRAFTS {
        if let Some(draft) = DRAFT.get_ptr_mut(slot) {
            // SAFETY: a field of a live map value.
            if unsafe { atomic::exchange(&raw mut (*draft).busy, 1) } == 0 {
                return slot;
            }
        }
    }
    DRAFTS
}

/// Ends the use of a draft.
#[inline(always)]
pub(crate) fn give_back(draft: *mut Draft) {
    // SAFETY: a field of a live map value.
    unsafe { (&raw mut (*draft).busy).write_volatile(0) };
}

/// An event that nobody will see.
#[inline(always)]
fn lose(root: u32, growth: u64, operation: u32) {
    count(counter::HITS);
    count(counter::DROPPED_RING_FULL);
    account::untold(root, growth, operation);
}

/// Completes a draft and sends it.
///
/// A global function (exported, scalars only): the verifier checks it once, not once per caller.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn send_draft(slot: u32, kind: u64, value: u64, length: u64) -> u64 {
    let Some(claimed) = DRAFT.get_ptr_mut(slot) else {
        return 0;
    };
    // SAFETY: claimed for this run.
    let draft = unsafe { &mut *claimed };
    let composed = if wants_paths() || is_directory_move(draft.event.operation) {
        write_path(kind, value, length, slot, draft)
    } else {
        Composed {
            length: 0,
            cut: false,
        }
    };
    let in_command = FAMILY.get_ptr(draft.event.process.tgid).is_some();
    // SAFETY: the helper has no precondition.
    draft.event.time_ns = unsafe { bpf_ktime_get_ns() };
    draft.event.path_len = composed.length;
    own_comm(&mut draft.event.comm);
    draft.event.flags = if composed.cut { EVENT_PATH_CUT } else { 0 }
        | if in_command { EVENT_IN_COMMAND } else { 0 };
    draft.event.actor = current::tgid();
    send(draft);
    give_back(claimed);
    1
}

/// Command name of the running task, written where it is wanted: the helper of aya goes by the stack.
#[inline(always)]
pub(crate) fn own_comm(into: &mut [u8; 16]) {
    // SAFETY: 16 bytes, as many as are given; the helper fills them up with NUL.
    unsafe { bpf_get_current_comm(into.as_mut_ptr().cast(), 16) };
}

#[inline(always)]
fn send(draft: &Draft) {
    // SAFETY: a field of a live map value. Read back, so that the mask survives: LLVM knows the bound by
    // other means than the verifier does and would drop it.
    let path_length = unsafe { (&raw const draft.event.path_len).read_volatile() };
    let length = size_of::<Event>() as u64 + (u64::from(path_length) & (PATH_BYTES as u64 * 2 - 1));
    let source = core::ptr::from_ref(draft).cast_mut().cast();
    // SAFETY: a draft is an event followed by 1024 bytes of path; `length` is at most 104 + 1023.
    let sent = unsafe { bpf_ringbuf_output(ring(), source, length, u64::from(wakeup())) };
    let event = &draft.event;
    if sent == 0 {
        count(counter::HITS);
        count(counter::DELIVERED);
    } else {
        lose(
            event.root,
            event.after.wrapping_sub(event.before),
            event.operation,
        );
    }
}

/// The ring as the helpers want it: a map's static is what the loader turns into the map.
#[inline(always)]
fn ring() -> *mut core::ffi::c_void {
    core::ptr::from_ref(&EVENTS).cast_mut().cast()
}

/// Wakes user space only when it sleeps: awake, it looks at the ring by itself, and a wake-up costs ten times
/// the event.
#[inline(always)]
fn wakeup() -> u32 {
    let Some(asleep) = ASLEEP.get_ptr_mut(0) else {
        return BPF_RB_NO_WAKEUP;
    };
    // SAFETY: an array slot, always live.
    if unsafe { asleep.read_volatile() } != 0 && unsafe { atomic::exchange(asleep, 0) } != 0 {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    }
}

#[expect(
    clippy::cast_ptr_alignment,
    reason = "by words: copied byte by byte it would take a loop the verifier walks"
)]
#[inline(always)]
fn write_path(kind: u64, value: u64, length: u64, slot: u32, draft: &mut Draft) -> Composed {
    if kind == PATH_OF {
        return path::compose(Dentry::at(value), slot);
    }
    if kind == PATH_NONE {
        return Composed {
            length: 0,
            cut: true,
        };
    }
    let Some(stored) = PENDING_PATHS.get_ptr(value) else {
        return Composed {
            length: 0,
            cut: true,
        };
    };
    let target = draft.path.as_mut_ptr().cast::<u64>();
    // SAFETY: a value just looked up, of PATH_BYTES bytes; the draft's path is larger, and both are aligned
    // to 8 bytes: map values are, and the path begins after an event.
    unsafe { core::ptr::copy_nonoverlapping(stored.cast::<u64>(), target, PATH_BYTES / 8) };
    Composed {
        length: if length > PATH_BYTES as u64 {
            PATH_BYTES as u32
        } else {
            length as u32
        },
        cut: false,
    }
}
