//! Settles all files that are followed, or those of one process.

use aya_ebpf::helpers::bpf_for_each_map_elem;
use cache_ebpf::{OpenFile, ProcessKey, counter, settling::GONE};

use super::{
    entry::Entry,
    outside::has_crossed,
    settle::{Member, forget, settle},
    sizes::keep_size,
};
use crate::{
    events::{self, Path},
    kernel::{Inode, Read},
    maps::OPEN,
};

/// Settles every followed file of `owner`, or all with owner 0; forgets those nobody writes any more.
#[inline(always)]
pub(crate) fn settle_open(owner: &ProcessKey) {
    let mut owner = *owner;
    let map = core::ptr::from_ref(&OPEN).cast_mut().cast();
    let callback = settle_one as *const () as *mut core::ffi::c_void;
    // SAFETY: the callback has the signature the helper asks for, the context outlives the call.
    unsafe { bpf_for_each_map_elem(map, callback, (&raw mut owner).cast(), 0) };
}

/// `bpf_for_each_map_elem`'s callback; 0 = go on.
extern "C" fn settle_one(
    _map: u64,
    inode: *const u64,
    entry: *mut OpenFile,
    owner: *const ProcessKey,
) -> u64 {
    // SAFETY: the helper hands the key of an element.
    let inode = unsafe { *inode };
    // SAFETY: the helper hands the element's value, of `OPEN`.
    let entry = unsafe { Entry::at(entry) };
    // SAFETY: the helper hands back our context.
    let owner = unsafe { *owner };
    if owner.tgid != 0 && owner != entry.opener() {
        return 0;
    }
    match sweep(inode, entry) {
        Ok(true) => OPEN.remove(inode).unwrap_or_default(),
        Ok(false) => {}
        Err(fault) => events::fault(fault),
    }
    0
}

/// Settles one entry of `OPEN` on behalf of user space or of its exiting opener; true once it is done with.
#[inline(always)]
fn sweep(inode: u64, entry: Entry) -> Read<bool> {
    let inode = Inode::at(inode);
    let (key, generation, root) = (entry.key(), entry.generation(), entry.root());
    if !inode.is(&key, generation) {
        events::count(counter::FAULT_EVICTED);
        let known = entry.end();
        if known != GONE {
            keep_size(&key, generation, root, known);
        }
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
    if has_crossed(inode)? {
        return Ok(true);
    }
    let last = settle(&member, entry, None, inode.writers()? <= 0)?;
    if last != GONE {
        keep_size(&key, generation, root, last);
        forget(&member, entry, last, 0)?;
    }
    Ok(false)
}
