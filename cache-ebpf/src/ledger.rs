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
mod sizes;

use aya_ebpf::bindings::BPF_NOEXIST;
use cache_ebpf::{
    InodeKey, NO_ROOT, OPERATION_CREATE, OPERATION_RESIZE, OPERATION_WRITE, OpenFile, ProcessKey,
    counter,
};

use self::sizes::{keep_size, settled_size};
pub(crate) use self::{
    entry::Entry,
    moves::{enter, leave, rename, resize, settle_leaving, tell_link, vanish},
    opening::{opened, opened_unseen},
    outside::changes as changes_outside,
    release::released,
    sizes::is_fentry,
};
use crate::{
    account::{self, Change},
    events::{self, Fact, Path},
    kernel::{self, Access, Dentry, File, Inode, Plain, Read},
    maps::OPEN,
    roots,
};

/// A writer may change the size between the read and the exchange; then the settlement is repeated.
const SETTLE_ROUNDS: u32 = 4;

/// A file of a root, as a hook found it.
///
/// Spelled out where it is needed: the result of a constructor takes stack that Linux 6.1 refuses.
#[derive(Clone, Copy)]
struct Member<A: Access = Plain> {
    inode: Inode<A>,
    key: InodeKey,
    generation: u32,
    root: u32,
    path: Path<A>,
    /// Inode number of the directory; 0 = as the path says.
    parent: u64,
}

/// True for a regular file on a device with roots: the cheapest tests.
#[inline(always)]
fn may_count<A: Access>(inode: Inode<A>) -> Read<bool> {
    Ok(roots::is_watched(inode.superblock()?) && kernel::is_regular(inode.mode()?))
}

/// A regular file that has a name below a root.
#[inline(always)]
fn member<A: Access>(inode: Inode<A>, name: Dentry<A>) -> Read<Option<Member<A>>> {
    let root = roots::holder_of_name(name)?;
    // Unlinked, or not linked yet (O_TMPFILE): not in the ledger, whatever is written to it.
    if root == NO_ROOT || inode.nlink()? == 0 {
        return Ok(None);
    }
    Ok(Some(Member {
        inode,
        key: inode.key()?,
        generation: inode.generation()?,
        root,
        path: Path::Of(name),
        parent: 0,
    }))
}

/// True where the dentry of an open file is a name of its inode. overlayfs opens a file below it by the merged
/// name.
#[inline(always)]
fn is_own_name<A: Access>(inode: Inode<A>, name: Dentry<A>) -> Read<bool> {
    Ok(name
        .inode()?
        .is_some_and(|named| named.address() == inode.address()))
}

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

/// Enters the file into `OPEN`; false if there is no room.
#[inline(always)]
fn insert<A: Access>(member: &Member<A>, opener: ProcessKey, known: u64, file: u64) -> bool {
    let entry = OpenFile {
        known,
        ino: member.key.ino,
        opener,
        generation: member.generation,
        root: member.root,
        flags: 0,
        pad: 0,
        file,
        dev: member.key.dev,
        reserved: 0,
    };
    let inode = member.inode.address();
    let inserted = OPEN.insert(inode, entry, u64::from(BPF_NOEXIST)).is_ok();
    if !inserted && OPEN.get_ptr(inode).is_none() {
        events::count(counter::FAULT_OPEN_FULL);
        return false;
    }
    true
}

/// The entry of this very file; one of an inode that was in its memory before goes, its last size unseen.
#[inline(always)]
fn followed<A: Access>(member: &Member<A>) -> Option<Entry> {
    let inode = member.inode.address();
    let entry = Entry::find(inode)?;
    if entry.is(member.key.ino, member.generation) {
        return Some(entry);
    }
    keep_size(
        &entry.key(),
        entry.generation(),
        entry.root(),
        entry.known(),
    );
    events::count(counter::FAULT_EVICTED);
    unfollow(inode);
    None
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

/// Credits what the file grew since it was last settled. `settler` is credited where several share it.
#[inline(always)]
fn settle<A: Access>(member: &Member<A>, entry: Entry, settler: Option<ProcessKey>) -> Read<()> {
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
fn settle_closed<A: Access>(member: &Member<A>, process: ProcessKey, known: u64) -> Read<()> {
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
fn credit_size<A: Access>(
    member: &Member<A>,
    payee: &ProcessKey,
    growth: i64,
    after: u64,
    operation: u32,
) {
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
fn directory_number<A: Access>(path: &Path<A>, known: u64) -> u64 {
    match *path {
        Path::Of(dentry) if known == 0 => dentry.directory_number().unwrap_or(0),
        _ => known,
    }
}

#[inline(always)]
fn tell<A: Access>(
    member: &Member<A>,
    process: &ProcessKey,
    before: u64,
    after: u64,
    operation: u32,
) {
    let Member {
        key,
        generation,
        root,
        path,
        parent,
        ..
    } = *member;
    events::emit(
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

/// Nobody follows the file any more; an entry that is not there is as good.
#[inline(always)]
fn unfollow(inode: u64) {
    // ENOENT is the only failure, and what was wanted.
    OPEN.remove(inode).unwrap_or_default();
}
