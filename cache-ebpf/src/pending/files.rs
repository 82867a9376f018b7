//! What a call that is over did to a regular file: which names it lost or gained, in which roots.
//!
//! A file with one name needs no memory; one with several is in `LINKS` while it has a name in a root.

use aya_ebpf::bindings::BPF_ANY;
use cache_ebpf::{
    Links, NO_ROOT, OPERATION_LEAVE, OPERATION_REPLACE, OPERATION_UNLINK, PENDING_LINK,
    PENDING_RESIZE, PENDING_UNLINK, Touched, counter,
};

use super::MIXED;
use crate::{
    kernel::{Fault, Inode},
    maps::LINKS,
    roots,
};

/// What a call did to a file, as the ledger sees it. All fields are always set: the verifier refuses what an
/// enum leaves out.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub kind: u32,
    /// Root that its last name left.
    pub from: u32,
    /// Root that its first name entered, or in which it was renamed or linked.
    pub to: u32,
    /// `OPERATION_*` for leaving; counter of a fault.
    pub detail: u32,
}

/// Nothing that counts.
pub(super) const NOTHING: u32 = 0;
/// Its last name went, outside all roots.
pub(super) const VANISH: u32 = 1;
/// Its size was set.
pub(super) const RESIZE: u32 = 2;
/// Renamed inside one root.
pub(super) const RENAME: u32 = 3;
/// Got or lost one of several names in one root.
pub(super) const LINK: u32 = 4;
/// Its last name in one root went, its first in another came; either may be none.
pub(super) const MOVE: u32 = 5;
/// It cannot be told.
pub(super) const FAULT: u32 = 6;
/// A directory was renamed or removed.
pub(super) const DIRECTORY: u32 = 7;

impl Step {
    /// A step that concerns one root at most.
    #[inline(always)]
    pub(super) fn plain(kind: u32, to: u32) -> Self {
        Self {
            kind,
            from: NO_ROOT,
            to,
            detail: OPERATION_LEAVE,
        }
    }

    #[inline(always)]
    pub(super) fn nothing() -> Self {
        Self::plain(NOTHING, NO_ROOT)
    }

    #[inline(always)]
    pub(super) fn fault(fault: Fault) -> Self {
        Self {
            detail: fault.0,
            ..Self::plain(FAULT, NO_ROOT)
        }
    }

    /// As one word, which is all that a global function can give. Numbers of roots fit 16 bits.
    #[inline(always)]
    pub(super) fn to_word(self) -> u64 {
        let low = |value: u32| u64::from(value & 0xffff);
        low(self.kind) << 48 | low(self.detail) << 32 | low(self.from) << 16 | low(self.to)
    }

    /// The other way round.
    #[inline(always)]
    pub(super) fn from_word(word: u64) -> Self {
        let part = |shift: u32| (word >> shift) as u32 & 0xffff;
        let root = |shift: u32| match part(shift) {
            0xffff => NO_ROOT,
            root => root,
        };
        Self {
            kind: part(48),
            detail: part(32),
            from: root(16),
            to: root(0),
        }
    }

    #[inline(always)]
    fn leave(from: u32, operation: u32) -> Self {
        Self {
            from,
            detail: operation,
            ..Self::plain(MOVE, NO_ROOT)
        }
    }

    #[inline(always)]
    fn links_crossed() -> Self {
        Self::fault(Fault(counter::FAULT_LINKS))
    }
}

/// Or the fault as a step.
macro_rules! known {
    ($read:expr) => {
        match $read {
            Ok(value) => value,
            Err(fault) => return Step::fault(fault),
        }
    };
}

/// Compares a file before and after; `holds` as of `common_holder`.
#[inline(always)]
pub(super) fn file_changed(call: u32, item: &Touched, holds: u32) -> Step {
    if call == PENDING_RESIZE {
        let kind = if item.root == NO_ROOT { VANISH } else { RESIZE };
        return Step::plain(kind, NO_ROOT);
    }
    let holds = if holds == MIXED { None } else { Some(holds) };
    let inode = Inode::at(item.inode);
    // Freed memory may already hold another file: then the last name is gone for sure.
    let nlink = if inode.is(&item.key, item.generation) {
        known!(inode.nlink())
    } else {
        0
    };
    match call {
        PENDING_UNLINK => name_lost(item, holds, nlink, OPERATION_UNLINK),
        PENDING_LINK => name_gained(item, holds, nlink),
        _ => renamed(item, holds, nlink),
    }
}

