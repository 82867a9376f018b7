//! Processes: who descends from the traced command, and files left open by those who end or exec.
#![expect(
    clippy::needless_pass_by_value,
    reason = "aya's macros hand a context by value"
)]

use aya_ebpf::{
    bindings::BPF_ANY, helpers::bpf_ktime_get_boot_ns, macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use cache_ebpf::counter;

use crate::{
    descendants, events,
    kernel::{Fault, Read, Task, current},
    ledger,
    maps::{FAMILY, PROCESSES},
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
    events::count_fault(exited(task as u64));
    0
}

#[inline(always)]
fn exited(address: u64) -> Read<()> {
    let task: Task = Task::at(address);
    if task.live_threads()? != 0 {
        return Ok(());
    }
    let key = task.process()?;
    descendants::exited(address, u64::from(key.tgid), key.start_ns);
    FAMILY.remove(key.tgid).unwrap_or_default();
    if let Some(process) = PROCESSES.get_ptr_mut(key) {
        // SAFETY: the helper has no precondition.
        let now = unsafe { bpf_ktime_get_boot_ns() };
        // SAFETY: a value just looked up; only the exit writes this field.
        unsafe { (*process).ended_ns = now };
        if !ledger::is_fentry() {
            ledger::settle_open(&key);
        }
    }
    Ok(())
}

/// Settles what the running process has open for write, if it ever had anything.
#[inline(always)]
pub(crate) fn settle_own() {
    let key = current::process();
    if PROCESSES.get_ptr(key).is_some() {
        ledger::settle_open(&key);
    }
}
