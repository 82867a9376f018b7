//! One list of the kernel fields in use: structure, member path, name of the global that carries the
//! offset. The kernel side gets a read-only global for each, the user side the table to resolve.

/// Calls `$emit!` with the list: `GLOBAL: "struct" "member" | "other name of the member", ..;`.
#[macro_export]
macro_rules! kernel_fields {
    ($emit:ident) => {
        $emit! {
            TASK_TGID: "task_struct" "tgid";
            TASK_PID: "task_struct" "pid";
            TASK_LEADER: "task_struct" "group_leader";
            TASK_PARENT: "task_struct" "real_parent";
            TASK_START: "task_struct" "start_boottime";
            TASK_FILES: "task_struct" "files";
            TASK_SIGNAL: "task_struct" "signal";
            TASK_MM: "task_struct" "mm";
            TASK_RUNTIME: "task_struct" "se.sum_exec_runtime";
            TASK_EXIT_CODE: "task_struct" "exit_code";
            SIGNAL_LIVE: "signal_struct" "live";
            SIGNAL_RUNTIME: "signal_struct" "sum_sched_runtime";
            MM_ARG_START: "mm_struct" "arg_start";
            MM_ARG_END: "mm_struct" "arg_end";
            MM_ENV_START: "mm_struct" "env_start";
            MM_ENV_END: "mm_struct" "env_end";
            FILES_FDT: "files_struct" "fdt";
            FDT_MAX: "fdtable" "max_fds";
            FDT_FD: "fdtable" "fd";
            FILE_MODE: "file" "f_mode";
            FILE_INODE: "file" "f_inode";
            FILE_DENTRY: "file" "f_path.dentry";
            FILE_COUNT: "file" "f_ref" | "f_count";
            INODE_MODE: "inode" "i_mode";
            INODE_SB: "inode" "i_sb";
            INODE_INO: "inode" "i_ino";
            INODE_NLINK: "inode" "i_nlink";
            INODE_SIZE: "inode" "i_size";
            INODE_GENERATION: "inode" "i_generation";
            INODE_WRITECOUNT: "inode" "i_writecount";
            INODE_ALIASES: "inode" "i_dentry";
            SB_DEV: "super_block" "s_dev";
            SB_MAGIC: "super_block" "s_magic";
            DENTRY_PARENT: "dentry" "d_parent";
            DENTRY_INODE: "dentry" "d_inode";
            DENTRY_NAME: "dentry" "d_name.name";
            DENTRY_NAME_LENGTH: "dentry" "d_name.len";
            DENTRY_NAME_HASH: "dentry" "d_name.hash";
            DENTRY_ALIAS: "dentry" "d_u.d_alias" | "d_alias";
            DENTRY_HASHED: "dentry" "d_hash.pprev";
            IATTR_VALID: "iattr" "ia_valid";
            RENAME_OLD: "renamedata" "old_dentry";
            RENAME_NEW: "renamedata" "new_dentry";
        }
    };
}

/// A kernel field whose offset is resolved from the running kernel's BTF.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name of the global on the kernel side.
    pub global: &'static str,
    /// Kernel structure.
    pub structure: &'static str,
    /// Member paths to try in order, components joined by dots.
    pub members: &'static [&'static str],
}

macro_rules! table {
    ($($global:ident: $structure:literal $member:literal $(| $other:literal)*;)*) => {
        /// All of them.
        pub const FIELDS: &[Field] = &[$(Field {
            global: stringify!($global),
            structure: $structure,
            members: &[$member $(, $other)*],
        }),*];
    };
}
kernel_fields!(table);

/// Position of a system call's first argument in its tracepoint's record, behind the common fields and the
/// number of the call. User space refuses a kernel that has it elsewhere.
pub const FIRST_ARGUMENT: usize = 16;
/// See [`FIRST_ARGUMENT`].
pub const SECOND_ARGUMENT: usize = 24;
/// The same for the result.
pub const RESULT: usize = 16;
/// What `FILE_COUNT` reads while exactly one reference is held (`f_ref` counts from 0, `f_count` from 1).
pub const FILE_COUNT_ONE: &str = "FILE_COUNT_ONE";
/// 1: events carry paths.
pub const WITH_PATHS: &str = "WITH_PATHS";
/// 1: sizes of closed files are kept, because the open hook comes after `O_TRUNC`.
pub const KEEP_SIZES: &str = "KEEP_SIZES";
