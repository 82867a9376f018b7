//! A file is opened for write: from here on it is followed.

use cache_ebpf::{
    NO_ROOT, OPEN_SHARED, OPERATION_CREATE, OPERATION_RESIZE, OPERATION_VANISH, ProcessKey,
};

use super::{
    Entry, Member, followed, insert, is_own_name, lookups, may_count, member, openers, outside,
    settle,
    sizes::{hold_size, sees_all, settled_size},
    tell,
};
use crate::{
    account::{self, Change},
    detail::{self, Path},
    kernel::{Access, Dentry, File, Inode, Plain, Read},
    roots,
};

/// A file has been opened by the running process.
#[inline(always)]
pub(crate) fn opened<A: Access>(file: File<A>) -> Read<()> {
    let (mode, inode) = file.mode_and_inode()?;
    if !mode.writes() {
        return lookups::read(file, inode);
    }
    if !may_count(inode)? {
        return Ok(());
    }
    let name = file.dentry()?;
    let is_own = is_own_name(inode, name)?;
    let root = if is_own {
        roots::holder_of_name(name)?
    } else {
        holder_by_any_name(inode.plain()?)?
    };
    if root == NO_ROOT {
        let operation = if mode.created() {
            OPERATION_CREATE
        } else {
            OPERATION_VANISH
        };
        return outside::changes(inode, name, operation);
    }
    // Not linked yet (O_TMPFILE): not in the ledger, whatever is written to it.
    if inode.nlink()? == 0 {
        return Ok(());
    }
    if Entry::find(inode.address()).is_some()
        && opened_again(
            inode.plain()?.address(),
            root,
            A::number(file.address())?,
            mode.created().into(),
        ) == 1
    {
        return Ok(());
    }
    let member = Member {
        inode,
        key: inode.key()?,
        generation: inode.generation()?,
        root,
        path: if is_own { Path::Of(name) } else { Path::None },
        parent: 0,
    };
    follow(
        &member,
        account::current()?,
        mode.created(),
        name,
        file.address(),
    )
}

/// The root of a file that overlayfs opens by the merged name.
#[inline(always)]
fn holder_by_any_name(inode: Inode) -> Read<u32> {
    match inode.name()? {
        Some(name) => roots::holder_of_name(name),
        None => Ok(NO_ROOT),
    }
}

/// Another description has the file open already, or is not closed as far as is known; 0 if the entry was of
/// another file.
///
/// A global function (exported, scalars only): seldom needed, so the stack is its own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn opened_again(inode: u64, root: u32, file: u64, created: u32) -> u64 {
    match again(Inode::at(inode), root, file, created != 0) {
        Ok(done) => u64::from(done),
        Err(fault) => {
            detail::fault(fault);
            1
        }
    }
}

#[inline(always)]
fn again(inode: Inode, root: u32, file: u64, created: bool) -> Read<bool> {
    let member = Member {
        inode,
        key: inode.key()?,
        generation: inode.generation()?,
        root,
        path: Path::any(inode),
        parent: 0,
    };
    let Some(entry) = followed(&member) else {
        return Ok(false);
    };
    settle(&member, entry, None)?;
    let process = account::current()?;
    share(&member, entry, process, file)?;
    // Whoever else opened it was faster to its hook than the one who made it.
    if created && let Some(name) = inode.name()? {
        credit_created(&member, &process, name, entry.known())?;
    }
    Ok(true)
}

/// Follows a file from now on.
#[inline(always)]
fn follow<A: Access>(
    member: &Member<A>,
    process: ProcessKey,
    created: bool,
    name: Dentry<A>,
    file: u64,
) -> Read<()> {
    let (inode, file) = (member.inode.plain()?.address(), A::number(file)?);
    if !created {
        enter_open(inode, member.root, found_size(inode, member.root), file);
        return Ok(());
    }
    credit_created(member, &process, name, 0)?;
    enter_open(inode, member.root, made_size(inode), file);
    Ok(())
}

/// Size of a new file as far as it is in other accounts: others may have opened it, written to it and closed it
/// before the hook of the one that made it.
///
/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn made_size(inode: u64) -> u64 {
    let inode = Inode::<Plain>::at(inode);
    if sees_all() {
        return inode.size().unwrap_or(0);
    }
    match (inode.key(), inode.generation()) {
        (Ok(key), Ok(generation)) => settled_size(&key, generation).unwrap_or(0),
        _ => 0,
    }
}

/// The file is new. `size` is what others wrote to it since, in their own accounts.
#[inline(always)]
fn credit_created<A: Access>(
    member: &Member<A>,
    process: &ProcessKey,
    name: Dentry<A>,
    size: u64,
) -> Read<()> {
    let change = Change {
        misses: u64::from(lookups::is_entry(name)?),
        ..Change::enter(0)
    };
    account::credit(process, member.root, &change);
    tell(member, process, size, size, OPERATION_CREATE);
    Ok(())
}

/// Size of a file that was there before. What the open itself cut off is its opener's; a file that no walk has
/// met yet is told as it is, as a walk under way may have an older figure.
///
/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn found_size(inode: u64, root: u32) -> u64 {
    let inode = Inode::at(inode);
    let size = inode.size().unwrap_or(0);
    detail::settle_result(found(inode, root, size));
    size
}

#[inline(always)]
fn found(inode: Inode, root: u32, size: u64) -> Read<()> {
    let member = Member {
        inode,
        key: inode.key()?,
        generation: inode.generation()?,
        root,
        path: Path::any(inode),
        parent: 0,
    };
    let known = settled_size(&member.key, member.generation);
    if known == Some(size) {
        return Ok(());
    }
    let process = account::current()?;
    let before = known.unwrap_or(size);
    if before != size {
        let change = Change::size(size.wrapping_sub(before).cast_signed());
        account::credit(&process, root, &change);
    }
    tell(&member, &process, before, size, OPERATION_RESIZE);
    Ok(())
}

/// Enters a file into `OPEN`, or where there is no room remembers its size.
///
/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn enter_open(inode: u64, root: u32, size: u64, file: u64) -> u64 {
    detail::settle_result(entered(Inode::at(inode), root, size, file));
    1
}

#[inline(always)]
fn entered(inode: Inode, root: u32, size: u64, file: u64) -> Read<()> {
    let member = Member {
        inode,
        key: inode.key()?,
        generation: inode.generation()?,
        root,
        path: Path::None,
        parent: 0,
    };
    if !insert(&member, account::current()?, size, file) {
        hold_size(&member.key, member.generation, root, size);
    }
    Ok(())
}

/// The new opener takes over; while others still write, whoever settles is credited.
#[inline(always)]
fn share<A: Access>(member: &Member<A>, entry: Entry, process: ProcessKey, file: u64) -> Read<()> {
    let alone = member.inode.writers()? <= 1;
    if alone {
        entry.set_flags(0);
        entry.set_file(file);
    } else if entry.is_shared() || entry.opener().tgid != process.tgid {
        if sees_all() {
            openers::remember(entry.file(), entry.opener());
            openers::remember(file, process);
        }
        entry.set_flags(entry.flags() | OPEN_SHARED);
    }
    entry.set_opener(process);
    Ok(())
}
