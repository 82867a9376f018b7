//! Who descends from a tool: begun by the exec of a tool's name, inherited by fork, ended by exit. Each step
//! is told to user space; a full ring costs the telling, never the descent.
#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths are masked to what an event holds, user ids are 32 bits"
)]

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_uid_gid,
        bpf_ktime_get_boot_ns,
        generated::{bpf_probe_read_user, bpf_ringbuf_output, bpf_ringbuf_query},
    },
};
use cache_ebpf::{
    ProcessKey,
    ancestry::{
        EVENT_ARGV_BYTES, EVENT_ENV_BYTES, LINEAGE_ARGV_CUT, LINEAGE_ENV_CUT, LINEAGE_IN_COMMAND,
        PROCESS_EXEC, PROCESS_EXIT, PROCESS_FORK, ProcessEvent, SEED_UNIT_NS, TOOL_ENVIRONMENT,
        TOOL_INVOCATION, TRACKED_HEAD, TRACKED_SEEDED, TRACKED_TOLD, Tracked, counter,
    },
};

use crate::{
    account::NOBODY,
    events,
    kernel::{Access, Read, Task, current},
    maps::{DRAFT_LINEAGE, FAMILY, LINEAGE_COUNTS, PROCESS_EVENTS, PROCESSES, TOOLS, TRACKED},
};

/// Unread bytes in the ring beyond which user space is woken although it did not ask.
const CROWDED_BYTES: u64 = 256 * 1024;
/// `BPF_RB_AVAIL_DATA` of `bpf_ringbuf_query`.
const AVAILABLE_DATA: u64 = 0;

/// Innermost tool that `process` descends from, or nobody.
#[inline(always)]
pub(crate) fn invocation(process: &ProcessKey) -> ProcessKey {
    tracked(process).map_or(NOBODY, |tracked| tracked.invocation)
}

/// What is known of a process; an earlier one with its number is none of its.
#[inline(always)]
fn tracked(process: &ProcessKey) -> Option<Tracked> {
    let tracked = TRACKED.get_ptr(process.tgid)?;
    // SAFETY: a value just looked up; read once.
    let tracked = unsafe { tracked.read() };
    let is_same = if tracked.flags & TRACKED_SEEDED == 0 {
        tracked.start_ns == process.start_ns
    } else {
        tracked.start_ns / SEED_UNIT_NS == process.start_ns / SEED_UNIT_NS
    };
    is_same.then_some(tracked)
}

/// A process has been forked off: it inherits.
#[inline(always)]
pub(crate) fn forked<A: Access>(parent: Task<A>, child: Task<A>) -> Read<()> {
    if TRACKED.get_ptr(parent.tgid()?).is_none() {
        return Ok(());
    }
    let Some(inherited) = tracked(&parent.process()?) else {
        return Ok(());
    };
    let process = child.process()?;
    let is_head = inherited.flags & TRACKED_HEAD != 0;
    let own = Tracked {
        start_ns: process.start_ns,
        invocation: if is_head {
            process
        } else {
            inherited.invocation
        },
        parent: if is_head { NOBODY } else { inherited.parent },
        flags: 0,
        pad: 0,
    };
    track(process.tgid, &own);
    if let Some(event) = draft() {
        begin(event, &process, &own, PROCESS_FORK);
        send(false);
    }
    Ok(())
}

/// The running process executes another program.
///
/// A global function (exported, scalars only): its stack is its own, beside that of who settles files.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn executed() -> u64 {
    execute();
    1
}

#[inline(always)]
fn execute() {
    let comm = bpf_get_current_comm().unwrap_or_default();
    // SAFETY: a value just looked up, if any; read once.
    let tool = TOOLS.get_ptr(comm).map(|tool| unsafe { tool.read() });
    let tool = tool.unwrap_or_else(|| of_version(&comm));
    let process = current::process();
    let mut own = match tracked(&process) {
        Some(tracked) => tracked,
        None if tool & TOOL_INVOCATION == 0 => return,
        None => Tracked {
            start_ns: process.start_ns,
            invocation: NOBODY,
            parent: NOBODY,
            flags: 0,
            pad: 0,
        },
    };
    let is_itself = own.invocation == process;
    if tool & TOOL_INVOCATION != 0 && !is_itself {
        own.parent = own.invocation;
        own.invocation = process;
        track(process.tgid, &own);
        if let Some(known) = PROCESSES.get_ptr_mut(process) {
            // SAFETY: a value just looked up; only this process' own exec writes this field.
            unsafe { (*known).invocation = process };
        }
    }
    let is_leader = own.invocation == process;
    let wants_environment = is_leader || tool & TOOL_ENVIRONMENT != 0;
    let is_urgent = is_leader || wants_environment && is_first_told(&own.invocation);
    tell_exec(&process, &own, wants_environment, is_urgent);
}

