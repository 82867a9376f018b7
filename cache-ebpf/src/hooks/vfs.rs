//! `fentry` backend: the VFS functions that every way of changing a file passes, whoever calls them: system
//! calls of any architecture, io_uring, kernel threads, file systems stacked on others.
//!
//! A program reads its arguments at fixed positions; user space attaches it only where the running kernel's
//! prototype has them there.
#![expect(
    clippy::needless_pass_by_value,
    reason = "aya's macros hand a context by value"
)]

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use cache_ebpf::{
    NO_ROOT, OPERATION_VANISH, PENDING_LINK, PENDING_RENAME, PENDING_UNLINK, counter,
};

use crate::{
    events,
    kernel::{self, Attributes, Dentry, Fault, File, Inode, Read, Renaming, Typed},
    ledger, pending, roots,
};

macro_rules! argument {
    ($ctx:ident, $index:literal) => {
        $ctx.arg::<*const u8>($index) as u64
    };
}

/// `security_file_open(file)`: before `O_TRUNC` takes effect.
#[fentry]
fn file_open(ctx: FEntryContext) -> u32 {
    events::count_fault(ledger::opened(File::<Typed>::at(argument!(ctx, 0))));
    0
}

/// The same, attached behind it where the kernel may preempt a hook: it then leaves out the runs of the same
/// program on that CPU meanwhile. (`file_release` does nothing by itself when it runs again.)
#[fentry]
fn file_open_again(ctx: FEntryContext) -> u32 {
    events::count_fault(ledger::opened_unseen(File::<Typed>::at(argument!(ctx, 0))));
    0
}

/// `__fput(file)`: the last reference is gone.
#[fentry]
fn file_release(ctx: FEntryContext) -> u32 {
    events::count_fault(ledger::released(File::<Typed>::at(argument!(ctx, 0))));
    0
}

/// `vfs_unlink(idmap, dir, dentry, ..)`.
#[fentry]
fn unlink_entry(ctx: FEntryContext) -> u32 {
    events::count_fault(unlinks(Dentry::<Typed>::at(argument!(ctx, 2))));
    0
}

#[inline(always)]
fn unlinks(name: Dentry<Typed>) -> Read<()> {
    let Some(inode) = watched(name)? else {
        return Ok(());
    };
    if roots::holder_of_name(name)? == NO_ROOT && inode.nlink()? == 1 {
        return ledger::changes_outside(inode, name, OPERATION_VANISH);
    }
    let call = pending::of_thread_on(inode.device()?);
    pending::begin(call, PENDING_UNLINK)?;
    pending::touch(call, inode.plain()?)?;
    touch_directory(call, name)
}

/// `vfs_unlink(idmap, dir, dentry, ..)` is over.
#[fexit]
fn unlink_exit(ctx: FExitContext) -> u32 {
    ends(Inode::<Typed>::at(argument!(ctx, 1)), ctx.ret());
    0
}

/// `vfs_rmdir(idmap, dir, dentry, ..)`.
#[fentry]
fn rmdir_entry(ctx: FEntryContext) -> u32 {
    events::count_fault(removes(Dentry::<Typed>::at(argument!(ctx, 2))));
    0
}

/// Matters only while user space measures what directories held.
#[inline(always)]
fn removes(name: Dentry<Typed>) -> Read<()> {
    if !roots::is_measuring() {
        return Ok(());
    }
    let Some(inode) = name.inode()? else {
        return Ok(());
    };
    if !roots::is_watched(inode.superblock()?) {
        return Ok(());
    }
    let call = pending::of_thread_on(inode.device()?);
    pending::begin(call, PENDING_UNLINK)?;
    pending::touch(call, inode.plain()?)
}

/// `vfs_rmdir(idmap, dir, dentry, ..)` is over.
#[fexit]
fn rmdir_exit(ctx: FExitContext) -> u32 {
    ends(Inode::<Typed>::at(argument!(ctx, 1)), ctx.ret());
    0
}

/// `vfs_link(old_dentry, idmap, dir, new_dentry, ..)`.
#[fentry]
fn link_entry(ctx: FEntryContext) -> u32 {
    events::count_fault(links(
        Dentry::<Typed>::at(argument!(ctx, 0)),
        Inode::<Typed>::at(argument!(ctx, 2)),
    ));
    0
}

#[inline(always)]
fn links(name: Dentry<Typed>, directory: Inode<Typed>) -> Read<()> {
    let Some(inode) = watched(name)? else {
        return Ok(());
    };
    let call = pending::of_thread_on(inode.device()?);
    pending::begin(call, PENDING_LINK)?;
    pending::touch(call, inode.plain()?)?;
    goes_outside(inode, name)?;
    pending::touch(call, directory.plain()?)
}

/// `vfs_link(old_dentry, idmap, dir, new_dentry, ..)` is over.
#[fexit]
fn link_exit(ctx: FExitContext) -> u32 {
    ends(Inode::<Typed>::at(argument!(ctx, 2)), ctx.ret());
    0
}

/// `vfs_rename(renamedata)`.
#[fentry]
fn rename_entry(ctx: FEntryContext) -> u32 {
    events::count_fault(renames(Renaming::<Typed>::at(argument!(ctx, 0))));
    0
}

#[inline(always)]
fn renames(renaming: Renaming<Typed>) -> Read<()> {
    let (from, to) = (renaming.from()?, renaming.to()?);
    let Some(inode) = from.inode()? else {
        return Ok(());
    };
    if !roots::is_watched(inode.superblock()?) {
        return Ok(());
    }
    let call = pending::of_thread_on(inode.device()?);
    pending::begin(call, PENDING_RENAME)?;
    pending::touch(call, inode.plain()?)?;
    goes_outside(inode, from)?;
    if let Some(target) = to.inode()? {
        pending::touch(call, target.plain()?)?;
        goes_outside(target, to)?;
    }
    touch_directory(call, from)?;
    touch_directory(call, to)
}

