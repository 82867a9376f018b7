//! Sizes of files that are not followed: kept of every closed file where the open hook comes after `O_TRUNC`,
//! and of an open one where there was no room to follow it.

use aya_ebpf::{Global, bindings::BPF_ANY};
use cache_ebpf::{InodeKey, Settled, counter};

use crate::{account, events, maps::SIZES};

#[unsafe(no_mangle)]
static KEEP_SIZES: Global<u64> = Global::new(0);

/// Size of a file nobody has open for write, as far as it is kept.
#[inline(always)]
pub(super) fn settled_size(key: &InodeKey, generation: u32) -> Option<u64> {
    let settled = SIZES.get_ptr(key)?;
    // SAFETY: a value just looked up; read once.
    let settled = unsafe { settled.read() };
    if settled.generation == 0 || settled.generation == generation {
        return Some(settled.size);
    }
    // The number belongs to another file now: the earlier one went unseen.
    account::credit_unseen_departure(settled.root, settled.size);
    drop_size(key);
    None
}

/// Root and size of a file whose size is kept.
#[inline(always)]
pub(super) fn kept(key: &InodeKey, generation: u32) -> Option<(u32, u64)> {
    let settled = SIZES.get_ptr(key)?;
    // SAFETY: a value just looked up; read once.
    let settled = unsafe { settled.read() };
    let same = settled.generation == 0 || settled.generation == generation;
    same.then_some((settled.root, settled.size))
}

/// The hooks see a file before it is truncated on open, and the end of each open file description.
#[inline(always)]
pub(crate) fn is_fentry() -> bool {
    KEEP_SIZES.load() == 0
}

/// Keeps the size of a file that is settled, where the next open will not tell it.
#[inline(always)]
pub(super) fn keep_size(key: &InodeKey, generation: u32, root: u32, size: u64) {
    if !is_fentry() || SIZES.get_ptr(key).is_some() {
        hold_size(key, generation, root, size);
    }
}

/// Keeps the size of a file that is settled.
#[inline(always)]
pub(super) fn hold_size(key: &InodeKey, generation: u32, root: u32, size: u64) {
    let settled = Settled {
        size,
        generation,
        root,
    };
    if SIZES.insert(key, settled, u64::from(BPF_ANY)).is_err() {
        events::count(counter::FAULT_SIZES_FULL);
    }
}

/// Forgets a size; one that is not there is as good.
#[inline(always)]
pub(super) fn drop_size(key: &InodeKey) {
    // ENOENT is the only failure, and what was wanted.
    SIZES.remove(key).unwrap_or_default();
}
