//! Look-ups in a build cache: the go command opens the `-a` entry of what it needs. One that is there is
//! a hit; one that it creates was a miss.

use cache_ebpf::{NO_ROOT, ancestry::ENTRY_NAME_BYTES};

use super::settle::is_own_name;
use crate::{
    account::{self, Change},
    kernel::{Access, Dentry, File, Inode, Read},
    roots,
};

/// How the name of an entry ends.
const ENTRY_SUFFIX: [u8; 2] = *b"-a";

/// True for the name of an entry. Nearly every other name is told by its length alone.
#[inline(always)]
pub(super) fn is_entry<A: Access>(dentry: Dentry<A>) -> Read<bool> {
    Ok(dentry.name_length()? == ENTRY_NAME_BYTES && dentry.entry_suffix()? == ENTRY_SUFFIX)
}

/// A file on a watched device has been opened for reading.
#[inline(always)]
pub(super) fn read<A: Access>(file: File<A>, inode: Inode<A>) -> Read<()> {
    let name = file.dentry()?;
    if !is_entry(name)? || !is_own_name(inode, name)? {
        return Ok(());
    }
    let root = roots::holder_of_name(name)?;
    if root != NO_ROOT {
        count_hit(root);
    }
    Ok(())
}

/// A global function (exported, scalars only): the stack is its own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count_hit(root: u32) -> u64 {
    account::credit(&account::current(), root, &Change::hit());
    1
}
