//! Files outside all roots matter for a moment only: while user space measures a directory that has crossed a
//! border, it has to know where its files were, and what they held, before they changed.

use cache_ebpf::{InodeKey, NO_ROOT, OPERATION_VANISH, settling::GONE};

use super::{
    entry::Entry,
    settle::{Member, tell, unfollow},
    sizes::{drop_size, hold_size, kept},
};
use crate::{
    account::NOBODY,
    events::{self, Path},
    kernel::{Access, Dentry, Inode, Read},
    roots,
};

/// A file outside all roots is about to change, or has been made.
#[inline(always)]
pub(crate) fn changes<A: Access>(inode: Inode<A>, name: Dentry<A>, operation: u32) -> Read<()> {
    if roots::is_measuring() {
        let (inode, name) = (inode.plain()?, name.plain()?);
        tell_change(inode.address(), name.address(), operation);
    }
    Ok(())
}

/// A global function (exported, scalars only): rare, so the stack is its own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tell_change(inode: u64, name: u64, operation: u32) -> u64 {
    events::count_fault(told(Inode::at(inode), Dentry::at(name), operation));
    1
}

#[inline(always)]
fn told(inode: Inode, name: Dentry, operation: u32) -> Read<()> {
    let key: InodeKey = inode.key()?;
    let size = inode.size()?;
    let member = Member {
        inode,
        key,
        generation: inode.generation()?,
        root: NO_ROOT,
        path: Path::None,
        parent: name.directory_number()?,
    };
    if operation == OPERATION_VANISH {
        tell_as_it_was(&member, size);
    } else {
        tell(&member, &NOBODY, size, size, operation);
    }
    Ok(())
}

/// Tells where a file was and what it held. One that the ledger still has had left with its directory: it is told
/// with its root, and forgotten, as user space has it now.
#[inline(always)]
pub(super) fn tell_as_it_was(member: &Member, size: u64) {
    let (mut member, mut size) = (*member, size);
    if let Some((root, known)) = kept(&member.key, member.generation) {
        (member.root, size) = (root, known);
        drop_size(&member.key);
    }
    let address = member.inode.address();
    if let Some(entry) = Entry::find(address)
        && entry.is(member.key.ino, member.generation)
    {
        let known = entry.end();
        if known != GONE {
            (member.root, size) = (entry.root(), known);
        }
        unfollow(address);
    }
    tell(&member, &NOBODY, size, size, OPERATION_VANISH);
}

/// True where a followed file is not in its root any more, because a directory took it along which user space has not
/// measured yet. It is told, and followed no more.
#[inline(always)]
pub(crate) fn has_crossed<A: Access>(inode: Inode<A>) -> Read<bool> {
    if !roots::is_measuring() {
        return Ok(false);
    }
    let address = inode.plain()?.address();
    let root = root_now(address);
    Ok(root != STAYED && leave_with_directory(address, root as u32) == 1)
}

/// The file is where it was, or nobody follows it.
const STAYED: u64 = u64::MAX;

/// The root that a followed file is in now, if that is another; else [`STAYED`].
///
/// A global function, as above: its stack is beside that of the next one.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn root_now(inode: u64) -> u64 {
    match moved_to(Inode::at(inode)) {
        Ok(root) => root,
        Err(fault) => {
            events::fault(fault);
            STAYED
        }
    }
}

#[inline(always)]
fn moved_to(inode: Inode) -> Read<u64> {
    let (Some(entry), Some(name)) = (Entry::find(inode.address()), inode.name()?) else {
        return Ok(STAYED);
    };
    let root = roots::holder_of_name(name)?;
    let is_same = root == entry.root() || !entry.is(inode.key()?.ino, inode.generation()?);
    Ok(if is_same { STAYED } else { u64::from(root) })
}

/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn leave_with_directory(inode: u64, to: u32) -> u64 {
    match left(Inode::at(inode), to) {
        Ok(left) => u64::from(left),
        Err(fault) => {
            events::fault(fault);
            0
        }
    }
}

#[inline(always)]
fn left(inode: Inode, to: u32) -> Read<bool> {
    let (Some(entry), Some(name)) = (Entry::find(inode.address()), inode.name()?) else {
        return Ok(false);
    };
    let known = entry.end();
    if known == GONE {
        return Ok(true);
    }
    let member = Member {
        inode,
        key: inode.key()?,
        generation: inode.generation()?,
        root: entry.root(),
        path: Path::None,
        parent: name.directory_number()?,
    };
    tell(&member, &NOBODY, known, known, OPERATION_VANISH);
    unfollow(inode.address());
    if to != NO_ROOT {
        hold_size(&member.key, member.generation, to, known);
    }
    Ok(true)
}
