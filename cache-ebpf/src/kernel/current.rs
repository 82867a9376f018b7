//! What the running task leads to. Global functions (exported, scalars only): the verifier checks each once for a
//! program, not once for each state of its callers. Linux 6.18 takes a millisecond for each pointer loaded from a
//! task, because it searches all type names for it.
#![expect(
    clippy::cast_possible_truncation,
    reason = "process numbers are 32 bits"
)]

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, generated::bpf_get_current_task_btf};
use cache_ebpf::{ProcessKey, counter};

use super::{
    Access as _, FDT_FD, FDT_MAX, FILES_FDT, Fault, File, MM_ARG_END, MM_ARG_START, MM_ENV_END,
    MM_ENV_START, Plain, Read, TASK_FILES, TASK_LEADER, TASK_MM, TASK_PARENT, TASK_START,
    TASK_TGID, Typed,
};

/// What [`current_file`] answers when it cannot read: no file lies there.
const FAULT: u64 = 1;

/// The running process.
#[inline(always)]
pub(crate) fn process() -> ProcessKey {
    ProcessKey {
        start_ns: current_start(),
        tgid: tgid(),
        pad: 0,
    }
}

/// Its thread group id.
#[inline(always)]
pub(crate) fn tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// Thread group id of its parent.
#[inline(always)]
pub(crate) fn parent_tgid() -> u32 {
    current_parent() as u32
}

/// The file it has open at descriptor `fd`, if any.
#[inline(always)]
pub(crate) fn file(fd: u64) -> Read<Option<File>> {
    match current_file(fd) {
        0 => Ok(None),
        FAULT => Err(Fault(counter::FAULT_READ)),
        file => Ok(Some(File::at(file))),
    }
}

/// The same in a function that is global itself, and below which the stack would get too deep.
#[inline(always)]
pub(crate) fn parent_here() -> u32 {
    typed(typed(task(), TASK_PARENT.load()), TASK_TGID.load())
}

/// Bounds of the argument strings in its memory.
#[inline(always)]
pub(crate) fn arguments() -> (u64, u64) {
    let start = current_memory(MM_ARG_START.load());
    (start, current_memory(MM_ARG_END.load()))
}

/// The same for a global function, as above.
#[inline(always)]
pub(crate) fn arguments_here() -> (u64, u64) {
    match typed(task(), TASK_MM.load()) {
        0 => (0, 0),
        memory => (
            typed(memory, MM_ARG_START.load()),
            typed(memory, MM_ARG_END.load()),
        ),
    }
}

/// Bounds of the environment strings in its memory.
#[inline(always)]
pub(crate) fn environment() -> (u64, u64) {
    let start = current_memory(MM_ENV_START.load());
    (start, current_memory(MM_ENV_END.load()))
}

#[inline(always)]
fn task() -> u64 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_get_current_task_btf() as u64 }
}

/// A load that the verifier has checked cannot fail.
#[inline(always)]
fn typed<T: Copy + Default>(base: u64, offset: u64) -> T {
    Typed::read(base, offset).unwrap_or_default()
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn current_start() -> u64 {
    typed(typed(task(), TASK_LEADER.load()), TASK_START.load())
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn current_parent() -> u64 {
    parent_here().into()
}

/// A field of its `mm_struct`; 0 for a kernel thread.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn current_memory(offset: u64) -> u64 {
    let memory: u64 = typed(task(), TASK_MM.load());
    match Typed::number(memory) {
        Ok(0) | Err(_) => 0,
        Ok(memory) => Plain::read(memory, offset).unwrap_or_default(),
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn current_file(fd: u64) -> u64 {
    let files: u64 = typed(task(), TASK_FILES.load());
    if files == 0 {
        return 0;
    }
    let table: u64 = typed(files, FILES_FDT.load());
    if fd >= u64::from(typed::<u32>(table, FDT_MAX.load())) {
        return 0;
    }
    let slots: u64 = typed(table, FDT_FD.load());
    // The verifier does not follow the elements of an array of pointers.
    Plain::read(slots, fd * 8).unwrap_or(FAULT)
}
