//! Who descends from a build tool: the part of the contract that follows processes.
//!
//! A process is followed from the exec of a tool on, with all its descendants; all others cost one look-up.

use crate::ProcessKey;

shared! {
    /// A process that descends from a tool, or is one.
    pub struct Tracked (48) {
        /// Its start, as in [`ProcessKey`]; cut to 10 ms if `TRACKED_SEEDED` is set.
        pub start_ns: u64,
        /// Innermost tool it descends from; itself if it is one.
        pub invocation: ProcessKey,
        /// The tool which that one was started from; zero = none.
        pub parent: ProcessKey,
        /// Bits `TRACKED_*`.
        pub flags: u32,
        /// Zero.
        pub pad: u32,
    }
}

/// Entered by user space, which knows the start only to 10 ms.
pub const TRACKED_SEEDED: u32 = 1;
/// Whatever this process starts is taken as a tool, by whatever name.
pub const TRACKED_HEAD: u32 = 2;
/// A tool whose environment is told has run for this invocation.
pub const TRACKED_TOLD: u32 = 4;

/// Nanoseconds to which a seeded start is cut.
pub const SEED_UNIT_NS: u64 = 10_000_000;

/// An exec of this name begins an invocation.
pub const TOOL_INVOCATION: u32 = 1;
/// Of a descendant with this name, the environment is told too.
pub const TOOL_ENVIRONMENT: u32 = 2;

/// Bytes of arguments in an event; a compiler names package and action within the first half.
///
/// A power of two, so that a mask bounds a length for the verifier.
pub const EVENT_ARGV_BYTES: usize = 2_048;
/// Bytes of environment in an event: its end, where the go command puts what it adds.
pub const EVENT_ENV_BYTES: usize = 8_192;

shared! {
    /// A followed process began, executed a program, or ended. Arguments and environment follow, NUL-separated.
    pub struct ProcessEvent (128) {
        /// Nanoseconds since boot.
        pub time_ns: u64,
        /// Which.
        pub process: ProcessKey,
        /// Innermost tool it descends from, or is.
        pub invocation: ProcessKey,
        /// The tool which that one was started from; zero = none.
        pub parent: ProcessKey,
        /// cgroup v2 id, 0 or 1 where there is none.
        pub cgroup: u64,
        /// At its end: CPU time of all its threads, in nanoseconds.
        pub cpu_ns: u64,
        /// One of `PROCESS_*`.
        pub kind: u32,
        /// At its end: status as `wait` tells it.
        pub status: u32,
        /// Real user id.
        pub uid: u32,
        /// Real group id.
        pub gid: u32,
        /// Parent's thread group id.
        pub ppid: u32,
        /// Bits `LINEAGE_*`.
        pub flags: u32,
        /// Bytes of arguments that follow.
        pub argv_len: u32,
        /// Bytes of environment that follow them.
        pub env_len: u32,
        /// Command name, NUL-padded.
        pub comm: [u8; 16],
        /// Zero; room that keeps the layout stable.
        pub reserved: u64,
    }
}

/// It began: a fork.
pub const PROCESS_FORK: u32 = 1;
/// It executes a program.
pub const PROCESS_EXEC: u32 = 2;
/// It ended.
pub const PROCESS_EXIT: u32 = 3;

/// The arguments were cut.
pub const LINEAGE_ARGV_CUT: u32 = 1;
/// The environment was cut, at its beginning.
pub const LINEAGE_ENV_CUT: u32 = 2;
/// The process descends from the traced command.
pub const LINEAGE_IN_COMMAND: u32 = 4;

/// Counters, slots of the per-CPU array `LINEAGE_COUNTERS`.
pub mod counter {
    /// Events lost: ring full.
    pub const DROPPED: u32 = 0;
    /// Processes not followed: map full.
    pub const UNTRACKED: u32 = 1;
    /// Look-ups whose name was not told: ring full.
    pub const UNNAMED: u32 = 2;
    /// An empty counter run.
    pub const COUNT: u32 = 3;
}

/// Bytes of `<64 hexadecimal digits>-a`, the name of an entry of a build cache.
pub const ENTRY_NAME_BYTES: u32 = 66;
/// Those of them that are the id of an action.
pub const ENTRY_DIGITS: usize = 64;

shared! {
    /// A process that descends from a tool found an entry of a build cache.
    pub struct Lookup (88) {
        /// Who looked it up.
        pub process: ProcessKey,
        /// Index of the root that the entry is in.
        pub root: u32,
        /// Zero.
        pub pad: u32,
        /// The entry's name up to its suffix.
        pub digits: [u8; ENTRY_DIGITS],
    }
}

/// Bytes of the ring of look-ups: 20,000 between two looks of user space.
pub const LOOKUP_RING_BYTES: usize = 2_097_152;

/// Processes followed at the same time.
pub const TRACKED_MAX: usize = 65_536;
/// Command names of tools.
pub const TOOLS_MAX: usize = 256;
