//! Counters, slots of the per-CPU array `COUNTERS`.

/// Ledger operations under a root.
pub const HITS: u32 = 0;
/// Detail events put into the ring.
pub const DELIVERED: u32 = 1;
/// Detail events lost: ring full.
pub const DROPPED_RING_FULL: u32 = 2;
/// Kernel memory could not be read.
pub const FAULT_READ: u32 = 3;
/// An account was put into the `other` slot: map full.
pub const FAULT_ACCOUNTS_FULL: u32 = 4;
/// A process' identity was not kept: map full.
pub const FAULT_PROCESSES_FULL: u32 = 5;
/// A file open for write is not followed: map full.
pub const FAULT_OPEN_FULL: u32 = 6;
/// A closed file's size was not kept: map full.
pub const FAULT_SIZES_FULL: u32 = 7;
/// A system call was not followed: map full.
pub const FAULT_PENDING_FULL: u32 = 8;
/// A system call touched more inodes than are followed.
pub const FAULT_TOUCHED_FULL: u32 = 9;
/// A directory lies deeper than the bounded walk goes.
pub const FAULT_DEPTH: u32 = 10;
/// Hard links crossed a border in a way that cannot be told apart.
pub const FAULT_LINKS: u32 = 11;
/// An inode number came back although its file was not seen to go.
pub const FAULT_STALE: u32 = 12;
/// An inode went while its last size was not settled.
pub const FAULT_EVICTED: u32 = 13;
/// The traced command's family is not complete: map full.
pub const FAULT_FAMILY_FULL: u32 = 14;
/// An empty counter run.
pub const COUNT: u32 = 15;