/// What the name of a go command of one version means, as in `go1.24.11`: such names cannot be listed.
#[inline(always)]
fn of_version(comm: &[u8; 16]) -> u32 {
    if comm.starts_with(b"go1.") {
        TOOL_INVOCATION | TOOL_ENVIRONMENT
    } else {
        0
    }
}

/// True once for each invocation: its first tool names the caches, which are to be found while somebody sees them.
#[inline(always)]
fn is_first_told(invocation: &ProcessKey) -> bool {
    let Some(leader) = TRACKED.get_ptr_mut(invocation.tgid) else {
        return false;
    };
    // SAFETY: a value just looked up. Two tools at once may both be the first: that wakes user space twice.
    let flags = unsafe { &mut (*leader).flags };
    let is_first = *flags & TRACKED_TOLD == 0;
    *flags |= TRACKED_TOLD;
    is_first
}

#[inline(always)]
fn tell_exec(process: &ProcessKey, own: &Tracked, wants_environment: bool, is_urgent: bool) {
    let arguments = current::arguments();
    let environment = if wants_environment {
        current::environment()
    } else {
        (0, 0)
    };
    if let Some(event) = draft() {
        begin(event, process, own, PROCESS_EXEC);
        copy_strings(arguments.0, arguments.1, environment.0, environment.1);
        send(is_urgent);
    }
}

/// The last thread of a process exits.
///
/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn exited(task: u64, tgid: u64, start_ns: u64) -> u64 {
    let process = ProcessKey {
        start_ns,
        tgid: tgid as u32,
        pad: 0,
    };
    events::count_fault(ended(Task::at(task), &process));
    1
}

#[inline(always)]
fn ended(task: Task, process: &ProcessKey) -> Read<()> {
    let Some(own) = tracked(process) else {
        return Ok(());
    };
    // ENOENT is the only failure, and what was wanted.
    TRACKED.remove(process.tgid).unwrap_or_default();
    let (status, cpu_ns) = (task.exit_status()?, task.cpu_ns()?);
    if let Some(event) = draft() {
        begin(event, process, &own, PROCESS_EXIT);
        event.status = status;
        event.cpu_ns = cpu_ns;
        // The end of an invocation is to be told soon.
        send(own.invocation == *process);
    }
    Ok(())
}

#[inline(always)]
fn track(tgid: u32, own: &Tracked) {
    if TRACKED.insert(tgid, own, u64::from(BPF_ANY)).is_err() {
        count(counter::UNTRACKED);
    }
}

/// True for a process with this number that descends from a tool.
#[inline(always)]
pub(crate) fn is_followed(tgid: u32) -> bool {
    TRACKED.get_ptr(tgid).is_some()
}

#[inline(always)]
pub(crate) fn count(counter: u32) {
    if let Some(slot) = LINEAGE_COUNTS.get_ptr_mut(counter) {
        // SAFETY: this CPU's slot of an array.
        unsafe { *slot += 1 };
    }
}

/// This CPU's event.
#[inline(always)]
fn draft() -> Option<&'static mut ProcessEvent> {
    let draft = DRAFT_LINEAGE.get_ptr_mut(0)?;
    // SAFETY: this CPU's slot; tracing programs do not preempt each other on a CPU.
    Some(unsafe { &mut (*draft).event })
}

