//! How kernel memory is read: loads that the verifier has checked, or a helper that cannot fault.
#![expect(
    clippy::cast_possible_truncation,
    reason = "offsets and lengths are below the size of a structure"
)]

use aya_ebpf::helpers::{bpf_probe_read_kernel, generated};
use cache_ebpf::counter;

/// Why a fact could not be had; the value is the counter to raise.
#[derive(Clone, Copy)]
pub(crate) struct Fault(pub u32);

/// What a kernel read gives.
pub(crate) type Read<T> = Result<T, Fault>;

/// How fields are read through an address.
pub(crate) trait Access: Copy {
    /// Reads a field.
    fn read<T: Copy>(base: u64, offset: u64) -> Read<T>;

    /// Reads two fields of a structure.
    #[inline(always)]
    fn read_two<T: Copy, U: Copy>(base: u64, first: u64, second: u64) -> Read<(T, U)> {
        Ok((Self::read(base, first)?, Self::read(base, second)?))
    }

    /// The address as a number, which is what maps and other programs take.
    fn number(address: u64) -> Read<u64>;
}

/// Fields this near to each other are read at once.
const NEAR_BYTES: usize = 40;

/// A plain address.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

impl Access for Plain {
    #[inline(always)]
    fn read<T: Copy>(base: u64, offset: u64) -> Read<T> {
        let source = base.wrapping_add(offset) as *const T;
        // SAFETY: the helper checks the address itself and reports a fault.
        unsafe { bpf_probe_read_kernel(source) }.map_err(|_| Fault(counter::FAULT_READ))
    }

    /// One call of the helper where the fields are near each other.
    #[inline(always)]
    fn read_two<T: Copy, U: Copy>(base: u64, first: u64, second: u64) -> Read<(T, U)> {
        let start = first.min(second);
        if first.max(second) - start > NEAR_BYTES as u64 - 8 {
            return Ok((Self::read(base, first)?, Self::read(base, second)?));
        }
        let mut near = [0u8; NEAR_BYTES];
        let length = first.max(second) - start + 8;
        let source = base.wrapping_add(start) as *const core::ffi::c_void;
        // SAFETY: `length` is at most NEAR_BYTES; the helper checks the address itself and reports a fault.
        if unsafe {
            generated::bpf_probe_read_kernel(near.as_mut_ptr().cast(), length as u32, source)
        } != 0
        {
            return Err(Fault(counter::FAULT_READ));
        }
        let field = |offset: u64| near.as_ptr().wrapping_add((offset - start) as usize);
        // SAFETY: `near` holds 8 bytes from there, and the fields are at most as long.
        let first = unsafe { field(first).cast::<T>().read_unaligned() };
        // SAFETY: as above.
        let second = unsafe { field(second).cast::<U>().read_unaligned() };
        Ok((first, second))
    }

    #[inline(always)]
    fn number(address: u64) -> Read<u64> {
        Ok(address)
    }
}

/// An address of which the verifier knows the structure.
#[derive(Clone, Copy)]
pub(crate) struct Typed;

impl Access for Typed {
    #[inline(always)]
    fn read<T: Copy>(base: u64, offset: u64) -> Read<T> {
        let source = base.wrapping_add(offset) as *const T;
        // SAFETY: the verifier has checked that the structure has such a field there; a fault reads as 0.
        Ok(unsafe { source.read_volatile() })
    }

    #[inline(always)]
    fn number(address: u64) -> Read<u64> {
        // Other programs of this object take numbers only, and the verifier forgets what a pointer points to
        // just where memory is read by a helper.
        Plain::read((&raw const address) as u64, 0)
    }
}
