//! Operations of the `control` program, which user space runs synchronously.

/// `(fd, index)`: the directory open at `fd` becomes root `index`.
pub const REGISTER: u64 = 1;
/// `(fd, tgid, start_ns)`: the file open at `fd` is open for write by that process.
pub const SEED_OPEN: u64 = 2;
/// `()`: settles and prunes every file open for write.
pub const SWEEP: u64 = 3;
/// `(tgid | root << 32, start_ns, growth, created | deleted << 16)`: credits what user space measured.
pub const CREDIT: u64 = 5;
/// `(inode, number, generation)`: tells where the directory at this address is, if it is still the same one.
pub const LOCATE: u64 = 6;
/// `()`: reports the caller's own identity.
pub const IDENTIFY: u64 = 4;

/// Done.
pub const OK: u64 = 1;
/// The descriptor is not what the operation needs.
pub const REFUSED: u64 = 2;
