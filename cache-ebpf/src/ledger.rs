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

use cache_ebpf::{NO_ROOT, OPERATION_CREATE, ProcessKey, counter};

pub(crate) use self::{
    entry::Entry,
    moves::{enter, leave, rename, resize, settle_leaving, tell_link, vanish},
    opening::{opened, opened_unseen},
    outside::changes as changes_outside,
    release::released,
    sizes::is_fentry,
};
use self::{
    settle::{Member, followed, insert, may_count, member, settle, settle_closed, tell, unfollow},
    sizes::{keep_size, settled_size},
};
use crate::{
    account::{self, Change},
    events::{self, Path},
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
        return Ok(());
    };
    let Some(entry) = followed(&member) else {
        let process = account::current();
        let known = match settled_size(&member.key, member.generation) {
            Some(size) => size,
            None if mode.created() => 0,
            None => member.inode.size()?,
        };
        return settle_closed(&member, process, known);
    };
    settle(&member, entry, Some(account::current()))?;
    if member.inode.writers()? <= 1 && file.is_last_reference()? {
        keep_size(&member.key, member.generation, member.root, entry.known());
        unfollow(member.inode.address());
    }
    Ok(())
}

/// Settles one entry of `OPEN` on behalf of user space or of its exiting opener; true once it is done with.
#[inline(always)]
pub(crate) fn sweep(inode: u64, entry: Entry) -> Read<bool> {
    let inode = Inode::at(inode);
    let (key, generation, root) = (entry.key(), entry.generation(), entry.root());
    if !inode.is(&key, generation) {
        events::count(counter::FAULT_EVICTED);
        keep_size(&key, generation, root, entry.known());
        return Ok(true);
    }
    let member = Member {
        inode,
        key,
        generation,
        root,
        path: Path::any(inode),
        parent: 0,
    };
    settle(&member, entry, None)?;
    if inode.writers()? > 0 {
        return Ok(false);
    }
    keep_size(&key, generation, root, entry.known());
    Ok(true)
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
    let known = match settled_size(&member.key, member.generation) {
        Some(size) => size,
        None => inode.size()?,
    };
    Ok(insert(&member, opener, known, 0))
}
