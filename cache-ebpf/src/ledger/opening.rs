//! A file is opened for write: from here on it is followed.

use cache_ebpf::{
    NO_ROOT, OPEN_SHARED, OPERATION_CREATE, OPERATION_RESIZE, OPERATION_VANISH, ProcessKey,
    settling::GONE,
};

use super::{
    entry::Entry,
    lookups, openers, outside,
    settle::{
        Known as _, Member, followed, insert, is_own_name, settle, take_kept, tell, unfollow,
    },
    sizes::{drop_carried, hold_unfollowed, is_fentry, kept},
};
use crate::{
    account::{self, Change},
    events::{self, Path},
    kernel::{self, Access, Dentry, File, Inode, Read},
    roots,
};

/// A file has been opened by the running process.
#[inline(always)]
pub(crate) fn opened<A: Access>(file: File<A>) -> Read<()> {
    // Most opens of a host end here: nothing else is read before.
    let inode = file.inode()?;
    if !roots::is_watched(inode.superblock()?) {
        return Ok(());
    }
    let mode = file.mode()?;
    if !mode.writes() {
        return lookups::read(file, inode);
    }
    if !kernel::is_regular(inode.mode()?) {
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
    let (address, number) = (inode.plain()?.address(), A::number(file.address())?);
    let again = if Entry::find(inode.address()).is_some() {
        opened_again(address, root, number)
    } else {
        UNFOLLOWED
    };
    let size = if mode.created() && again != SEEN {
        created_size(address, name.plain()?.address(), root)
    } else if again == UNFOLLOWED {
        found_size(address, root)
    } else {
        return Ok(());
    };
    if again == UNFOLLOWED && size != SETTLED {
        enter_open(address, root, size, number);
    }
    Ok(())
}

/// The same, where another hook of this open may have been left out: does what that has not done.
#[inline(always)]
pub(crate) fn opened_unseen<A: Access>(file: File<A>) -> Read<()> {
    if file.mode()?.writes() {
        opened(file)
    } else {
        Ok(())
    }
}

/// The root of a file that overlayfs opens by the merged name.
#[inline(always)]
fn holder_by_any_name(inode: Inode) -> Read<u32> {
    match inode.name()? {
        Some(name) => roots::holder_of_name(name),
        None => Ok(NO_ROOT),
    }
}

/// Nobody follows the file.
const UNFOLLOWED: u64 = 0;
/// The open has been seen.
const SEEN: u64 = 1;
/// Another open file description is followed already; this one has joined it.
const SHARED: u64 = 2;

/// Another description has the file open already, or is not closed as far as is known.
///
/// A global function (exported, scalars only): seldom needed, so the stack is its own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn opened_again(inode: u64, root: u32, file: u64) -> u64 {
    match again(Inode::at(inode), root, file) {
        Ok(done) => done,
        Err(fault) => {
            events::fault(fault);
            SEEN
        }
    }
}

#[inline(always)]
fn again(inode: Inode, root: u32, file: u64) -> Read<u64> {
    let member = Member {
        inode,
        key: inode.key()?,
        generation: inode.generation()?,
        root,
        path: Path::any(inode),
        parent: 0,
    };
    let Some(entry) = followed(&member) else {
        return Ok(UNFOLLOWED);
    };
    if is_fentry() && (entry.file() == file || openers::knows(file)) {
        return Ok(SEEN);
    }
    if entry.is_gone() {
        // Who ended it finds this one writing, and follows it again. Only `fentry` sees the release that forgets.
        if is_fentry() {
            openers::remember(file, account::current());
        }
        return Ok(SHARED);
    }
    settle(&member, entry, None, false)?;
    join(inode.address(), file);
    Ok(SHARED)
}

/// There is nothing to follow: another hook of this open found no room and kept the size, or another open is about
/// to follow the file.
const SETTLED: u64 = GONE;

/// Credits a new file. Its size as far as it is in other accounts: others may have opened it and written to it
/// before the hook of the one that made it; or [`SETTLED`].
///
/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn created_size(inode: u64, name: u64, root: u32) -> u64 {
    match created(Inode::at(inode), Dentry::at(name), root) {
        Ok(size) => size,
        Err(fault) => {
            events::fault(fault);
            0
        }
    }
}

