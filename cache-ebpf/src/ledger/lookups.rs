//! Look-ups in a build cache: the go command opens the `-a` entry of what it needs. One that is there is
//! a hit; one that it creates was a miss.

use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, helpers::generated::bpf_ringbuf_output};
use cache_ebpf::{
    NO_ROOT, ProcessKey,
    ancestry::{ENTRY_NAME_BYTES, Lookup, counter},
};

use super::settle::is_own_name;
use crate::{
    account::{self, Change},
    descendants, events,
    kernel::{Access, Dentry, File, Inode, Plain, Read, entry_digits},
    maps::LOOKUPS,
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
        // A scalar: the verifier takes no typed pointer.
        count_hit(root, name.plain()?.address());
    }
    Ok(())
}

/// A global function (exported, scalars only): the stack is its own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count_hit(root: u32, dentry: u64) -> u64 {
    let process = account::current();
    account::credit(&process, root, &Change::hit());
    if descendants::is_followed(process.tgid) {
        tell_lookup(process.tgid, process.start_ns, root, dentry);
    }
    1
}

/// A global function, as above: what it tells is large.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tell_lookup(tgid: u32, start_ns: u64, root: u32, dentry: u64) -> u64 {
    let name = Dentry::<Plain>::at(dentry).name();
    let digits = match name.and_then(entry_digits) {
        Ok(digits) => digits,
        Err(fault) => {
            events::fault(fault);
            return 0;
        }
    };
    let mut lookup = Lookup {
        process: ProcessKey {
            start_ns,
            tgid,
            pad: 0,
        },
        root,
        pad: 0,
        digits,
    };
    let ring = core::ptr::from_ref(&LOOKUPS).cast_mut().cast();
    let told = (&raw mut lookup).cast();
    let length = size_of::<Lookup>() as u64;
    // User space takes them with the next step of a process: nobody waits for them.
    // SAFETY: a value on the stack, of that many bytes.
    if unsafe { bpf_ringbuf_output(ring, told, length, u64::from(BPF_RB_NO_WAKEUP)) } != 0 {
        descendants::count(counter::UNNAMED);
    }
    1
}
