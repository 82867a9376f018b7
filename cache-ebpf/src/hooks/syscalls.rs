//! `tracepoint` backend: system calls. One program serves all calls of a shape.
#![expect(
    clippy::cast_possible_truncation,
    reason = "a system call's record holds every argument as 64 bits"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "aya's macros hand a context by value"
)]

use aya_ebpf::{Global, macros::tracepoint, programs::TracePointContext};
use cache_ebpf::{PENDING_LINK, PENDING_RENAME, PENDING_RESIZE, PENDING_UNLINK, counter};

use crate::{
    detail,
    hooks::process,
    kernel::{Fault, File, Read, Task},
    ledger, pending,
};

#[unsafe(no_mangle)]
static SYSCALL_ARG0: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static SYSCALL_ARG1: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static SYSCALL_RET: Global<u64> = Global::new(0);

#[inline(always)]
fn field(ctx: &TracePointContext, offset: u64) -> Read<u64> {
    // SAFETY: the record of the tracepoint has this field (its format file says so).
    unsafe { ctx.read_at(offset as usize) }.map_err(|_| Fault(counter::FAULT_READ))
}

#[inline(always)]
fn file_at(ctx: &TracePointContext, offset: u64) -> Read<Option<File>> {
    let fd = field(ctx, offset)? as u32;
    Task::current().file(u64::from(fd))
}

/// `close`: settles while the descriptor still leads to the file.
#[tracepoint]
fn enter_close(ctx: TracePointContext) -> u32 {
    detail::settle_result(close_at(&ctx, SYSCALL_ARG0.load()));
    0
}

/// `dup2`, `dup3`: the new descriptor is closed in passing.
#[tracepoint]
fn enter_dup(ctx: TracePointContext) -> u32 {
    detail::settle_result(close_at(&ctx, SYSCALL_ARG1.load()));
    0
}

#[inline(always)]
fn close_at(ctx: &TracePointContext, offset: u64) -> Read<()> {
    match file_at(ctx, offset)? {
        Some(file) => ledger::closing(file),
        None => Ok(()),
    }
}

/// `open`, `creat`, `openat`, `openat2`, `open_by_handle_at`: the result is the descriptor.
#[tracepoint]
fn exit_open(ctx: TracePointContext) -> u32 {
    detail::settle_result(opened(&ctx));
    0
}

#[inline(always)]
fn opened(ctx: &TracePointContext) -> Read<()> {
    let result = field(ctx, SYSCALL_RET.load())?.cast_signed();
    if result < 0 {
        return Ok(());
    }
    match Task::current().file(result.cast_unsigned())? {
        Some(file) => ledger::opened(file),
        None => Ok(()),
    }
}

/// `close_range`: settles what the process has open.
#[tracepoint]
fn exit_close_range(_ctx: TracePointContext) -> u32 {
    detail::settle_result(process::settle_own());
    0
}

/// `unlink`, `unlinkat`, `rmdir`.
#[tracepoint]
fn enter_unlink(_ctx: TracePointContext) -> u32 {
    detail::settle_result(pending::begin(PENDING_UNLINK));
    0
}

/// `rename`, `renameat`, `renameat2`.
#[tracepoint]
fn enter_rename(_ctx: TracePointContext) -> u32 {
    detail::settle_result(pending::begin(PENDING_RENAME));
    0
}

/// `link`, `linkat`.
#[tracepoint]
fn enter_link(_ctx: TracePointContext) -> u32 {
    detail::settle_result(pending::begin(PENDING_LINK));
    0
}

/// `truncate`.
#[tracepoint]
fn enter_truncate(_ctx: TracePointContext) -> u32 {
    detail::settle_result(pending::begin(PENDING_RESIZE));
    0
}

/// `ftruncate`, `fallocate`: the descriptor names the file.
#[tracepoint]
fn enter_resize(ctx: TracePointContext) -> u32 {
    detail::settle_result(resize(&ctx));
    0
}

#[inline(always)]
fn resize(ctx: &TracePointContext) -> Read<()> {
    match file_at(ctx, SYSCALL_ARG0.load())? {
        Some(file) => pending::begin_resize(file),
        None => Ok(()),
    }
}

/// The end of every call above that was begun.
#[tracepoint]
fn exit_pending(ctx: TracePointContext) -> u32 {
    match field(&ctx, SYSCALL_RET.load()) {
        Ok(result) => pending::end(result.cast_signed()),
        Err(fault) => detail::fault(fault),
    }
    0
}