#[inline(always)]
fn created(inode: Inode, name: Dentry, root: u32) -> Read<u64> {
    let member = Member {
        inode,
        key: inode.key()?,
        generation: inode.generation()?,
        root,
        path: Path::Of(name),
        parent: 0,
    };
    let process = account::current();
    let size = if let Some(entry) = Entry::find(inode.address())
        && !entry.is_gone()
    {
        entry.known()
    } else if !is_fentry() {
        drop_carried(&member.key);
        take_kept(&member, process)?.unwrap_or(0)
    } else if kept(&member.key, member.generation).is_none() {
        inode.size()?
    } else {
        return Ok(SETTLED);
    };
    let change = Change {
        misses: u64::from(lookups::is_entry(name)?),
        ..Change::enter(0)
    };
    account::credit(&process, root, &change);
    let told = if size == SETTLED { 0 } else { size };
    tell(&member, &process, told, told, OPERATION_CREATE);
    Ok(size)
}

/// Size of a file that was there before, or [`SETTLED`]. What the open itself cut off is its opener's; where not all
/// changes are seen, a file that no walk has met yet is told as it is, as a walk under way may have an older figure.
///
/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn found_size(inode: u64, root: u32) -> u64 {
    match found(Inode::at(inode), root) {
        Ok(size) => size,
        Err(fault) => {
            events::fault(fault);
            SETTLED
        }
    }
}

#[inline(always)]
fn found(inode: Inode, root: u32) -> Read<u64> {
    let member = Member {
        inode,
        key: inode.key()?,
        generation: inode.generation()?,
        root,
        path: Path::any(inode),
        parent: 0,
    };
    let process = account::current();
    if let Some(size) = take_kept(&member, process)? {
        return Ok(size);
    }
    let size = inode.size()?;
    if !is_fentry() {
        tell(&member, &process, size, size, OPERATION_RESIZE);
    }
    Ok(size)
}

/// Follows a file again that others opened while its following ended: each of them is credited as he settles. `who` is
/// the root, and its last opener with `start_ns`.
///
/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn follow_again(inode: u64, who: u64, start_ns: u64, size: u64) -> u64 {
    let opener = ProcessKey {
        start_ns,
        tgid: who as u32,
        pad: 0,
    };
    let root = (who >> 32) as u32;
    events::count_fault(followed_again(Inode::at(inode), root, opener, size));
    1
}

#[inline(always)]
fn followed_again(inode: Inode, root: u32, opener: ProcessKey, size: u64) -> Read<()> {
    let member = Member {
        inode,
        key: inode.key()?,
        generation: inode.generation()?,
        root,
        path: Path::None,
        parent: 0,
    };
    if !insert(&member, opener, size, 0) {
        hold_unfollowed(&member.key, member.generation, root, size);
    } else if let Some(entry) = Entry::find(inode.address()) {
        entry.set_flags(entry.flags() | OPEN_SHARED);
    }
    unfollow_unlinked(inode)
}

/// Unlinked meanwhile: who unlinked it did not find it followed, and what is written to it does not count.
#[inline(always)]
fn unfollow_unlinked(inode: Inode) -> Read<()> {
    if inode.nlink()? == 0 {
        unfollow(inode.address());
    }
    Ok(())
}

/// Enters a file into `OPEN`, or where there is no room remembers its size.
///
/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn enter_open(inode: u64, root: u32, size: u64, file: u64) -> u64 {
    events::count_fault(entered(Inode::at(inode), root, size, file));
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
    if !insert(&member, account::current(), size, file) {
        hold_unfollowed(&member.key, member.generation, root, size);
    } else if Entry::find(inode.address()).is_some_and(|entry| entry.file() != file) {
        // Another open was faster.
        join(inode.address(), file);
    }
    unfollow_unlinked(inode)
}

/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn join(inode: u64, file: u64) -> u64 {
    if let Some(entry) = Entry::find(inode) {
        events::count_fault(share(Inode::at(inode), entry, file));
    }
    1
}

/// The new opener takes over; while others still write, whoever settles is credited.
#[inline(always)]
fn share(inode: Inode, entry: Entry, file: u64) -> Read<()> {
    let process = account::current();
    if inode.writers()? <= 1 {
        entry.set_flags(0);
        entry.set_file(file);
    } else if is_fentry() || entry.is_shared() || entry.opener().tgid != process.tgid {
        if is_fentry() {
            if !entry.is_shared() {
                openers::remember(entry.file(), entry.opener());
            }
            openers::remember(file, process);
        }
        entry.set_flags(entry.flags() | OPEN_SHARED);
    }
    entry.set_opener(process);
    Ok(())
}
