//! The ledger of file sizes: `known` is what has been credited of a file, each settlement exchanges it
//! for `i_size` and credits the difference. The exchange telescopes: whatever the interleaving, the
//! credits of a file add up to its size.

mod entry;
mod lookups;
mod moves;
mod openers;
mod opening;
mod outside;
mod release;
mod settle;
mod sizes;
mod sweep;

use cache_ebpf::{NO_ROOT, OPERATION_CREATE, ProcessKey, settling::GONE};

pub(crate) use self::{
    moves::{changed_outside, enter, leave, rename, resize, settle_leaving, tell_link},
    opening::{opened, opened_unseen},
    outside::{changes as changes_outside, has_crossed},
    release::released,
    sizes::is_fentry,
    sweep::settle_open,
};
use self::{
    settle::{
        Member, followed, forget, insert, may_count, member, settle, settle_closed, take_kept, tell,
    },
    sizes::{drop_size, keep_size},
};
use crate::{
    account::{self, Change},
    events::Path,
    kernel::{self, Access, Dentry, File, Inode, Read},
    roots,
};

/// A file without bytes has been made, but not opened.
#[inline(always)]
pub(crate) fn made<A: Access>(inode: Inode<A>, name: Dentry<A>) -> Read<()> {
    let root = roots::holder_of_name(name)?;
    if root == NO_ROOT {
        return outside::changes(inode, name, OPERATION_CREATE);
    }
    let process = account::current();
    let member = Member {
        inode,
        key: inode.key()?,
        generation: inode.generation()?,
        root,
        path: Path::Of(name),
        parent: 0,
    };
    account::credit(&process, root, &Change::enter(0));
    tell(&member, &process, 0, 0, OPERATION_CREATE);
    Ok(())
}

/// The running process closes a descriptor: settles, and forgets the file when nobody writes any more.
#[inline(always)]
pub(crate) fn closing<A: Access>(file: File<A>) -> Read<()> {
    let inode = file.inode()?;
    if !roots::is_watched(inode.superblock()?) {
        return Ok(());
    }
    let mode = file.mode()?;
    if !mode.writes() || !kernel::is_regular(inode.mode()?) {
        return Ok(());
    }
    let Some(member) = member(inode, file.dentry()?)? else {
        has_crossed(inode)?;
        return Ok(());
    };
    let Some(entry) = followed(&member) else {
        let process = account::current();
        let unknown = if mode.created() {
            0
        } else {
            member.inode.size()?
        };
        return settle_closed(&member, process, unknown);
    };
    let is_last = member.inode.writers()? <= 1 && file.is_last_reference()?;
    let last = settle(&member, entry, Some(account::current()), is_last)?;
    if last != GONE {
        keep_size(&member.key, member.generation, member.root, last);
        forget(&member, entry, last, 1)?;
        // Unlinked meanwhile: what has just been kept nobody would drop.
        if member.inode.nlink()? == 0 {
            drop_size(&member.key);
        }
    }
    Ok(())
}

/// The file open at the caller's descriptor is open for write by `opener`; used when the agent starts.
#[inline(always)]
pub(crate) fn seed<A: Access>(file: File<A>, opener: ProcessKey) -> Read<bool> {
    let inode = file.inode()?;
    if !may_count(inode)? {
        return Ok(false);
    }
    let Some(member) = member(inode, file.dentry()?)? else {
        return Ok(false);
    };
    let known = match take_kept(&member, opener)? {
        Some(size) if size != GONE => size,
        _ => inode.size()?,
    };
    Ok(insert(&member, opener, known, 0))
}