/// Fills in all but what an exec or an exit tells besides.
#[inline(always)]
fn begin(event: &mut ProcessEvent, process: &ProcessKey, own: &Tracked, kind: u32) {
    let user = bpf_get_current_uid_gid();
    // SAFETY: the helper has no precondition.
    event.time_ns = unsafe { bpf_ktime_get_boot_ns() };
    event.process = *process;
    event.invocation = own.invocation;
    event.parent = own.parent;
    // SAFETY: the helper has no precondition.
    event.cgroup = unsafe { bpf_get_current_cgroup_id() };
    event.cpu_ns = 0;
    event.kind = kind;
    event.status = 0;
    event.uid = user as u32;
    event.gid = (user >> 32) as u32;
    // A fork is told by the parent itself.
    event.ppid = if kind == PROCESS_FORK {
        current::tgid()
    } else {
        current::parent_tgid()
    };
    event.flags = if FAMILY.get_ptr(process.tgid).is_some() {
        LINEAGE_IN_COMMAND
    } else {
        0
    };
    event.argv_len = 0;
    event.env_len = 0;
    event.comm = bpf_get_current_comm().unwrap_or_default();
    event.reserved = 0;
}

/// Copies arguments from their beginning and the environment from its end into this CPU's draft. A global function
/// (exported, scalars only): the verifier checks it once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn copy_strings(argv_start: u64, argv_end: u64, env_start: u64, env_end: u64) -> u64 {
    let Some(draft) = DRAFT_LINEAGE.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: this CPU's slot.
    let draft = unsafe { &mut *draft };
    let length = argv_end.wrapping_sub(argv_start);
    let limit = EVENT_ARGV_BYTES as u64 - 1;
    if length > limit {
        draft.event.flags |= LINEAGE_ARGV_CUT;
    }
    let taken = if length > limit { limit } else { length } & limit;
    let target = (&raw mut draft.text).cast::<u8>();
    // SAFETY: at most 2047 bytes, which the text holds; the helper checks the user address itself.
    let failed =
        unsafe { bpf_probe_read_user(target.cast(), taken as u32, argv_start as *const _) };
    let argv_len = if failed == 0 { taken } else { 0 };
    draft.event.argv_len = argv_len as u32;

    let length = env_end.wrapping_sub(env_start);
    let limit = EVENT_ENV_BYTES as u64 - 1;
    if length > limit {
        draft.event.flags |= LINEAGE_ENV_CUT;
    }
    let taken = if length > limit { limit } else { length } & limit;
    // Read back, so that the mask survives: LLVM knows the bound by other means than the verifier does.
    // SAFETY: a field of a live map value.
    let at = unsafe { (&raw const draft.event.argv_len).read_volatile() } as usize
        & (EVENT_ARGV_BYTES - 1);
    // SAFETY: `at` is below 2048, and 8191 bytes behind it are within the text.
    let target = unsafe { target.add(at) };
    let source = env_end.wrapping_sub(taken) as *const _;
    // SAFETY: as above.
    let failed = unsafe { bpf_probe_read_user(target.cast(), taken as u32, source) };
    draft.event.env_len = if failed == 0 { taken as u32 } else { 0 };
    1
}

/// Sends this CPU's draft.
#[inline(always)]
fn send(is_urgent: bool) {
    send_lineage(u64::from(is_urgent));
}

/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn send_lineage(is_urgent: u64) -> u64 {
    let Some(draft) = DRAFT_LINEAGE.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: a field of a live map value; read back so that the mask survives.
    let argv = unsafe { (&raw const (*draft).event.argv_len).read_volatile() };
    // SAFETY: as above.
    let env = unsafe { (&raw const (*draft).event.env_len).read_volatile() };
    let text = (u64::from(argv) & (EVENT_ARGV_BYTES as u64 - 1))
        + (u64::from(env) & (EVENT_ENV_BYTES as u64 - 1));
    let length = size_of::<ProcessEvent>() as u64 + text;
    let ring = core::ptr::from_ref(&PROCESS_EVENTS).cast_mut().cast();
    // SAFETY: a draft is an event followed by 10,240 bytes of text; `length` is within it.
    let sent = unsafe {
        bpf_ringbuf_output(
            ring,
            draft.cast(),
            length,
            u64::from(wakeup(is_urgent == 1)),
        )
    };
    if sent != 0 {
        count(counter::DROPPED);
    }
    1
}

/// Wakes user space for what it should see soon: tools are few. For anything else once the ring fills.
#[inline(always)]
fn wakeup(is_urgent: bool) -> u32 {
    if is_urgent {
        return BPF_RB_FORCE_WAKEUP;
    }
    let ring = core::ptr::from_ref(&PROCESS_EVENTS).cast_mut().cast();
    // SAFETY: the helper has no precondition but a ring.
    let unread = unsafe { bpf_ringbuf_query(ring, AVAILABLE_DATA) };
    if unread > CROWDED_BYTES {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    }
}
