//! The contract between the kernel side and the user side: keys, values, events and the names of
//! maps and programs. A layout exists here once; both sides compile it.
//!
//! Every type is `repr(C)`, made of fixed-size integers and arrays, its padding spelled out: map keys
//! are compared byte by byte, and the verifier refuses uninitialised padding.
#![no_std]
#![warn(missing_docs)]

pub mod control;
pub mod counter;
pub mod map_names;
pub mod offsets;
pub mod settling;

/// Derives what crossing the border needs, on the user side only.
macro_rules! shared {
    ($(#[$meta:meta])* pub struct $name:ident ($size:literal) { $($(#[$field_meta:meta])* pub $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[cfg_attr(feature = "user", derive(Hash, bytemuck::Pod, bytemuck::Zeroable))]
        pub struct $name { $($(#[$field_meta])* pub $field: $ty),* }

        const _: () = assert!(size_of::<$name>() == $size);

        // SAFETY: repr(C), integers and arrays of them only, no padding (bytemuck::Pod checks it).
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $name {}
    };
}

pub mod ancestry;

shared! {
    /// An inode as the kernel names it: superblock device (`major << 20 | minor`) and number.
    pub struct InodeKey (16) {
        /// Inode number.
        pub ino: u64,
        /// `super_block.s_dev`, which is not always what `stat` reports.
        pub dev: u32,
        /// Zero.
        pub pad: u32,
    }
}

shared! {
    /// A process, safe against PID reuse.
    pub struct ProcessKey (16) {
        /// Start of the thread group's leader, in nanoseconds since boot.
        pub start_ns: u64,
        /// Thread group id in the initial PID namespace; 0 = nobody (unattributed).
        pub tgid: u32,
        /// Zero.
        pub pad: u32,
    }
}

shared! {
    /// Account of one process in one root.
    pub struct CreditKey (24) {
        /// Whose account.
        pub process: ProcessKey,
        /// Index of the root.
        pub root: u32,
        /// Zero.
        pub pad: u32,
    }
}

shared! {
    /// Size changes of an account or of a whole root.
    pub struct Credit (64) {
        /// Net change in bytes (two's complement of a signed figure).
        pub growth: u64,
        /// The part of it released, in bytes, as a positive number.
        pub freed: u64,
        /// Files that appeared.
        pub created: u64,
        /// Files that left.
        pub deleted: u64,
        /// Files renamed inside the root.
        pub renamed: u64,
        /// Ledger operations that touched the account.
        pub changes: u64,
        /// Opens for reading of an existing `-a` entry of a build cache.
        pub hits: u64,
        /// `-a` entries created.
        pub misses: u64,
    }
}

/// Bytes of `argv` kept with a process.
pub const ARGV_BYTES: usize = 512;

shared! {
    /// Who a process is, captured in the kernel when it first gets an account.
    pub struct Process (576) {
        /// Command name, NUL-padded.
        pub comm: [u8; 16],
        /// Real user id.
        pub uid: u32,
        /// Parent's thread group id at that moment.
        pub ppid: u32,
        /// Bits `PROCESS_*`.
        pub flags: u32,
        /// Valid bytes of `argv`.
        pub argv_len: u32,
        /// cgroup v2 id, 0 or 1 where there is none.
        pub cgroup: u64,
        /// `CLOCK_BOOTTIME`-like nanoseconds at which it ended; 0 while it lives.
        pub ended_ns: u64,
        /// Innermost tool it descends from, or is; zero = none.
        pub invocation: ProcessKey,
        /// The process' arguments, NUL-separated, possibly cut.
        pub argv: [u8; ARGV_BYTES],
    }
}

/// The process descends from the traced command.
pub const PROCESS_IN_COMMAND: u32 = 1;

shared! {
    /// A file that somebody has open for write. Its key is the address of its `struct inode`, which lives as
    /// long as it is open: btrfs repeats numbers of inodes on one device.
    pub struct OpenFile (64) {
        /// Size already credited, in bytes; [`settling::GONE`] where nobody settles it any more.
        pub known: u64,
        /// Inode number: tells memory that holds another inode by now.
        pub ino: u64,
        /// Who opened it for write last.
        pub opener: ProcessKey,
        /// `i_generation`: tells a reused inode number.
        pub generation: u32,
        /// Index of its root.
        pub root: u32,
        /// Bits `OPEN_*`.
        pub flags: u32,
        /// Zero.
        pub pad: u32,
        /// Address of the first `struct file`, where hooks see the release of each.
        pub file: u64,
        /// Device.
        pub dev: u32,
        /// Zero.
        pub reserved: u32,
    }
}

impl OpenFile {
    /// The file it is about.
    #[inline]
    pub fn key(&self) -> InodeKey {
        InodeKey {
            ino: self.ino,
            dev: self.dev,
            pad: 0,
        }
    }
}

/// Several open file descriptions wrote it at once: a settlement goes to the opener of the one that settles,
/// where the hooks cannot tell to who settles.
pub const OPEN_SHARED: u32 = 1;

shared! {
    /// What the kernel calls a root. Its key is the address of the directory's `struct inode`, which user space
    /// holds open.
    pub struct Root (16) {
        /// Index in `TOTALS`.
        pub index: u32,
        /// `i_generation` of the directory.
        pub generation: u32,
        /// Zero.
        pub reserved: u64,
    }
}

/// Superblocks told apart without a look into [`map_names::DEVICES`].
pub const WATCHED_MAX: usize = 8;

shared! {
    /// Superblocks that hold a root: the cheapest test. User space keeps a directory open on each.
    pub struct Watched (72) {
        /// Addresses of the `struct super_block`, 0 = none.
        pub superblocks: [u64; WATCHED_MAX],
        /// 1: there are more, see [`map_names::DEVICES`].
        pub more: u64,
    }
}

shared! {
    /// Memoised answer to "which root holds the files of this directory". Its key is the address of the
    /// directory's `struct inode`.
    pub struct Verdict (24) {
        /// Index of the root or [`NO_ROOT`].
        pub root: u32,
        /// `i_generation` of the directory.
        pub generation: u32,
        /// Valid while equal to the present epoch.
        pub epoch: u64,
        /// Inode number of the directory.
        pub ino: u64,
    }
}

/// No root holds it.
pub const NO_ROOT: u32 = u32::MAX;

shared! {
    /// Size of a file that is not followed: nobody has it open for write (kept only where the open hook comes
    /// after `O_TRUNC`), or there was no room to follow it.
    pub struct Settled (16) {
        /// Size already credited, in bytes; [`settling::GONE`] where the file is followed now.
        pub size: u64,
        /// `i_generation`, 0 = not known (entered by a walk), [`CARRIED`] = nor whether the file is there still.
        pub generation: u32,
        /// Index of its root.
        pub root: u32,
    }
}

/// Of a size that user space has entered for a file which a directory took along: a file that is made with that number
/// later is another one, and the first was seen to go.
pub const CARRIED: u32 = u32::MAX;

shared! {
    /// Names a multiply linked file has inside its root.
    pub struct Links (16) {
        /// Names inside the root.
        pub inside: u32,
        /// `i_nlink` at the last change.
        pub nlink: u32,
        /// Index of the root.
        pub root: u32,
        /// Zero.
        pub pad: u32,
    }
}

/// Inodes one name-changing system call is followed through (a rename touches at most five).
///
/// A power of two, so that a mask bounds an index where the verifier has lost track of a comparison.
pub const TOUCHED_MAX: usize = 8;

shared! {
    /// State of an inode just before a system call changed it.
    pub struct Touched (72) {
        /// Address of the `struct inode`.
        pub inode: u64,
        /// Its identity.
        pub key: InodeKey,
        /// Size in bytes.
        pub size: u64,
        /// `i_generation`.
        pub generation: u32,
        /// `i_mode`.
        pub mode: u32,
        /// `i_nlink`; some file systems have already changed it.
        pub nlink: u32,
        /// Root that held it (a directory: that holds the directory itself).
        pub root: u32,
        /// Directories: the root that holds the files in it.
        pub holds: u32,
        /// Directories: hash of the name.
        pub name_hash: u32,
        /// Address of the first named dentry.
        pub dentry: u64,
        /// Inode number of the directory of that name.
        pub parent: u64,
    }
}

shared! {
    /// A name- or size-changing system call under way.
    pub struct Pending (592) {
        /// One of `PENDING_*`.
        pub call: u32,
        /// Valid entries of `touched`.
        pub count: u32,
        /// Bytes of the path stored for it in `PENDING_PATHS`.
        pub path_len: u32,
        /// Zero.
        pub pad: u32,
        /// What it touched, first touch first.
        pub touched: [Touched; TOUCHED_MAX],
    }
}

/// `unlink`, `unlinkat`, `rmdir`.
pub const PENDING_UNLINK: u32 = 1;
/// `rename`, `renameat`, `renameat2`.
pub const PENDING_RENAME: u32 = 2;
/// `link`, `linkat`.
pub const PENDING_LINK: u32 = 3;
/// `truncate`, `ftruncate`, `fallocate`.
pub const PENDING_RESIZE: u32 = 4;

/// Bytes of a path relative to its root kept in an event.
pub const PATH_BYTES: usize = 512;

shared! {
    /// One ledger operation, for readers who want detail; totals never depend on it.
    pub struct Event (104) {
        /// `CLOCK_MONOTONIC` nanoseconds.
        pub time_ns: u64,
        /// The file.
        pub key: InodeKey,
        /// Who is credited.
        pub process: ProcessKey,
        /// Size before, in bytes, as far as the ledger knew it.
        pub before: u64,
        /// Size after, in bytes; 0 once it left the root.
        pub after: u64,
        /// One of `OPERATION_*`.
        pub operation: u32,
        /// Index of the root.
        pub root: u32,
        /// `i_generation` of the file.
        pub generation: u32,
        /// Bytes of path that follow, last component first, each ended by NUL.
        pub path_len: u32,
        /// Command name of who did it.
        pub comm: [u8; 16],
        /// Bits `EVENT_*`.
        pub flags: u32,
        /// Thread group id of who did it.
        pub actor: u32,
        /// Inode number of the directory that holds, or held, the file; 0 where it is not known.
        pub parent: u64,
    }
}

/// The path was cut.
pub const EVENT_PATH_CUT: u32 = 1;
/// The credited process descends from the traced command.
pub const EVENT_IN_COMMAND: u32 = 2;

/// A file appeared.
pub const OPERATION_CREATE: u32 = 1;
/// A file's size was settled after writes.
pub const OPERATION_WRITE: u32 = 2;
/// A file's size was set.
pub const OPERATION_RESIZE: u32 = 3;
/// A file's last name in the root went.
pub const OPERATION_UNLINK: u32 = 4;
/// A file was renamed inside the root.
pub const OPERATION_RENAME: u32 = 5;
/// A file entered the root by rename or link.
pub const OPERATION_ENTER: u32 = 6;
/// A file left the root by rename.
pub const OPERATION_LEAVE: u32 = 7;
/// A file was replaced by a rename over it.
pub const OPERATION_REPLACE: u32 = 8;
/// A file got or lost one of several names.
pub const OPERATION_LINK: u32 = 9;
/// A directory entered the root with all it holds, which user space measures.
pub const OPERATION_DIRECTORY_ENTER: u32 = 10;
/// A directory left the root with all it holds, likewise.
pub const OPERATION_DIRECTORY_LEAVE: u32 = 11;
/// A file outside all roots is about to change, or has been moved or unlinked; no account changes. The root is the
/// one that it left with its directory, which has its size still in the ledger, or [`NO_ROOT`].
pub const OPERATION_VANISH: u32 = 12;
/// A directory that crossed no border was renamed, told only while others wait to be measured.
pub const OPERATION_DIRECTORY_MOVE: u32 = 13;
/// A directory was removed, likewise.
pub const OPERATION_DIRECTORY_GONE: u32 = 14;
/// Where a directory is now, as user space has asked. (Events of directories have the address of the inode for both
/// sizes.)
pub const OPERATION_DIRECTORY_PLACE: u32 = 15;

/// Operations after which there is one file more in the root.
pub const APPEARANCES: [u32; 2] = [OPERATION_CREATE, OPERATION_ENTER];
/// Operations after which there is one file less in the root.
pub const DEPARTURES: [u32; 3] = [OPERATION_UNLINK, OPERATION_LEAVE, OPERATION_REPLACE];

shared! {
    /// Crossings of a root's border by directories of which the walk has not been done yet.
    pub struct Crossing (32) {
        /// Crossings so far.
        pub count: u64,
        /// Who moved last.
        pub mover: ProcessKey,
        /// 1 once two different processes moved: nobody can be credited then.
        pub ambiguous: u32,
        /// Zero.
        pub pad: u32,
    }
}

shared! {
    /// Answer of the `control` program.
    pub struct Reply (64) {
        /// One of `control::OK` and `control::REFUSED`; 0 = did not run.
        pub status: u64,
        /// Inode found at the descriptor.
        pub key: InodeKey,
        /// Address of its `struct inode`.
        pub inode: u64,
        /// Address of its `struct super_block`.
        pub superblock: u64,
        /// The caller.
        pub process: ProcessKey,
        /// `i_generation`.
        pub generation: u32,
        /// Zero.
        pub pad: u32,
    }
}

/// Entries the maps hold that grow with the load, unless user space says otherwise.
pub mod capacity {
    /// Files open for write. Every sweep passes all its buckets, so this is kept small.
    pub const OPEN: usize = 4_096;
    /// Closed files whose size is kept.
    pub const SIZES: usize = 1_048_576;
    /// Accounts per process and root.
    pub const CREDITS: usize = 32_768;
    /// Processes with an account.
    pub const PROCESSES: usize = 32_768;
    /// Name- and size-changing system calls under way.
    pub const CALLS: usize = 8_192;
    /// Bytes of the ring.
    pub const RING_BYTES: usize = 1_048_576;
}

/// Roots watched at most at the same time.
pub const ROOTS_MAX: u32 = 1024;

/// Levels walked from a file towards the root directory of its file system.
pub const DEPTH_MAX: u32 = 128;
