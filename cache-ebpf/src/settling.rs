//! Settling one file that is open for write, while others do the same, write it, close it or unlink it.
//!
//! `known` is what has been credited. It is read before the size, and replaced by the size only where it is still the
//! same: so whoever is kept waiting between the two cannot put an old size back over a newer one. Whoever ends the
//! following of a file replaces it by [`GONE`], and is the only one to take it out of the map: who has found it there
//! before settles nothing any more.
//!
//! Every interleaving of what the hooks make of it is checked by a model, `cache-agent/tests/settling.rs`.

/// Nobody settles it any more.
pub const GONE: u64 = u64::MAX;

/// A size may change while it is settled; then that is repeated.
const ROUNDS: u32 = 4;

/// A file that is followed.
pub trait Followed {
    /// Why its size cannot be read.
    type Fault;

    /// Size credited so far, or [`GONE`].
    fn known(&self) -> u64;

    /// Replaces that if it is still `known`; what it was.
    fn replace_known(&self, known: u64, by: u64) -> u64;

    /// Its size.
    fn size(&self) -> Result<u64, Self::Fault>;
}

/// What a settlement found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settlement {
    /// To be credited, as a two's complement.
    pub growth: u64,
    /// The size that is credited now.
    pub size: u64,
    /// This was the last settlement, and the one to take the file out of the map; or it is left to another.
    pub is_last: bool,
}

/// Settles; `is_last` where nobody follows the file from now on.
///
/// # Errors
/// The size cannot be read: nothing has been settled.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a call spends stack, of which there are 512 bytes for all frames together"
)]
pub fn settle<F: Followed>(file: &F, is_last: bool) -> Result<Settlement, F::Fault> {
    let mut settled = Settlement {
        growth: 0,
        size: 0,
        is_last: false,
    };
    for _ in 0..ROUNDS {
        let known = file.known();
        settled.size = known;
        if known == GONE {
            break;
        }
        let size = file.size()?;
        if size == known && !is_last {
            break;
        }
        let by = if is_last { GONE } else { size };
        if file.replace_known(known, by) == known {
            settled.growth = settled.growth.wrapping_add(size.wrapping_sub(known));
            settled.size = size;
            if is_last {
                settled.is_last = true;
                break;
            }
        }
    }
    Ok(settled)
}
