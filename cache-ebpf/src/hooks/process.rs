//! Processes: who descends from the traced command, and files left open by those who end or exec.
#![expect(
    clippy::needless_pass_by_value,
    reason = "aya's macros hand a context by value"
)]

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::{bpf_for_each_map_elem, bpf_ktime_get_boot_ns},
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use cache_ebpf::{OpenFile, ProcessKey, counter};

use crate::{
    descendants, events,
    kernel::{Fault, Read, Task, current},
    ledger::{self, Entry},
    maps::{FAMILY, OPEN, PROCESSES},
};

/// A child of a member of the family is a member.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
fn process_fork(ctx: RawTracePointContext) -> i32 {
    let parent: *const u8 = ctx.arg(0);
    let child: *const u8 = ctx.arg(1);
    events::count_fault(forked(Task::at(parent as u64), Task::at(child as u64)));
    0
}

#[inline(always)]
fn forked(parent: Task, child: Task) -> Read<()> {
    let tgid = child.tgid()?;
    if tgid != child.pid()? {
        return Ok(());
    }
    let mut known = Ok(());
    if FAMILY.get_ptr(parent.tgid()?).is_some() {
        known = FAMILY
            .insert(tgid, 1, u64::from(BPF_ANY))
            .map_err(|_| Fault(counter::FAULT_FAMILY_FULL));
    }
    descendants::forked(parent, child)?;
    known
}

/// Descriptors with close-on-exec are gone by now.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn process_exec(_ctx: RawTracePointContext) -> i32 {
    if !ledger::is_fentry() {
        settle_own();
    }
    descendants::executed();
    0
}

/// The last thread exits: what the process has open is closed next, without a system call.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn process_exit(ctx: RawTracePointContext) -> i32 {
    let task: *const u8 = ctx.arg(0);
    events::count_fault(exited(Task::at(task as u64)));
    0
}

#[inline(always)]
fn exited(task: Task) -> Read<()> {
    if task.live_threads()? != 0 {
        return Ok(());
    }
    let key = task.process()?;
    descendants::exited(task, &key)?;
    FAMILY.remove(key.tgid).unwrap_or_default();
    if let Some(process) = PROCESSES.get_ptr_mut(key) {
        // SAFETY: the helper has no precondition.
        let now = unsafe { bpf_ktime_get_boot_ns() };
        // SAFETY: a value just looked up; only the exit writes this field.
        unsafe { (*process).ended_ns = now };
        if !ledger::is_fentry() {
            settle(&key);
        }
    }
    Ok(())
}

/// Settles what the running process has open for write, if it ever had anything.
#[inline(always)]
pub(crate) fn settle_own() {
    let key = current::process();
    if PROCESSES.get_ptr(key).is_some() {
        settle(&key);
    }
}

/// Settles every followed file of `owner`, or all with owner 0; forgets those nobody writes any more.
#[inline(always)]
pub(crate) fn settle(owner: &ProcessKey) {
    let mut owner = *owner;
    let map = core::ptr::from_ref(&OPEN).cast_mut().cast();
    let callback = settle_one as *const () as *mut core::ffi::c_void;
    // SAFETY: the callback has the signature the helper asks for, the context outlives the call.
    unsafe { bpf_for_each_map_elem(map, callback, (&raw mut owner).cast(), 0) };
}

/// `bpf_for_each_map_elem`'s callback; 0 = go on.
extern "C" fn settle_one(
    _map: u64,
    inode: *const u64,
    entry: *mut OpenFile,
    owner: *const ProcessKey,
) -> u64 {
    // SAFETY: the helper hands the key of an element.
    let inode = unsafe { *inode };
    // SAFETY: the helper hands the element's value, of `OPEN`.
    let entry = unsafe { Entry::at(entry) };
    // SAFETY: the helper hands back our context.
    let owner = unsafe { *owner };
    if owner.tgid != 0 && owner != entry.opener() {
        return 0;
    }
    match ledger::sweep(inode, entry) {
        Ok(true) => OPEN.remove(inode).unwrap_or_default(),
        Ok(false) => {}
        Err(fault) => events::fault(fault),
    }
    0
}
