//! The ledger of file sizes: `known` is what has been credited of a file, each settlement exchanges it
//! for `i_size` and credits the difference. The exchange telescopes: whatever the interleaving, the
//! credits of a file add up to its size.

mod entry;
mod moves;
mod sizes;

use aya_ebpf::bindings::BPF_NOEXIST;
use cache_ebpf::{
    InodeKey, NO_ROOT, OPEN_SHARED, OPERATION_CREATE, OPERATION_RESIZE, OPERATION_WRITE, OpenFile,
    ProcessKey, counter,
};

use self::sizes::{keep_size, settled_size};
pub(crate) use self::{
    entry::Entry,
    moves::{enter, leave, rename, resize, tell_link, vanish},
};
use crate::{
    account::{self, Change, NOBODY},
    detail::{self, Fact, Path},
    kernel::{self, File, Inode, Read},
    maps::OPEN,
    roots,
};

/// A writer may change the size between the read and the exchange; then the settlement is repeated.
const SETTLE_ROUNDS: u32 = 4;

/// A file of a root, as a hook found it.
#[derive(Clone, Copy)]
struct Member {
    inode: Inode,
    key: InodeKey,
    generation: u32,
    root: u32,
    path: Path,
    /// Inode number of the directory; 0 = as the path says.
    parent: u64,
}

/// A regular file on a watched device that has a name below a root.
#[inline(always)]
fn member(file: File) -> Read<Option<Member>> {
    let inode = file.inode()?;
    if !kernel::is_regular(inode.mode()?) || !roots::is_watched(inode.device()?) {
        return Ok(None);
    }
    let dentry = file.dentry()?;
    let root = roots::holder_of_name(dentry)?;
    // Unlinked, or not linked yet (O_TMPFILE): not in the ledger, whatever is written to it.
    if root == NO_ROOT || inode.nlink()? == 0 {
        return Ok(None);
    }
    Ok(Some(Member {
        inode,
        key: inode.key()?,
        generation: inode.generation()?,
        root,
        path: Path::Of(dentry),
        parent: 0,
    }))
}

/// A file has been opened by the running process.
#[inline(always)]
pub(crate) fn opened(file: File) -> Read<()> {
    let mode = file.mode()?;
    if !mode.writes() {
        return Ok(());
    }
    let Some(member) = member(file)? else {
        return Ok(());
    };
    let process = account::current()?;
    if mode.created() {
        account::credit(&process, member.root, &Change::enter(0));
        tell(&member, &process, 0, 0, OPERATION_CREATE);
    }
    follow(&member, process, mode.created())
}

/// Enters the file into `OPEN`, or adds an opener to it.
#[inline(always)]
fn follow(member: &Member, process: ProcessKey, created: bool) -> Read<()> {
    if let Some(entry) = followed(member) {
        settle(member, entry, None)?;
        share(member, entry, process)?;
        return Ok(());
    }
    let known = if created {
        0
    } else {
        remembered_size(member, &process)?
    };
    let entry = OpenFile {
        known,
        inode: member.inode.0,
        opener: process,
        generation: member.generation,
        root: member.root,
        flags: 0,
        pad: 0,
        reserved: [0; 2],
    };
    if OPEN
        .insert(member.key, entry, u64::from(BPF_NOEXIST))
        .is_err()
        && OPEN.get_ptr(member.key).is_none()
    {
        detail::count(counter::FAULT_OPEN_FULL);
        return settle_closed(member, process, known);
    }
    match Entry::find(&member.key) {
        Some(entry) => settle(member, entry, None),
        None => Ok(()),
    }
}

/// Size the ledger has of a file that is opened. One that no walk has met yet is taken as it is; the event
/// tells a walk under way that its own figure may be older.
#[inline(always)]
fn remembered_size(member: &Member, process: &ProcessKey) -> Read<u64> {
    if let Some(size) = settled_size(&member.key, member.generation) {
        return Ok(size);
    }
    let size = member.inode.size()?;
    tell(member, process, size, size, OPERATION_RESIZE);
    Ok(size)
}

/// The entry of this very file; one of an earlier file with its inode number is put right.
#[inline(always)]
fn followed(member: &Member) -> Option<Entry> {
    let entry = Entry::find(&member.key)?;
    if entry.generation() == member.generation {
        return Some(entry);
    }
    let stale = entry.exchange_known(0);
    account::credit(&NOBODY, entry.root(), &Change::leave(stale));
    detail::count(counter::FAULT_STALE);
    unfollow(&member.key);
    None
}

/// The new opener takes over; while others still write, whoever settles is credited.
#[inline(always)]
fn share(member: &Member, entry: Entry, process: ProcessKey) -> Read<()> {
    let alone = member.inode.writers()? <= 1;
    if alone {
        entry.set_flags(0);
    } else if entry.opener().tgid != process.tgid {
        entry.set_flags(entry.flags() | OPEN_SHARED);
    }
    entry.set_opener(process);
    Ok(())
}

