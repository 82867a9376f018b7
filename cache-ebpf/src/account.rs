//! Credits: per process and root, and per root. Nothing here can be lost: what finds no place of its
//! own goes to nobody's account, which user space creates with each root.
#![expect(
    clippy::cast_possible_truncation,
    reason = "global functions take scalars only: what is cut was widened or bounded before"
)]

use core::mem::offset_of;

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{bpf_get_current_cgroup_id, bpf_get_current_uid_gid, bpf_probe_read_user_buf},
};
use cache_ebpf::{
    APPEARANCES, ARGV_BYTES, Credit, CreditKey, DEPARTURES, OPERATION_RENAME, PROCESS_IN_COMMAND,
    ProcessKey, counter,
};

use crate::{
    atomic, descendants, events,
    kernel::current,
    maps::{
        BLANK_CREDIT, CREDITS, DRAFT_PROCESS, DRAFTS, DraftProcess, FAMILY, PROCESSES, TOTALS,
        UNTOLD,
    },
};

/// Nobody: what cannot be attributed.
pub(crate) const NOBODY: ProcessKey = ProcessKey {
    start_ns: 0,
    tgid: 0,
    pad: 0,
};

/// One change of an account.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    pub growth: i64,
    pub created: u64,
    pub deleted: u64,
    pub renamed: u64,
    pub hits: u64,
    pub misses: u64,
}

impl Change {
    /// A change of size alone.
    #[inline(always)]
    pub(crate) fn size(growth: i64) -> Self {
        Self {
            growth,
            created: 0,
            deleted: 0,
            renamed: 0,
            hits: 0,
            misses: 0,
        }
    }

    /// A file that enters with `size` bytes.
    #[inline(always)]
    pub(crate) fn enter(size: u64) -> Self {
        Self {
            created: 1,
            ..Self::size(size.cast_signed())
        }
    }

    /// A look-up that found its entry.
    #[inline(always)]
    pub(crate) fn hit() -> Self {
        Self {
            hits: 1,
            ..Self::size(0)
        }
    }

    /// A file that leaves with `size` bytes.
    #[inline(always)]
    pub(crate) fn leave(size: u64) -> Self {
        Self {
            deleted: 1,
            ..Self::size(size.cast_signed().wrapping_neg())
        }
    }

    /// A file renamed inside its root.
    #[inline(always)]
    pub(crate) fn rename() -> Self {
        Self {
            renamed: 1,
            ..Self::size(0)
        }
    }
}

/// Credits `change` to `process` and to the root's total.
#[inline(always)]
pub(crate) fn credit(process: &ProcessKey, root: u32, change: &Change) {
    let Change {
        growth,
        created,
        deleted,
        renamed,
        hits,
        misses,
    } = *change;
    let who = u64::from(root) << 32 | u64::from(process.tgid);
    credit_account(
        who,
        process.start_ns,
        growth.cast_unsigned(),
        created | deleted << 16 | renamed << 32 | hits << 48 | misses << 49,
    );
}

/// A global function (exported, scalars only): the verifier checks it once, not once per caller.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn credit_account(who: u64, start_ns: u64, growth: u64, files: u64) -> u64 {
    let root = (who >> 32) as u32;
    let change = Change {
        growth: growth.cast_signed(),
        created: files & 0xffff,
        deleted: files >> 16 & 0xffff,
        renamed: files >> 32 & 0xffff,
        hits: files >> 48 & 1,
        misses: files >> 49 & 1,
    };
    if let Some(total) = TOTALS.get_ptr_mut(root) {
        apply(total, &change);
    }
    let process = ProcessKey {
        start_ns,
        tgid: who as u32,
        pad: 0,
    };
    let mut key = CreditKey {
        process,
        root,
        pad: 0,
    };
    if let Some(account) = account(&key) {
        apply(account, &change);
        return 1;
    }
    events::count(counter::FAULT_ACCOUNTS_FULL);
    // Nobody's. Two plain stores would become a call of `memset`, whose frame the longest chains of calls have no
    // room for.
    // SAFETY: fields of a local variable.
    unsafe {
        (&raw mut key.process.start_ns).write_volatile(NOBODY.start_ns);
        (&raw mut key.process.tgid).write_volatile(NOBODY.tgid);
    }
    if let Some(account) = account(&key) {
        apply(account, &change);
    }
    0
}

/// A file of `root` that was not seen to go has gone: nobody is credited, and no event tells of it.
#[inline(always)]
pub(crate) fn credit_unseen_departure(root: u32, size: u64) {
    let change = Change::leave(size);
    credit(&NOBODY, root, &change);
    if let Some(account) = UNTOLD.get_ptr_mut(root) {
        apply(account, &change);
    }
    events::count(counter::FAULT_STALE);
}