/// Unlinked, or replaced by a rename over it.
#[inline(always)]
fn name_lost(item: &Touched, holds: Option<u32>, nlink: u32, operation: u32) -> Step {
    let root = holds.unwrap_or(item.root);
    if nlink == 0 {
        LINKS.remove(item.key).unwrap_or_default();
        return if root == NO_ROOT {
            Step::plain(VANISH, NO_ROOT)
        } else {
            Step::leave(root, operation)
        };
    }
    let Some(links) = LINKS.get_ptr_mut(item.key) else {
        return if root == NO_ROOT {
            Step::nothing()
        } else {
            Step::links_crossed()
        };
    };
    // SAFETY: a value just looked up; calls on one inode are serialised by its lock.
    let links = unsafe { &mut *links };
    links.nlink = nlink;
    if root == links.root {
        links.inside = links.inside.wrapping_sub(1);
    }
    let inside = links.inside;
    if inside == 0 || nlink == 1 {
        // None left inside, or one name left in all: nothing to remember.
        LINKS.remove(item.key).unwrap_or_default();
    }
    match (root, inside) {
        (NO_ROOT, _) => Step::nothing(),
        (_, 0) => Step::leave(root, operation),
        _ => Step::plain(LINK, root),
    }
}

/// Got a name by `link`, which for an `O_TMPFILE` is its first.
#[inline(always)]
fn name_gained(item: &Touched, holds: Option<u32>, nlink: u32) -> Step {
    let to = holds.unwrap_or(NO_ROOT);
    if nlink <= 1 {
        return Step::plain(MOVE, to);
    }
    let Some(links) = LINKS.get_ptr_mut(item.key) else {
        return second_name_gained(item, to, nlink);
    };
    // SAFETY: as in `name_lost`.
    let links = unsafe { &mut *links };
    links.nlink = nlink;
    if to == links.root {
        links.inside = links.inside.wrapping_add(1);
        return Step::plain(LINK, to);
    }
    if to == NO_ROOT {
        Step::nothing()
    } else {
        Step::links_crossed()
    }
}

/// Had one name, now has two.
#[inline(always)]
fn second_name_gained(item: &Touched, to: u32, nlink: u32) -> Step {
    let from = item.root;
    if to == NO_ROOT && from == NO_ROOT {
        return Step::nothing();
    }
    if nlink > 2 || (to != NO_ROOT && from != NO_ROOT && to != from) {
        return Step::links_crossed();
    }
    let (root, inside) = if from == NO_ROOT {
        (to, 1)
    } else {
        (from, if to == from { 2 } else { 1 })
    };
    let links = Links {
        inside,
        nlink,
        root,
        pad: 0,
    };
    if LINKS.insert(item.key, links, u64::from(BPF_ANY)).is_err() {
        return Step::links_crossed();
    }
    if from == NO_ROOT {
        Step::plain(MOVE, to)
    } else {
        Step::plain(LINK, root)
    }
}

/// A rename moved it, or replaced it.
#[inline(always)]
fn renamed(item: &Touched, holds: Option<u32>, nlink: u32) -> Step {
    if nlink == 0 {
        return name_lost(item, Some(item.root), 0, OPERATION_REPLACE);
    }
    if let Some(links) = LINKS.get_ptr(item.key) {
        // SAFETY: a value just looked up; read once.
        let links = unsafe { links.read() };
        return match holds {
            Some(_) if nlink < links.nlink => name_lost(item, holds, nlink, OPERATION_REPLACE),
            Some(root) => Step::plain(RENAME, root),
            None => Step::links_crossed(),
        };
    }
    if nlink > 1 {
        return if holds == Some(NO_ROOT) {
            Step::nothing()
        } else {
            Step::links_crossed()
        };
    }
    let from = item.root;
    let to = match known!(Inode::at(item.inode).name()) {
        Some(dentry) => known!(roots::holder_of_name(dentry)),
        None => NO_ROOT,
    };
    if from == to {
        return Step::plain(RENAME, from);
    }
    Step {
        from,
        ..Step::plain(MOVE, to)
    }
}
