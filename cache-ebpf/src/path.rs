//! Paths for those who want to read them: names from the file up to its root, last component first.
#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths are at most PATH_BYTES and a name"
)]

use aya_ebpf::helpers::{bpf_loop, generated::bpf_probe_read_kernel_str};
use cache_ebpf::PATH_BYTES;

use crate::{kernel::Dentry, maps::DRAFT, roots};

/// Levels of a path that are told; deeper ones are cut.
const LEVELS: u32 = 80;
/// Longest name plus its NUL.
const NAME_BYTES: u32 = 256;

/// A path and whether it was cut.
#[derive(Clone, Copy)]
pub(crate) struct Composed {
    pub length: u32,
    pub cut: bool,
}

/// A path being written.
struct Naming {
    dentry: u64,
    length: u32,
    end: u16,
    /// The draft it is written to.
    slot: u16,
}

/// More names to come.
const GOING_ON: u16 = 0;
/// The root, or the top of the file system, was reached.
const WHOLE: u16 = 1;
/// No room left, or no name to be read.
const CUT: u16 = 2;

/// Writes the names into a draft of this CPU, each ended by NUL.
///
/// A callback loop: the verifier checks one step, not eighty.
#[inline(always)]
pub(crate) fn compose(start: Dentry, slot: u32) -> Composed {
    let mut naming = Naming {
        dentry: start.address(),
        length: 0,
        end: GOING_ON,
        slot: slot as u16,
    };
    let callback = name_one as *const () as *mut core::ffi::c_void;
    // SAFETY: the callback has the signature the helper asks for, the context outlives the call.
    unsafe { bpf_loop(LEVELS, callback, (&raw mut naming).cast(), 0) };
    let Naming { length, end, .. } = naming;
    if length as usize > PATH_BYTES {
        return Composed {
            length: PATH_BYTES as u32,
            cut: true,
        };
    }
    Composed {
        length,
        cut: end != WHOLE,
    }
}

/// One step; 1 = stop.
extern "C" fn name_one(_step: u32, naming: *mut Naming) -> i64 {
    // SAFETY: the context handed to the helper.
    let naming = unsafe { &mut *naming };
    naming.end = write_name(naming);
    i64::from(naming.end != GOING_ON)
}

#[inline(always)]
fn write_name(naming: &mut Naming) -> u16 {
    let Some(draft) = DRAFT.get_ptr_mut(u32::from(naming.slot)) else {
        return CUT;
    };
    if naming.length as usize >= PATH_BYTES {
        return CUT;
    }
    let dentry = Dentry::at(naming.dentry);
    let Ok(name) = dentry.name() else { return CUT };
    let at = naming.length as usize & (PATH_BYTES - 1);
    // SAFETY: claimed for this run; `at` < PATH_BYTES and the path is twice as long.
    let target = unsafe { (&raw mut (*draft).path).cast::<u8>().add(at) };
    // SAFETY: a name takes at most 256 bytes, which fit behind `at`; the helper checks `name`.
    let written = unsafe { bpf_probe_read_kernel_str(target.cast(), NAME_BYTES, name as *const _) };
    if written <= 0 || written > i64::from(NAME_BYTES) {
        return CUT;
    }
    naming.length += written.cast_unsigned() as u32;
    let Ok(parent) = dentry.parent() else {
        return CUT;
    };
    let Ok(Some(inode)) = parent.inode() else {
        return CUT;
    };
    if roots::root_at(inode).is_ok_and(|root| root.is_some()) {
        return WHOLE;
    }
    if parent
        .parent()
        .is_ok_and(|above| above.address() == parent.address())
    {
        return WHOLE;
    }
    naming.dentry = parent.address();
    GOING_ON
}