#[inline(always)]
fn goes_outside(inode: Inode<Typed>, name: Dentry<Typed>) -> Read<()> {
    if kernel::is_regular(inode.mode()?) && roots::holder_of_name(name)? == NO_ROOT {
        return ledger::changes_outside(inode, name, OPERATION_VANISH);
    }
    Ok(())
}

/// `vfs_rename(renamedata)` is over.
#[fexit]
fn rename_exit(ctx: FExitContext) -> u32 {
    let renaming = Renaming::<Typed>::at(argument!(ctx, 0));
    match renaming.from().and_then(Dentry::inode) {
        Ok(Some(inode)) => ends(inode, ctx.ret()),
        Ok(None) => {}
        Err(fault) => events::fault(fault),
    }
    0
}

/// `notify_change(idmap, dentry, attr, ..)`: every truncation, also of `O_TRUNC`, passes it.
#[fentry]
fn resize_entry(ctx: FEntryContext) -> u32 {
    let (name, attributes) = (
        Dentry::<Typed>::at(argument!(ctx, 1)),
        Attributes::<Typed>::at(argument!(ctx, 2)),
    );
    events::count_fault(attributes.set_size().and_then(
        |set| {
            if set { resizes(name) } else { Ok(()) }
        },
    ));
    0
}

#[inline(always)]
fn resizes(name: Dentry<Typed>) -> Read<()> {
    let Some(inode) = watched(name)? else {
        return Ok(());
    };
    if roots::holder_of_name(name)? == NO_ROOT {
        return ledger::changes_outside(inode, name, OPERATION_VANISH);
    }
    pending::begin_resize(pending::of_thread_on(inode.device()?), inode.plain()?)
}

/// `notify_change(idmap, dentry, attr, ..)` is over.
#[fexit]
fn resize_exit(ctx: FExitContext) -> u32 {
    let (name, attributes) = (
        Dentry::<Typed>::at(argument!(ctx, 1)),
        Attributes::<Typed>::at(argument!(ctx, 2)),
    );
    match attributes.set_size() {
        Ok(true) => ends_at(name, ctx.ret()),
        Ok(false) => {}
        Err(fault) => events::fault(fault),
    }
    0
}

/// `vfs_fallocate(file, ..)`.
#[fentry]
fn fallocate_entry(ctx: FEntryContext) -> u32 {
    let file = File::<Typed>::at(argument!(ctx, 0));
    events::count_fault(file.dentry().and_then(resizes));
    0
}

/// `vfs_fallocate(file, ..)` is over.
#[fexit]
fn fallocate_exit(ctx: FExitContext) -> u32 {
    match File::<Typed>::at(argument!(ctx, 0)).inode() {
        Ok(inode) => ends(inode, ctx.ret()),
        Err(fault) => events::fault(fault),
    }
    0
}

/// `vfs_create(idmap, dir, dentry, ..)` is over: `mknod`, overlayfs and the NFS server make files with it.
#[fexit]
fn create_exit(ctx: FExitContext) -> u32 {
    created(Dentry::<Typed>::at(argument!(ctx, 2)), ctx.ret());
    0
}

/// The same where the directory is no argument any more: `vfs_create(idmap, dentry, ..)`.
#[fexit]
fn create_exit_late(ctx: FExitContext) -> u32 {
    created(Dentry::<Typed>::at(argument!(ctx, 1)), ctx.ret());
    0
}

#[inline(always)]
fn created(name: Dentry<Typed>, result: Result<i32, i32>) {
    if result == Ok(0) {
        let made = watched(name).and_then(|inode| match inode {
            Some(inode) => ledger::made(inode, name),
            None => Ok(()),
        });
        events::count_fault(made);
    }
}

/// The regular file of this name, if it is on a watched device.
#[inline(always)]
fn watched(name: Dentry<Typed>) -> Read<Option<Inode<Typed>>> {
    let Some(inode) = name.inode()? else {
        return Ok(None);
    };
    let counts = roots::is_watched(inode.superblock()?) && kernel::is_regular(inode.mode()?);
    Ok(if counts { Some(inode) } else { None })
}

#[inline(always)]
fn touch_directory(call: u64, name: Dentry<Typed>) -> Read<()> {
    match name.parent()?.inode()? {
        Some(directory) => pending::touch(call, directory.plain()?),
        None => Ok(()),
    }
}

#[inline(always)]
fn ends_at(name: Dentry<Typed>, result: Result<i32, i32>) {
    match name.inode() {
        Ok(Some(inode)) => ends(inode, result),
        Ok(None) => {}
        Err(fault) => events::fault(fault),
    }
}

/// The call on the file system of `inode` is over.
#[inline(always)]
fn ends(inode: Inode<Typed>, result: Result<i32, i32>) {
    events::count_fault(ended(inode, result));
}

#[inline(always)]
fn ended(inode: Inode<Typed>, result: Result<i32, i32>) -> Read<()> {
    if !roots::is_watched(inode.superblock()?) {
        return Ok(());
    }
    let call = pending::of_thread_on(inode.device()?);
    let Ok(result) = result else {
        // Not taken for success.
        pending::end(call, -1);
        return Err(Fault(counter::FAULT_READ));
    };
    pending::end(call, i64::from(result));
    Ok(())
}
