//! Files outside all roots matter for a moment only: while user space measures a directory that has left a
//! root, it has to know what its files held before they changed.

use cache_ebpf::{InodeKey, NO_ROOT};

use super::{
    settle::{Member, tell},
    sizes::is_fentry,
};
use crate::{
    account,
    events::{self, Path},
    kernel::{Access, Dentry, Inode, Read},
    roots,
};

/// A file outside all roots is about to change, or has been made.
#[inline(always)]
pub(crate) fn changes<A: Access>(inode: Inode<A>, name: Dentry<A>, operation: u32) -> Read<()> {
    // Where the sizes of closed files are kept there is no need to ask.
    if is_fentry() && roots::is_measuring() {
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
    tell(&member, &account::current(), size, size, operation);
    Ok(())
}