/// The running process closes a descriptor: settles, and forgets the file when nobody writes any more.
#[inline(always)]
pub(crate) fn closing(file: File) -> Read<()> {
    let mode = file.mode()?;
    if !mode.writes() {
        return Ok(());
    }
    let Some(member) = member(file)? else {
        return Ok(());
    };
    let Some(entry) = followed(&member) else {
        let process = account::current()?;
        let known = match settled_size(&member.key, member.generation) {
            Some(size) => size,
            None if mode.created() => 0,
            None => member.inode.size()?,
        };
        return settle_closed(&member, process, known);
    };
    settle(&member, entry, Some(account::current()?))?;
    if member.inode.writers()? <= 1 && file.is_last_reference()? {
        keep_size(&member.key, member.generation, member.root, entry.known());
        unfollow(&member.key);
    }
    Ok(())
}

/// Credits what the file grew since it was last settled. `settler` is credited where several share it.
#[inline(always)]
fn settle(member: &Member, entry: Entry, settler: Option<ProcessKey>) -> Read<()> {
    let (mut shrunk, mut last) = (0u64, 0);
    for _ in 0..SETTLE_ROUNDS {
        last = member.inode.size()?;
        let before = entry.exchange_known(last);
        shrunk = shrunk.wrapping_add(before.wrapping_sub(last));
        if member.inode.size()? == last {
            break;
        }
    }
    let growth = shrunk.wrapping_neg().cast_signed();
    if growth == 0 {
        return Ok(());
    }
    let payee = match settler {
        Some(settler) if entry.is_shared() => settler,
        _ => entry.opener(),
    };
    credit_size(member, &payee, growth, last, OPERATION_WRITE);
    Ok(())
}

/// Settles a file that is not followed: opened before the agent came, or by a way it does not see.
#[inline(always)]
fn settle_closed(member: &Member, process: ProcessKey, known: u64) -> Read<()> {
    let size = member.inode.size()?;
    keep_size(&member.key, member.generation, member.root, size);
    if size != known {
        credit_size(
            member,
            &process,
            size.wrapping_sub(known).cast_signed(),
            size,
            OPERATION_RESIZE,
        );
    }
    Ok(())
}

#[inline(always)]
fn credit_size(member: &Member, payee: &ProcessKey, growth: i64, after: u64, operation: u32) {
    account::credit(payee, member.root, &Change::size(growth));
    tell(
        member,
        payee,
        after.wrapping_sub(growth.cast_unsigned()),
        after,
        operation,
    );
}

/// Inode number of the directory a file is in.
#[inline(always)]
fn directory_number(path: &Path, known: u64) -> u64 {
    match *path {
        Path::Of(dentry) if known == 0 => dentry.directory_number().unwrap_or(0),
        _ => known,
    }
}

#[inline(always)]
fn tell(member: &Member, process: &ProcessKey, before: u64, after: u64, operation: u32) {
    let Member {
        key,
        generation,
        root,
        path,
        parent,
        ..
    } = *member;
    detail::emit(
        &Fact {
            key,
            process: *process,
            before,
            after,
            operation,
            root,
            generation,
            parent: directory_number(&path, parent),
        },
        &path,
    );
}

/// Settles one entry of `OPEN` on behalf of user space or of its exiting opener; true once it is done with.
#[inline(always)]
pub(crate) fn sweep(key: &InodeKey, entry: Entry) -> Read<bool> {
    let copy = entry.copy();
    let inode = Inode(copy.inode);
    if !inode.is(key, copy.generation) {
        detail::count(counter::FAULT_EVICTED);
        keep_size(key, copy.generation, copy.root, copy.known);
        return Ok(true);
    }
    let path = match inode.name() {
        Ok(Some(dentry)) if detail::wants_paths() => Path::Of(dentry),
        _ => Path::None,
    };
    let member = Member {
        inode,
        key: *key,
        generation: copy.generation,
        root: copy.root,
        path,
        parent: 0,
    };
    settle(&member, entry, None)?;
    if inode.writers()? > 0 {
        return Ok(false);
    }
    keep_size(key, copy.generation, copy.root, entry.known());
    Ok(true)
}

/// The file open at the caller's descriptor is open for write by `opener`; used when the agent starts.
#[inline(always)]
pub(crate) fn seed(file: File, opener: ProcessKey) -> Read<bool> {
    let Some(member) = member(file)? else {
        return Ok(false);
    };
    follow(&member, opener, false)?;
    Ok(true)
}

/// Nobody follows the file any more; an entry that is not there is as good.
#[inline(always)]
fn unfollow(key: &InodeKey) {
    // ENOENT is the only failure, and what was wanted.
    OPEN.remove(key).unwrap_or_default();
}
