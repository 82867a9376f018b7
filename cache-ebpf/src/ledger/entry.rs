//! One file open for write: a value of `OPEN`. Other CPUs change it at the same time, so it is never
//! borrowed; each access is one load, one store or one exchange.

use core::mem::offset_of;

use cache_ebpf::{InodeKey, OPEN_SHARED, OpenFile, ProcessKey, settling::GONE};

use super::settle::Known;
use crate::{atomic, maps::OPEN};

/// A value of `OPEN`; the map keeps its memory valid until the hook has ended.
#[derive(Clone, Copy)]
pub(crate) struct Entry(*mut OpenFile);

impl Entry {
    /// Looks the file up by the address of its inode.
    #[inline(always)]
    pub(super) fn find(inode: u64) -> Option<Self> {
        OPEN.get_ptr_mut(inode).map(Self)
    }

    /// The value handed to a map's callback.
    ///
    /// # Safety
    /// `value` is a value of `OPEN`, and the hook that got it is still running.
    #[inline(always)]
    pub(crate) unsafe fn at(value: *mut OpenFile) -> Self {
        Self(value)
    }

    /// The file it is about.
    #[inline(always)]
    pub(super) fn key(self) -> InodeKey {
        // SAFETY: by the type's invariant.
        unsafe { (*self.0).key() }
    }

    #[inline(always)]
    pub(super) fn generation(self) -> u32 {
        // SAFETY: by the type's invariant.
        unsafe { (*self.0).generation }
    }

    /// It is of the inode that the memory holds now.
    #[inline(always)]
    pub(super) fn is(self, ino: u64, generation: u32) -> bool {
        // SAFETY: by the type's invariant.
        let (known_ino, known_generation) = unsafe { ((*self.0).ino, (*self.0).generation) };
        known_ino == ino && known_generation == generation
    }

    #[inline(always)]
    pub(super) fn root(self) -> u32 {
        // SAFETY: by the type's invariant.
        unsafe { (*self.0).root }
    }

    #[inline(always)]
    pub(crate) fn opener(self) -> ProcessKey {
        // SAFETY: by the type's invariant.
        unsafe { (*self.0).opener }
    }

    /// Address of the first open file description.
    #[inline(always)]
    pub(super) fn file(self) -> u64 {
        // SAFETY: by the type's invariant.
        unsafe { (*self.0).file }
    }

    #[inline(always)]
    pub(super) fn set_file(self, file: u64) {
        // SAFETY: by the type's invariant; a lost update costs the split, never the sum.
        unsafe { (*self.0).file = file };
    }

    /// Its following has ended: who ended it takes it out of the map.
    #[inline(always)]
    pub(super) fn is_gone(self) -> bool {
        self.known() == GONE
    }

    /// Several open file descriptions write it.
    #[inline(always)]
    pub(super) fn is_shared(self) -> bool {
        self.flags() & OPEN_SHARED != 0
    }

    #[inline(always)]
    pub(super) fn flags(self) -> u32 {
        // SAFETY: by the type's invariant.
        unsafe { (*self.0).flags }
    }

    #[inline(always)]
    pub(super) fn set_flags(self, flags: u32) {
        // SAFETY: by the type's invariant; a lost update costs the split, never the sum.
        unsafe { (*self.0).flags = flags };
    }

    #[inline(always)]
    pub(super) fn set_opener(self, opener: ProcessKey) {
        // SAFETY: by the type's invariant; a torn update costs the split, never the sum.
        unsafe { (*self.0).opener = opener };
    }

    /// Ends its following: nobody settles it any more. What had been credited, [`GONE`] if it had ended already.
    #[inline(always)]
    pub(super) fn end(self) -> u64 {
        // SAFETY: a field of a live value.
        unsafe { atomic::exchange(self.known_field(), GONE) }
    }

    #[inline(always)]
    fn known_field(self) -> *mut u64 {
        self.0.wrapping_byte_add(offset_of!(OpenFile, known)).cast()
    }
}

impl Known for Entry {
    #[inline(always)]
    fn known(self) -> u64 {
        // SAFETY: a field of a live value.
        unsafe { self.known_field().read_volatile() }
    }

    #[inline(always)]
    fn replace_known(self, known: u64, by: u64) -> u64 {
        // SAFETY: a field of a live value.
        unsafe { atomic::replace(self.known_field(), known, by) }
    }
}
