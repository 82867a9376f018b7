//! The atomics of the BPF target; `core::sync::atomic` has only loads and stores there.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd, atomic_xchg};

/// Adds with wrap-around.
///
/// # Safety
/// `target` points to a live, aligned map value.
#[inline(always)]
pub(crate) unsafe fn add(target: *mut u64, value: u64) {
    // SAFETY: by this function's contract.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(target, value) };
}

/// Stores and returns what was there.
///
/// # Safety
/// As [`add`].
#[inline(always)]
pub(crate) unsafe fn exchange(target: *mut u64, value: u64) -> u64 {
    // SAFETY: by this function's contract.
    unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(target, value) }
}

/// Stores `by` if `expected` is there; what was there.
///
/// # Safety
/// As [`add`].
#[inline(always)]
pub(crate) unsafe fn replace(target: *mut u64, expected: u64, by: u64) -> u64 {
    // SAFETY: by this function's contract.
    let (found, _) = unsafe {
        atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
            target, expected, by,
        )
    };
    found
}
