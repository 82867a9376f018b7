//! Sizes of files that are not followed: kept of every closed file where the open hook comes after `O_TRUNC`,
//! and of an open one where there was no room to follow it.

use core::mem::offset_of;

use aya_ebpf::{
    Global,
    bindings::{BPF_ANY, BPF_NOEXIST},
};
use cache_ebpf::{CARRIED, InodeKey, Settled, counter, settling::GONE};

use super::settle::Known;
use crate::{account, atomic, events, maps::SIZES};

#[unsafe(no_mangle)]
static KEEP_SIZES: Global<u64> = Global::new(0);

/// A value of `SIZES`; the map keeps its memory valid until the hook has ended.
#[derive(Clone, Copy)]
pub(super) struct Kept(*mut Settled);

impl Kept {
    /// The size kept of this very file; one of an earlier file with its number goes.
    #[inline(always)]
    pub(super) fn find(key: &InodeKey, generation: u32) -> Option<Self> {
        let settled = SIZES.get_ptr_mut(key)?;
        // SAFETY: a value just looked up; read once.
        let found = unsafe { settled.read() };
        if is_of(&found, generation) {
            return Some(Self(settled));
        }
        // Who had the number before went unseen.
        if found.size != GONE {
            account::credit_unseen_departure(found.root, found.size);
        }
        drop_size(key);
        None
    }

    /// The same where sizes of closed files are kept; with `size` if none was.
    #[inline(always)]
    pub(super) fn find_or_insert(
        key: &InodeKey,
        generation: u32,
        root: u32,
        size: u64,
    ) -> Option<Self> {
        if let Some(kept) = Self::find(key, generation) {
            return Some(kept);
        }
        if is_fentry() {
            return None;
        }
        insert(key, generation, root, size, BPF_NOEXIST);
        Self::find(key, generation)
    }

    /// It is of that file, which is in `root` now.
    #[inline(always)]
    pub(super) fn identify(self, generation: u32, root: u32) {
        // SAFETY: by the type's invariant; whoever else writes these writes the same.
        unsafe {
            (*self.0).generation = generation;
            (*self.0).root = root;
        }
    }

    /// Who opened the file takes it over: nobody settles it here from now on. What was kept, [`GONE`] if another has.
    #[inline(always)]
    pub(super) fn take(self) -> u64 {
        // SAFETY: a field of a live value.
        unsafe { atomic::exchange(self.size_field(), GONE) }
    }

    #[inline(always)]
    fn size_field(self) -> *mut u64 {
        self.0
            .cast::<u8>()
            .wrapping_add(offset_of!(Settled, size))
            .cast()
    }
}

impl Known for Kept {
    #[inline(always)]
    fn known(self) -> u64 {
        // SAFETY: a field of a live value.
        unsafe { self.size_field().read_volatile() }
    }

    #[inline(always)]
    fn replace_known(self, known: u64, by: u64) -> u64 {
        // SAFETY: a field of a live value.
        unsafe { atomic::replace(self.size_field(), known, by) }
    }
}

/// Size of a file nobody has open for write, as far as it is kept.
#[inline(always)]
pub(super) fn settled_size(key: &InodeKey, generation: u32) -> Option<u64> {
    let known = Kept::find(key, generation)?.known();
    (known != GONE).then_some(known)
}

/// Root and size of a file whose size is kept.
#[inline(always)]
pub(super) fn kept(key: &InodeKey, generation: u32) -> Option<(u32, u64)> {
    let settled = SIZES.get_ptr(key)?;
    // SAFETY: a value just looked up; read once.
    let settled = unsafe { settled.read() };
    let is_here = is_of(&settled, generation) && settled.size != GONE;
    is_here.then_some((settled.root, settled.size))
}

#[inline(always)]
fn is_of(settled: &Settled, generation: u32) -> bool {
    [0, CARRIED, generation].contains(&settled.generation)
}

/// Forgets the size of a file that had the number of one just made, and was told to have gone before user space entered
/// its size.
#[inline(always)]
pub(super) fn drop_carried(key: &InodeKey) {
    let Some(settled) = SIZES.get_ptr(key) else {
        return;
    };
    // SAFETY: a value just looked up; read once.
    if unsafe { (*settled).generation } == CARRIED {
        drop_size(key);
    }
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
    insert(key, generation, root, size, BPF_ANY);
}

#[inline(always)]
fn insert(key: &InodeKey, generation: u32, root: u32, size: u64, how: u32) {
    let settled = Settled {
        size,
        generation,
        root,
    };
    // With `BPF_NOEXIST` somebody else may have been faster.
    if SIZES.insert(key, settled, u64::from(how)).is_err() && SIZES.get_ptr(key).is_none() {
        events::count(counter::FAULT_SIZES_FULL);
    }
}

/// Keeps the size of an open file for which there was no room, unless others who have it open do so already.
#[inline(always)]
pub(super) fn hold_unfollowed(key: &InodeKey, generation: u32, root: u32, size: u64) {
    match Kept::find(key, generation) {
        Some(kept) => drop(kept.replace_known(GONE, size)),
        None => insert(key, generation, root, size, BPF_NOEXIST),
    }
}

/// Forgets a size; one that is not there is as good.
#[inline(always)]
pub(super) fn drop_size(key: &InodeKey) {
    // ENOENT is the only failure, and what was wanted.
    SIZES.remove(key).unwrap_or_default();
}
