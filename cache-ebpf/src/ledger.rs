//! The ledger of file sizes: `known` is what has been credited of a file, each settlement exchanges it
//! for `i_size` and credits the difference. The exchange telescopes: whatever the interleaving, the
//! credits of a file add up to its size.

use aya_ebpf::{
    Global,
    bindings::{BPF_ANY, BPF_NOEXIST},
};
use cache_ebpf::{
    InodeKey, NO_ROOT, OPEN_SHARED, OPERATION_CREATE, OPERATION_ENTER, OPERATION_LINK,
    OPERATION_RENAME, OPERATION_RESIZE, OPERATION_WRITE, OpenFile, ProcessKey, Settled, Touched,
    counter,
};

use crate::{
    account::{self, Change, NOBODY},
    atomic,
    detail::{self, Fact, Path},
    kernel::{self, File, Inode, Read},
    maps::{OPEN, SIZES},
    pending, roots,
};

#[unsafe(no_mangle)]
static KEEP_SIZES: Global<u64> = Global::new(0);

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
    match OPEN.get_ptr_mut(member.key) {
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
fn followed(member: &Member) -> Option<*mut OpenFile> {
    let entry = OPEN.get_ptr_mut(member.key)?;
    // SAFETY: a value just looked up.
    if unsafe { (*entry).generation } == member.generation {
        return Some(entry);
    }
    // SAFETY: as above.
    let (stale, root) = unsafe { (atomic::exchange(&raw mut (*entry).known, 0), (*entry).root) };
    account::credit(&NOBODY, root, &Change::leave(stale));
    detail::count(counter::FAULT_STALE);
    unfollow(&member.key);
    None
}

/// The new opener takes over; while others still write, whoever settles is credited.
#[inline(always)]
fn share(member: &Member, entry: *mut OpenFile, process: ProcessKey) -> Read<()> {
    let alone = member.inode.writers()? <= 1;
    // SAFETY: a value just looked up; a torn update of the opener costs the split, never the sum.
    unsafe {
        if alone {
            (*entry).flags = 0;
        } else if (*entry).opener.tgid != process.tgid {
            (*entry).flags |= OPEN_SHARED;
        }
        (*entry).opener = process;
    }
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
        keep_size(&member.key, member.generation, member.root, known(entry));
        unfollow(&member.key);
    }
    Ok(())
}

/// Credits what the file grew since it was last settled. `settler` is credited where several share it.
#[inline(always)]
fn settle(member: &Member, entry: *mut OpenFile, settler: Option<ProcessKey>) -> Read<()> {
    let (mut first, mut last) = (None, 0);
    for _ in 0..SETTLE_ROUNDS {
        last = member.inode.size()?;
        // SAFETY: a value just looked up.
        let before = unsafe { atomic::exchange(&raw mut (*entry).known, last) };
        first = Some(
            first
                .unwrap_or(0u64)
                .wrapping_add(before.wrapping_sub(last)),
        );
        if member.inode.size()? == last {
            break;
        }
    }
    let growth = first.unwrap_or(0).wrapping_neg() as i64;
    if growth == 0 {
        return Ok(());
    }
    // SAFETY: as above; read once.
    let (opener, flags) = unsafe { ((*entry).opener, (*entry).flags) };
    let payee = match settler {
        Some(settler) if flags & OPEN_SHARED != 0 => settler,
        _ => opener,
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
            size.wrapping_sub(known) as i64,
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
        after.wrapping_sub(growth as u64),
        after,
        operation,
    );
}

#[inline(always)]
fn tell(member: &Member, process: &ProcessKey, before: u64, after: u64, operation: u32) {
    let Member {
        key,
        generation,
        root,
        path,
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
        },
        &path,
    );
}

#[inline(always)]
fn known(entry: *mut OpenFile) -> u64 {
    // SAFETY: a value just looked up.
    unsafe { (&raw const (*entry).known).read_volatile() }
}

/// Settles one entry of `OPEN` on behalf of user space or of its exiting opener; true once it is done with.
#[inline(always)]
pub(crate) fn sweep(key: &InodeKey, entry: *mut OpenFile) -> Read<bool> {
    // SAFETY: the value handed to a map's callback.
    let copy = unsafe { entry.read() };
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
    };
    settle(&member, entry, None)?;
    if inode.writers()? > 0 {
        return Ok(false);
    }
    keep_size(key, copy.generation, copy.root, known(entry));
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

/// A file as the call under way of `thread` touched it in `slot`.
#[inline(always)]
fn of_touched(thread: u64, slot: u32, root: Option<u32>) -> Option<(Member, &'static Touched)> {
    let (pending, item) = pending::touched(thread, slot)?;
    let path = if pending.path_len > 0 {
        Path::Stored(pending.path_len)
    } else {
        Path::None
    };
    let root = root.unwrap_or(item.root);
    Some((
        Member {
            inode: Inode(item.inode),
            key: item.key,
            generation: item.generation,
            root,
            path,
        },
        item,
    ))
}

