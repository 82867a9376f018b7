//! `tracepoint` backend: changes of an inode's status time, the one tracepoint that every file system
//! passes when a name goes, comes or moves. Three events between them cover all ways
//! (`inode_set_ctime_current`, <https://elixir.bootlin.com/linux/v6.13/source/fs/inode.c#L2799>).
#![expect(
    clippy::needless_pass_by_value,
    reason = "aya's macros hand a context by value"
)]

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{
    events,
    kernel::{Inode, Read},
    pending, roots,
};

#[inline(always)]
fn touched(ctx: &RawTracePointContext) {
    let inode: *const u8 = ctx.arg(0);
    events::count_fault(touched_inode(Inode::at(inode as u64)));
}

#[inline(always)]
fn touched_inode(inode: Inode) -> Read<()> {
    if roots::is_watched(inode.superblock()?) {
        pending::touch(pending::of_thread(), inode)
    } else {
        Ok(())
    }
}

/// One program for the three events: the time is set as given, exchanged for the present, or is the present
/// already.
#[raw_tracepoint]
fn status_change(ctx: RawTracePointContext) -> i32 {
    touched(&ctx);
    0
}
