//! What every way of changing a file comes down to: find it, follow it, exchange what was credited for its size.

use aya_ebpf::bindings::BPF_NOEXIST;
use cache_ebpf::{
    InodeKey, NO_ROOT, OPERATION_RESIZE, OPERATION_WRITE, OpenFile, ProcessKey, counter,
    settling::{self, Followed, GONE},
};

use super::{
    entry::Entry,
    opening::follow_again,
    sizes::{Kept, keep_size},
};
use crate::{
    account::{self, Change},
    events::{self, Fact, Path},
    kernel::{self, Access, Dentry, Fault, Inode, Plain, Read},
    maps::OPEN,
    roots,
};

/// A file of a root, as a hook found it.
///
/// Spelled out where it is needed: the result of a constructor takes stack that Linux 6.1 refuses.
#[derive(Clone, Copy)]
pub(super) struct Member<A: Access = Plain> {
    pub(super) inode: Inode<A>,
    pub(super) key: InodeKey,
    pub(super) generation: u32,
    pub(super) root: u32,
    pub(super) path: Path<A>,
    /// Inode number of the directory; 0 = as the path says.
    pub(super) parent: u64,
}

/// True for a regular file on a device with roots: the cheapest tests.
#[inline(always)]
pub(super) fn may_count<A: Access>(inode: Inode<A>) -> Read<bool> {
    Ok(roots::is_watched(inode.superblock()?) && kernel::is_regular(inode.mode()?))
}

/// A regular file that has a name below a root.
#[inline(always)]
pub(super) fn member<A: Access>(inode: Inode<A>, name: Dentry<A>) -> Read<Option<Member<A>>> {
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
pub(super) fn is_own_name<A: Access>(inode: Inode<A>, name: Dentry<A>) -> Read<bool> {
    Ok(name
        .inode()?
        .is_some_and(|named| named.address() == inode.address()))
}

/// Enters the file into `OPEN`; false if there is no room.
#[inline(always)]
pub(super) fn insert<A: Access>(
    member: &Member<A>,
    opener: ProcessKey,
    known: u64,
    file: u64,
) -> bool {
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
pub(super) fn followed<A: Access>(member: &Member<A>) -> Option<Entry> {
    let inode = member.inode.address();
    let entry = Entry::find(inode)?;
    if entry.is(member.key.ino, member.generation) {
        return Some(entry);
    }
    let known = entry.end();
    if known != GONE {
        keep_size(&entry.key(), entry.generation(), entry.root(), known);
    }
    events::count(counter::FAULT_EVICTED);
    unfollow(inode);
    None
}

/// The size credited so far of a file, which several processors settle.
pub(super) trait Known: Copy {
    /// That size, or [`GONE`].
    fn known(self) -> u64;

    /// Puts `by` in its place if it is still `known`; what it was.
    fn replace_known(self, known: u64, by: u64) -> u64;
}

/// The inode, and the size credited so far.
struct Pair<A: Access, K: Known>(Inode<A>, K);

impl<A: Access, K: Known> Followed for Pair<A, K> {
    type Fault = Fault;

    #[inline(always)]
    fn known(&self) -> u64 {
        self.1.known()
    }

    #[inline(always)]
    fn replace_known(&self, known: u64, by: u64) -> u64 {
        self.1.replace_known(known, by)
    }

    #[inline(always)]
    fn size(&self) -> Read<u64> {
        self.0.size()
    }
}

/// Credits what the file grew since it was last settled, to `settler` where several share it. With `is_last` its
/// following ends, unless another has ended it: the answer is [`GONE`] if not, else the size credited at last.
#[inline(always)]
pub(super) fn settle<A: Access>(
    member: &Member<A>,
    entry: Entry,
    settler: Option<ProcessKey>,
    is_last: bool,
) -> Read<u64> {
    let settled = settling::settle(&Pair(member.inode, entry), is_last)?;
    let growth = settled.growth.cast_signed();
    if growth != 0 {
        let payee = match settler {
            Some(settler) if entry.is_shared() => settler,
            _ => entry.opener(),
        };
        credit_size(member, &payee, growth, settled.size, OPERATION_WRITE);
    }
    Ok(if settled.is_last { settled.size } else { GONE })
}

/// Takes a file out of `OPEN` that the caller has settled for the last time, at `size`. Who opened it meanwhile found
/// it followed, or ended: then it is followed again.
#[inline(always)]
pub(super) fn forget<A: Access>(
    member: &Member<A>,
    entry: Entry,
    size: u64,
    own_writers: i32,
) -> Read<()> {
    let (inode, opener) = (member.inode, entry.opener());
    unfollow(inode.address());
    if inode.writers()? > own_writers || inode.size()? != size {
        let who = u64::from(member.root) << 32 | u64::from(opener.tgid);
        follow_again(inode.plain()?.address(), who, opener.start_ns, size);
    }
    Ok(())
}

/// Settles a file that is not followed: opened before the agent came, by a way it does not see, or without room to
/// follow it. `known` is its size so far where none is kept.
#[inline(always)]
pub(super) fn settle_closed<A: Access>(
    member: &Member<A>,
    process: ProcessKey,
    known: u64,
) -> Read<()> {
    let kept = Kept::find_or_insert(&member.key, member.generation, member.root, known);
    let (growth, size) = if let Some(kept) = kept {
        kept.identify(member.generation, member.root);
        let settled = settling::settle(&Pair(member.inode, kept), false)?;
        (settled.growth, settled.size)
    } else {
        let size = member.inode.size()?;
        (size.wrapping_sub(known), size)
    };
    if growth != 0 {
        credit_size(
            member,
            &process,
            growth.cast_signed(),
            size,
            OPERATION_RESIZE,
        );
    }
    Ok(())
}

/// Takes the size that is kept of a file over from those who settle it, as it is to be followed now. What it grew by
/// until then is the process'. `None` if no size is kept; [`GONE`] if another is about to follow it.
#[inline(always)]
pub(super) fn take_kept<A: Access>(member: &Member<A>, process: ProcessKey) -> Read<Option<u64>> {
    let Some(kept) = Kept::find(&member.key, member.generation) else {
        return Ok(None);
    };
    let settled = settling::settle(&Pair(member.inode, kept), true)?;
    if settled.growth != 0 {
        credit_size(
            member,
            &process,
            settled.growth.cast_signed(),
            settled.size,
            OPERATION_RESIZE,
        );
    }
    Ok(Some(if settled.is_last { settled.size } else { GONE }))
}

#[inline(always)]
pub(super) fn credit_size<A: Access>(
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
pub(super) fn directory_number<A: Access>(path: &Path<A>, known: u64) -> u64 {
    match *path {
        Path::Of(dentry) if known == 0 => dentry.directory_number().unwrap_or(0),
        _ => known,
    }
}

#[inline(always)]
pub(super) fn tell<A: Access>(
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

/// Nobody follows the file any more; an entry that is not there is as good.
#[inline(always)]
pub(super) fn unfollow(inode: u64) {
    // ENOENT is the only failure, and what was wanted.
    OPEN.remove(inode).unwrap_or_default();
}