/// A file's size was set by a call of the running process that is over.
///
/// This and the following are global functions (exported, scalars only): the verifier checks each once,
/// not once per caller. They return 1 when done.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn resize(thread: u64, slot: u32) -> u64 {
    let Some((member, item)) = of_touched(thread, slot, None) else {
        return 0;
    };
    if member.root == NO_ROOT || !member.inode.is(&member.key, member.generation) {
        return 0;
    }
    detail::settle_result(resized(&member, item.size));
    1
}

#[inline(always)]
fn resized(member: &Member, before: u64) -> Read<()> {
    let process = account::current()?;
    match followed(member) {
        Some(entry) => settle(member, entry, Some(process)),
        None => {
            let known = settled_size(&member.key, member.generation).unwrap_or(before);
            settle_closed(member, process, known)
        }
    }
}

/// A file's last name in `root` went; `operation` says how.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn leave(thread: u64, slot: u32, root: u32, operation: u32) -> u64 {
    let Some((member, item)) = of_touched(thread, slot, Some(root)) else {
        return 0;
    };
    settle_before_leaving(&member, item.size);
    unfollow(&member.key);
    drop_size(&member.key);
    match account::current() {
        Ok(process) => {
            account::credit(&process, root, &Change::leave(item.size));
            tell(&member, &process, item.size, 0, operation);
        }
        Err(fault) => detail::fault(fault),
    }
    1
}

/// What was written until the file went still belongs to its writer.
#[inline(always)]
fn settle_before_leaving(member: &Member, size: u64) {
    let (known, payee) = if let Some(entry) = followed(member) {
        // SAFETY: a value just looked up.
        unsafe {
            (
                atomic::exchange(&raw mut (*entry).known, size),
                (*entry).opener,
            )
        }
    } else {
        (
            settled_size(&member.key, member.generation).unwrap_or(size),
            NOBODY,
        )
    };
    if known != size {
        credit_size(
            member,
            &payee,
            size.wrapping_sub(known) as i64,
            size,
            OPERATION_WRITE,
        );
    }
}

/// A file got its first name in `root`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn enter(thread: u64, slot: u32, root: u32) -> u64 {
    let Some((member, _)) = of_touched(thread, slot, Some(root)) else {
        return 0;
    };
    detail::settle_result(entered(&member));
    1
}

#[inline(always)]
fn entered(member: &Member) -> Read<()> {
    let process = account::current()?;
    let size = member.inode.size()?;
    account::credit(&process, member.root, &Change::enter(size));
    tell(member, &process, 0, size, OPERATION_ENTER);
    keep_size(&member.key, member.generation, member.root, size);
    if member.inode.writers()? > 0 {
        follow(member, process, false)
    } else {
        Ok(())
    }
}

/// A file was renamed inside `root`, or outside all roots.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn rename(thread: u64, slot: u32, root: u32) -> u64 {
    if root == NO_ROOT {
        return 1;
    }
    told(thread, slot, root, OPERATION_RENAME, &Change::rename())
}

/// A file got or lost one of several names in `root`.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn tell_link(thread: u64, slot: u32, root: u32) -> u64 {
    told(thread, slot, root, OPERATION_LINK, &Change::size(0))
}

#[inline(always)]
fn told(thread: u64, slot: u32, root: u32, operation: u32, change: &Change) -> u64 {
    let Some((member, item)) = of_touched(thread, slot, Some(root)) else {
        return 0;
    };
    match account::current() {
        Ok(process) => {
            account::credit(&process, root, change);
            tell(&member, &process, item.size, item.size, operation);
        }
        Err(fault) => detail::fault(fault),
    }
    1
}

/// Size of a file nobody has open for write, as far as it is kept.
#[inline(always)]
fn settled_size(key: &InodeKey, generation: u32) -> Option<u64> {
    let settled = SIZES.get_ptr(key)?;
    // SAFETY: a value just looked up; read once.
    let settled = unsafe { settled.read() };
    if settled.generation == 0 || settled.generation == generation {
        return Some(settled.size);
    }
    // The number belongs to another file now: the earlier one went unseen.
    account::credit(&NOBODY, settled.root, &Change::leave(settled.size));
    detail::count(counter::FAULT_STALE);
    drop_size(key);
    None
}

#[inline(always)]
fn keep_size(key: &InodeKey, generation: u32, root: u32, size: u64) {
    if KEEP_SIZES.load() == 1
        && SIZES
            .insert(
                key,
                Settled {
                    size,
                    generation,
                    root,
                },
                u64::from(BPF_ANY),
            )
            .is_err()
    {
        detail::count(counter::FAULT_SIZES_FULL);
    }
}

/// Nobody follows the file any more; an entry that is not there is as good.
#[inline(always)]
fn unfollow(key: &InodeKey) {
    // ENOENT is the only failure, and what was wanted.
    OPEN.remove(key).unwrap_or_default();
}

#[inline(always)]
fn drop_size(key: &InodeKey) {
    // As above.
    SIZES.remove(key).unwrap_or_default();
}
