//! The end of an open file description, as hooks see it that see all of them.

use cache_ebpf::settling::GONE;

use super::{
    entry::Entry,
    openers,
    outside::has_crossed,
    settle::{Member, forget, settle, settle_closed},
    sizes::{drop_size, kept},
};
use crate::{
    account,
    events::Path,
    kernel::{Access, Dentry, File, Inode, Read},
    roots,
};

/// The last reference to an open file description is gone, whoever dropped it.
#[inline(always)]
pub(crate) fn released<A: Access>(file: File<A>) -> Read<()> {
    if !file.mode()?.writes() {
        return Ok(());
    }
    let inode = file.inode()?;
    if !roots::is_watched(inode.superblock()?) {
        return Ok(());
    }
    // Always: the next file at this address is another.
    let settler = openers::take(file.address());
    let Some(entry) = Entry::find(inode.address()) else {
        return released_unfollowed(inode, file.dentry()?);
    };
    let (key, generation) = (inode.key()?, inode.generation()?);
    // Unlinked: whoever unlinks it settles it. Another inode: whoever opens it next does.
    if inode.nlink()? == 0 || !entry.is(key.ino, generation) {
        return Ok(());
    }
    let member = Member {
        inode,
        key,
        generation,
        root: entry.root(),
        path: Path::Of(file.dentry()?),
        parent: 0,
    };
    if has_crossed(inode)? {
        return Ok(());
    }
    let last = settle(&member, entry, settler, inode.writers()? <= 1)?;
    if last != GONE {
        forget(&member, entry, last, 1)?;
    }
    Ok(())
}

/// Settles a file for which there was no room in `OPEN`.
#[inline(always)]
fn released_unfollowed<A: Access>(inode: Inode<A>, name: Dentry<A>) -> Read<()> {
    if inode.nlink()? == 0 {
        return Ok(());
    }
    let (key, generation) = (inode.key()?, inode.generation()?);
    let Some((root, size)) = kept(&key, generation) else {
        return Ok(());
    };
    let member = Member {
        inode,
        key,
        generation,
        root,
        path: Path::Of(name),
        parent: 0,
    };
    settle_closed(&member, account::current(), size)?;
    if inode.writers()? <= 1 {
        drop_size(&key);
    }
    Ok(())
}
