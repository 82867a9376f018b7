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
    kernel::{Fault, Inode, Read},
    maps::LINKS,
    roots,
};

/// What a call did to a file, as the ledger sees it.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Nothing,
    /// Its last name went, outside all roots.
    Vanish,
    Resize,
    /// Renamed inside this root.
    Rename(u32),
    /// Got or lost one of several names in this root.
    Link(u32),
    /// Its last name in one root went, its first in another came; either may be none.
    Move {
        from: u32,
        to: u32,
        operation: u32,
    },
}

impl Step {
    #[inline(always)]
    fn leave(from: u32, operation: u32) -> Self {
        Self::Move {
            from,
            to: NO_ROOT,
            operation,
        }
    }

    #[inline(always)]
    fn enter(to: u32) -> Self {
        Self::Move {
            from: NO_ROOT,
            to,
            operation: OPERATION_LEAVE,
        }
    }
}

/// Compares a file before and after; `holds` as of `common_holder`.
#[inline(always)]
pub(super) fn file_changed(call: u32, item: &Touched, holds: u32) -> Read<Step> {
    if call == PENDING_RESIZE {
        return Ok(Step::Resize);
    }
    let holds = if holds == MIXED { None } else { Some(holds) };
    let inode = Inode::at(item.inode);
    // Freed memory may already hold another file: then the last name is gone for sure.
    let nlink = if inode.is(&item.key, item.generation) {
        inode.nlink()?
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
fn name_lost(item: &Touched, holds: Option<u32>, nlink: u32, operation: u32) -> Read<Step> {
    let root = holds.unwrap_or(item.root);
    if nlink == 0 {
        LINKS.remove(item.key).unwrap_or_default();
        return Ok(if root == NO_ROOT {
            Step::Vanish
        } else {
            Step::leave(root, operation)
        });
    }
    let Some(links) = LINKS.get_ptr_mut(item.key) else {
        return if root == NO_ROOT {
            Ok(Step::Nothing)
        } else {
            Err(Fault(counter::FAULT_LINKS))
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
    Ok(match (root, inside) {
        (NO_ROOT, _) => Step::Nothing,
        (_, 0) => Step::leave(root, operation),
        _ => Step::Link(root),
    })
}

/// Got a name by `link`, which for an `O_TMPFILE` is its first.
#[inline(always)]
fn name_gained(item: &Touched, holds: Option<u32>, nlink: u32) -> Read<Step> {
    let to = holds.unwrap_or(NO_ROOT);
    if nlink <= 1 {
        return Ok(Step::enter(to));
    }
    let Some(links) = LINKS.get_ptr_mut(item.key) else {
        return second_name_gained(item, to, nlink);
    };
    // SAFETY: as in `name_lost`.
    let links = unsafe { &mut *links };
    links.nlink = nlink;
    if to == links.root {
        links.inside = links.inside.wrapping_add(1);
        return Ok(Step::Link(to));
    }
    if to == NO_ROOT {
        Ok(Step::Nothing)
    } else {
        Err(Fault(counter::FAULT_LINKS))
    }
}

/// Had one name, now has two.
#[inline(always)]
fn second_name_gained(item: &Touched, to: u32, nlink: u32) -> Read<Step> {
    let from = item.root;
    if to == NO_ROOT && from == NO_ROOT {
        return Ok(Step::Nothing);
    }
    if nlink > 2 || (to != NO_ROOT && from != NO_ROOT && to != from) {
        return Err(Fault(counter::FAULT_LINKS));
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
    LINKS
        .insert(item.key, links, u64::from(BPF_ANY))
        .map_err(|_| Fault(counter::FAULT_LINKS))?;
    Ok(if from == NO_ROOT {
        Step::enter(to)
    } else {
        Step::Link(root)
    })
}

/// A rename moved it, or replaced it.
#[inline(always)]
fn renamed(item: &Touched, holds: Option<u32>, nlink: u32) -> Read<Step> {
    if nlink == 0 {
        return name_lost(item, Some(item.root), 0, OPERATION_REPLACE);
    }
    if let Some(links) = LINKS.get_ptr(item.key) {
        // SAFETY: a value just looked up; read once.
        let links = unsafe { links.read() };
        return match holds {
            Some(_) if nlink < links.nlink => name_lost(item, holds, nlink, OPERATION_REPLACE),
            Some(root) => Ok(Step::Rename(root)),
            None => Err(Fault(counter::FAULT_LINKS)),
        };
    }
    if nlink > 1 {
        return if holds == Some(NO_ROOT) {
            Ok(Step::Nothing)
        } else {
            Err(Fault(counter::FAULT_LINKS))
        };
    }
    let (from, to) = match Inode::at(item.inode).name()? {
        Some(dentry) => (item.root, roots::holder_of_name(dentry)?),
        None => (item.root, NO_ROOT),
    };
    Ok(if from == to {
        Step::Rename(from)
    } else {
        Step::Move {
            from,
            to,
            operation: OPERATION_LEAVE,
        }
    })
}
