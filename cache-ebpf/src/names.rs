//! Paths for those who want to read them: names from the file up to its root, last component first.
#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths are at most PATH_BYTES and a name"
)]

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use cache_ebpf::PATH_BYTES;

use crate::{kernel::Dentry, roots};

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

/// Writes the names into `buffer` (of at least [`PATH_BYTES`] + 256 bytes), each ended by NUL.
#[inline(always)]
pub(crate) fn compose(start: Dentry, buffer: *mut u8) -> Composed {
    let mut dentry = start;
    let mut length = 0u32;
    for _ in 0..LEVELS {
        if length as usize >= PATH_BYTES {
            return Composed {
                length: PATH_BYTES as u32,
                cut: true,
            };
        }
        let Ok((name, _)) = dentry.name() else { break };
        let target = buffer.wrapping_add(length as usize);
        // SAFETY: `length` < PATH_BYTES and a name takes at most 256 bytes more; the helper checks `name`.
        let written =
            unsafe { bpf_probe_read_kernel_str(target.cast(), NAME_BYTES, name as *const _) };
        if written <= 0 || written > i64::from(NAME_BYTES) {
            break;
        }
        length += written.cast_unsigned() as u32;
        let Ok(parent) = dentry.parent() else { break };
        let Ok(Some(inode)) = parent.inode() else {
            break;
        };
        if parent.0 == dentry.0 || roots::root_at(inode).is_ok_and(|root| root.is_some()) {
            return finish(length);
        }
        dentry = parent;
    }
    Composed {
        cut: true,
        ..finish(length)
    }
}

#[inline(always)]
fn finish(length: u32) -> Composed {
    if length as usize > PATH_BYTES {
        Composed {
            length: PATH_BYTES as u32,
            cut: true,
        }
    } else {
        Composed { length, cut: false }
    }
}