/// Notes what an event that was dropped would have told.
///
/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn untold(root: u32, growth: u64, operation: u32) -> u64 {
    let is_one_of = |operations: &[u32]| u64::from(operations.contains(&operation));
    let change = Change {
        created: is_one_of(&APPEARANCES),
        deleted: is_one_of(&DEPARTURES),
        renamed: is_one_of(&[OPERATION_RENAME]),
        ..Change::size(growth.cast_signed())
    };
    if let Some(account) = UNTOLD.get_ptr_mut(root) {
        apply(account, &change);
    }
    1
}

#[inline(always)]
fn account(key: &CreditKey) -> Option<*mut Credit> {
    if let Some(account) = CREDITS.get_ptr_mut(key) {
        return Some(account);
    }
    let blank = BLANK_CREDIT.get(0)?;
    // Somebody else may insert it first: then the look-up finds theirs. Full: it finds nothing.
    if CREDITS.insert(key, blank, u64::from(BPF_NOEXIST)).is_err() {
        return CREDITS.get_ptr_mut(key);
    }
    CREDITS.get_ptr_mut(key)
}

#[inline(always)]
fn apply(account: *mut Credit, change: &Change) {
    let freed = if change.growth < 0 {
        change.growth.unsigned_abs()
    } else {
        0
    };
    let growth = change.growth.cast_unsigned();
    add(account, offset_of!(Credit, growth), growth);
    add(account, offset_of!(Credit, freed), freed);
    add(account, offset_of!(Credit, created), change.created);
    add(account, offset_of!(Credit, deleted), change.deleted);
    add(account, offset_of!(Credit, renamed), change.renamed);
    add(account, offset_of!(Credit, changes), 1);
    if change.hits != 0 {
        add(account, offset_of!(Credit, hits), change.hits);
    }
    if change.misses != 0 {
        add(account, offset_of!(Credit, misses), change.misses);
    }
}

#[inline(always)]
fn add(account: *mut Credit, field: usize, value: u64) {
    let field = account.wrapping_byte_add(field).cast();
    // SAFETY: a field of a value just looked up.
    unsafe { atomic::add(field, value) };
}

/// The running process, its identity captured if this is its first account.
#[inline(always)]
pub(crate) fn current() -> ProcessKey {
    let key = current::process();
    if PROCESSES.get_ptr(key).is_none() {
        capture(u64::from(key.tgid), key.start_ns);
    }
    key
}

/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn capture(tgid: u64, start_ns: u64) -> u64 {
    let key = ProcessKey {
        start_ns,
        tgid: tgid as u32,
        pad: 0,
    };
    let Some(claimed) = claim() else {
        events::count(counter::FAULT_PROCESSES_FULL);
        return 0;
    };
    // SAFETY: claimed for this run.
    let draft = unsafe { &mut (*claimed).process };
    events::own_comm(&mut draft.comm);
    draft.uid = bpf_get_current_uid_gid() as u32;
    draft.ppid = current::parent_here();
    draft.flags = if FAMILY.get_ptr(key.tgid).is_some() {
        PROCESS_IN_COMMAND
    } else {
        0
    };
    // SAFETY: the helper has no precondition.
    draft.cgroup = unsafe { bpf_get_current_cgroup_id() };
    draft.ended_ns = 0;
    draft.invocation = descendants::invocation(&key);
    draft.argv_len = arguments(&mut draft.argv);
    let inserted = PROCESSES.insert(key, draft, u64::from(BPF_NOEXIST));
    // SAFETY: a field of a live map value.
    unsafe { (&raw mut (*claimed).busy).write_volatile(0) };
    if inserted.is_err() && PROCESSES.get_ptr(key).is_none() {
        events::count(counter::FAULT_PROCESSES_FULL);
    }
    1
}

/// One of this CPU's drafts of a process.
#[inline(always)]
fn claim() -> Option<*mut DraftProcess> {
    for slot in 0..DRAFTS {
        let draft = DRAFT_PROCESS.get_ptr_mut(slot)?;
        // SAFETY: a field of a live map value.
        if unsafe { atomic::exchange(&raw mut (*draft).busy, 1) } == 0 {
            return Some(draft);
        }
    }
    None
}

/// Copies the argument strings; 0 bytes where they are not to be had (swapped out, kernel thread).
#[inline(always)]
fn arguments(into: &mut [u8; ARGV_BYTES]) -> u32 {
    let (start, end) = current::arguments_here();
    let length = end.wrapping_sub(start);
    if length == 0 {
        return 0;
    }
    let length = if length >= ARGV_BYTES as u64 {
        ARGV_BYTES as u64 - 1
    } else {
        length
    } as usize
        & (ARGV_BYTES - 1);
    let Some(target) = into.get_mut(..length) else {
        return 0;
    };
    // SAFETY: the helper checks the user address itself.
    match unsafe { bpf_probe_read_user_buf(start as *const u8, target) } {
        Ok(()) => length as u32,
        Err(_) => 0,
    }
}
