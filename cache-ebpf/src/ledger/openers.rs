//! Who opened which open file description, kept only while several write one file: the bytes of each go to
//! its opener, whoever drops the last reference.

use aya_ebpf::bindings::BPF_ANY;
use cache_ebpf::{ProcessKey, counter};

use crate::{events, maps::OPENERS};

/// Remembers the opener of the open file description at this address.
#[inline(always)]
pub(super) fn remember(file: u64, opener: ProcessKey) {
    if file != 0 && OPENERS.insert(file, opener, u64::from(BPF_ANY)).is_err() {
        events::count(counter::FAULT_OPEN_FULL);
    }
}

/// True where its opener is remembered.
#[inline(always)]
pub(super) fn knows(file: u64) -> bool {
    OPENERS.get_ptr(file).is_some()
}

/// Its opener, if remembered; forgotten now.
#[inline(always)]
pub(super) fn take(file: u64) -> Option<ProcessKey> {
    let opener = OPENERS.get_ptr(file)?;
    // SAFETY: a value just looked up; read once.
    let opener = unsafe { opener.read() };
    // ENOENT is the only failure, and what was wanted.
    OPENERS.remove(file).unwrap_or_default();
    Some(opener)
}
