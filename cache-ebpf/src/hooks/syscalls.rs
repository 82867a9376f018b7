//! `tracepoint` backend: system calls. One program serves all calls of a shape.
#![expect(
    clippy::cast_possible_truncation,
    reason = "a system call's record holds every argument as 64 bits"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "aya's macros hand a context by value"
)]

use aya_ebpf::{EbpfContext as _, macros::tracepoint, programs::TracePointContext};
use cache_ebpf::{
    NO_ROOT, PENDING_LINK, PENDING_RENAME, PENDING_RESIZE, PENDING_UNLINK,
    offsets::{FIRST_ARGUMENT, RESULT, SECOND_ARGUMENT},
};

use crate::{
    events,
    hooks::process,
    kernel::{self, File, Read, current},
    ledger, pending, roots,
};

/// A field of the tracepoint's record. A literal position: the verifier refuses any other.
#[inline(always)]
fn field<const POSITION: usize>(ctx: &TracePointContext) -> u64 {
    let field = ctx.as_ptr().wrapping_byte_add(POSITION).cast::<u64>();
    // SAFETY: user space has made sure that the record has this field (its format file says so).
    unsafe { field.read_volatile() }
}

#[inline(always)]
fn file_at<const POSITION: usize>(ctx: &TracePointContext) -> Read<Option<File>> {
    let fd = field::<POSITION>(ctx) as u32;
    current::file(u64::from(fd))
}

/// `close`: settles while the descriptor still leads to the file.
#[tracepoint]
fn enter_close(ctx: TracePointContext) -> u32 {
    events::count_fault(close_at::<FIRST_ARGUMENT>(&ctx));
    0
}

/// `dup2`, `dup3`: the new descriptor is closed in passing.
#[tracepoint]
fn enter_dup(ctx: TracePointContext) -> u32 {
    events::count_fault(close_at::<SECOND_ARGUMENT>(&ctx));
    0
}

#[inline(always)]
fn close_at<const POSITION: usize>(ctx: &TracePointContext) -> Read<()> {
    match file_at::<POSITION>(ctx)? {
        Some(file) => ledger::closing(file),
        None => Ok(()),
    }
}

/// `open`, `creat`, `openat`, `openat2`, `open_by_handle_at`: the result is the descriptor.
#[tracepoint]
fn exit_open(ctx: TracePointContext) -> u32 {
    events::count_fault(opened(&ctx));
    0
}

#[inline(always)]
fn opened(ctx: &TracePointContext) -> Read<()> {
    let result = field::<RESULT>(ctx).cast_signed();
    if result < 0 {
        return Ok(());
    }
    match current::file(result.cast_unsigned())? {
        Some(file) => ledger::opened(file),
        None => Ok(()),
    }
}

/// `close_range`: settles what the process has open.
#[tracepoint]
fn exit_close_range(_ctx: TracePointContext) -> u32 {
    process::settle_own();
    0
}

/// `unlink`, `unlinkat`, `rmdir`.
#[tracepoint]
fn enter_unlink(_ctx: TracePointContext) -> u32 {
    events::count_fault(pending::begin(pending::of_thread(), PENDING_UNLINK));
    0
}

/// `rename`, `renameat`, `renameat2`.
#[tracepoint]
fn enter_rename(_ctx: TracePointContext) -> u32 {
    events::count_fault(pending::begin(pending::of_thread(), PENDING_RENAME));
    0
}

/// `link`, `linkat`.
#[tracepoint]
fn enter_link(_ctx: TracePointContext) -> u32 {
    events::count_fault(pending::begin(pending::of_thread(), PENDING_LINK));
    0
}

/// `truncate`.
#[tracepoint]
fn enter_truncate(_ctx: TracePointContext) -> u32 {
    events::count_fault(pending::begin(pending::of_thread(), PENDING_RESIZE));
    0
}

/// `ftruncate`, `fallocate`: the descriptor names the file.
#[tracepoint]
fn enter_resize(ctx: TracePointContext) -> u32 {
    events::count_fault(resize(&ctx));
    0
}

#[inline(always)]
fn resize(ctx: &TracePointContext) -> Read<()> {
    let Some(file) = file_at::<FIRST_ARGUMENT>(ctx)? else {
        return Ok(());
    };
    let inode = file.inode()?;
    if !file.mode()?.writes()
        || !kernel::is_regular(inode.mode()?)
        || !roots::is_watched(inode.superblock()?)
    {
        return Ok(());
    }
    if roots::holder_of_name(file.dentry()?)? == NO_ROOT {
        return Ok(());
    }
    pending::begin_resize(pending::of_thread(), inode)
}

/// The end of every call above that was begun.
#[tracepoint]
fn exit_pending(ctx: TracePointContext) -> u32 {
    pending::end(pending::of_thread(), field::<RESULT>(&ctx).cast_signed());
    0
}
