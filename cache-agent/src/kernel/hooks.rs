//! The two backends: which programs each attaches to what.
//!
//! A new hook is a row here and a program in `cache-ebpf/src/hooks`.

use clap::ValueEnum;

use super::btf::Function;

/// The kernel hooks in use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Backend {
    /// VFS functions, by BPF trampolines.
    Fentry,
    /// System call and status time tracepoints.
    Tracepoint,
}

impl Backend {
    /// As people, metrics and documents see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// Which kernel hooks to use.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Choice {
    /// The best one that this kernel allows
    #[default]
    Auto,
    /// VFS functions: exact for every way of writing
    Fentry,
    /// Syscall tracepoints: where BPF trampolines are compiled out or refused
    Tracepoint,
}

/// A program and the kernel function it attaches to.
#[derive(Clone, Copy, Debug)]
pub struct VfsHook {
    /// Program of the kernel object.
    pub program: &'static str,
    /// Kernel function.
    pub function: &'static str,
    /// Program that does what a run of this one left undone; nothing if it ran.
    pub again: Option<&'static str>,
    /// It runs when the function returns.
    pub at_exit: bool,
    /// Where it expects pointers to which structures.
    arguments: &'static [(usize, &'static str)],
}

impl VfsHook {
    const fn entry(
        program: &'static str,
        function: &'static str,
        arguments: &'static [(usize, &'static str)],
    ) -> Self {
        Self {
            program,
            function,
            again: None,
            at_exit: false,
            arguments,
        }
    }

    const fn exit(
        program: &'static str,
        function: &'static str,
        arguments: &'static [(usize, &'static str)],
    ) -> Self {
        Self {
            at_exit: true,
            ..Self::entry(program, function, arguments)
        }
    }

    const fn with_again(self, program: &'static str) -> Self {
        Self {
            again: Some(program),
            ..self
        }
    }

    /// The running kernel's function has its arguments where the program reads them.
    fn fits(&self, function: &Function) -> bool {
        function.name == self.function
            && self.arguments.iter().all(|(index, structure)| {
                function
                    .parameters
                    .get(*index)
                    .is_some_and(|has| has == structure)
            })
    }
}

/// Hooks of the `fentry` backend, those that end things first; of each group the first one that fits is used.
pub const VFS_HOOKS: [&[VfsHook]; 15] = [
    &[
        VfsHook::exit("create_exit", "vfs_create", &[(2, "dentry")]),
        VfsHook::exit("create_exit_late", "vfs_create", &[(1, "dentry")]),
    ],
    &[VfsHook::exit(
        "fallocate_exit",
        "vfs_fallocate",
        &[(0, "file")],
    )],
    &[VfsHook::entry(
        "fallocate_entry",
        "vfs_fallocate",
        &[(0, "file")],
    )],
    &[VfsHook::exit(
        "resize_exit",
        "notify_change",
        &[(1, "dentry"), (2, "iattr")],
    )],
    &[VfsHook::entry(
        "resize_entry",
        "notify_change",
        &[(1, "dentry"), (2, "iattr")],
    )],
    &[VfsHook::exit(
        "rename_exit",
        "vfs_rename",
        &[(0, "renamedata")],
    )],
    &[VfsHook::entry(
        "rename_entry",
        "vfs_rename",
        &[(0, "renamedata")],
    )],
    &[VfsHook::exit(
        "rmdir_exit",
        "vfs_rmdir",
        &[(1, "inode"), (2, "dentry")],
    )],
    &[VfsHook::entry(
        "rmdir_entry",
        "vfs_rmdir",
        &[(1, "inode"), (2, "dentry")],
    )],
    &[VfsHook::exit(
        "link_exit",
        "vfs_link",
        &[(0, "dentry"), (2, "inode")],
    )],
    &[VfsHook::entry(
        "link_entry",
        "vfs_link",
        &[(0, "dentry"), (2, "inode")],
    )],
    &[VfsHook::exit(
        "unlink_exit",
        "vfs_unlink",
        &[(1, "inode"), (2, "dentry")],
    )],
    &[VfsHook::entry(
        "unlink_entry",
        "vfs_unlink",
        &[(1, "inode"), (2, "dentry")],
    )],
    &[
        VfsHook::entry("file_release", "__fput", &[(0, "file")]).with_again("file_release"),
        VfsHook::entry("file_release", "security_file_release", &[(0, "file")])
            .with_again("file_release"),
    ],
    &[
        VfsHook::entry("file_open", "security_file_open", &[(0, "file")])
            .with_again("file_open_again"),
    ],
];

/// Names of the functions that may be hooked.
pub fn functions() -> Vec<&'static str> {
    let mut names: Vec<_> = VFS_HOOKS
        .iter()
        .copied()
        .flatten()
        .map(|hook| hook.function)
        .collect();
    names.dedup();
    names
}

/// The hook of a group that fits the running kernel.
pub fn fitting<'f>(
    group: &'static [VfsHook],
    functions: &'f [Function],
) -> Option<(&'static VfsHook, &'f Function)> {
    group.iter().find_map(|hook| {
        let function = functions.iter().find(|function| hook.fits(function))?;
        Some((hook, function))
    })
}

/// Raw tracepoints of both backends: program, tracepoint. Those that end things come first, so that nothing
/// is begun unseen.
pub const PROCESS_HOOKS: [(&str, &str); 3] = [
    ("process_exit", "sched_process_exit"),
    ("process_exec", "sched_process_exec"),
    ("process_fork", "sched_process_fork"),
];

/// Raw tracepoints of the `tracepoint` backend.
pub const STATUS_HOOKS: [(&str, &str); 3] = [
    ("status_change", "inode_set_ctime_to_ts"),
    ("status_change", "ctime_ns_xchg"),
    ("status_change", "ctime_xchg_skip"),
];

/// System call tracepoints of the `tracepoint` backend: program, tracepoint; in the order of attachment, those that end things first.
pub const SYSCALL_HOOKS: [(&str, &str); 31] = [
    ("exit_pending", "sys_exit_unlink"),
    ("exit_pending", "sys_exit_unlinkat"),
    ("exit_pending", "sys_exit_rmdir"),
    ("exit_pending", "sys_exit_rename"),
    ("exit_pending", "sys_exit_renameat"),
    ("exit_pending", "sys_exit_renameat2"),
    ("exit_pending", "sys_exit_link"),
    ("exit_pending", "sys_exit_linkat"),
    ("exit_pending", "sys_exit_truncate"),
    ("exit_pending", "sys_exit_ftruncate"),
    ("exit_pending", "sys_exit_fallocate"),
    ("enter_unlink", "sys_enter_unlink"),
    ("enter_unlink", "sys_enter_unlinkat"),
    ("enter_unlink", "sys_enter_rmdir"),
    ("enter_rename", "sys_enter_rename"),
    ("enter_rename", "sys_enter_renameat"),
    ("enter_rename", "sys_enter_renameat2"),
    ("enter_link", "sys_enter_link"),
    ("enter_link", "sys_enter_linkat"),
    ("enter_truncate", "sys_enter_truncate"),
    ("enter_resize", "sys_enter_ftruncate"),
    ("enter_resize", "sys_enter_fallocate"),
    ("enter_close", "sys_enter_close"),
    ("exit_close_range", "sys_exit_close_range"),
    ("enter_dup", "sys_enter_dup2"),
    ("enter_dup", "sys_enter_dup3"),
    ("exit_open", "sys_exit_open"),
    ("exit_open", "sys_exit_creat"),
    ("exit_open", "sys_exit_openat"),
    ("exit_open", "sys_exit_openat2"),
    ("exit_open", "sys_exit_open_by_handle_at"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, parameters: &[&str]) -> Function {
        Function {
            name: name.to_owned(),
            id: 1,
            parameters: parameters
                .iter()
                .map(|&parameter| parameter.to_owned())
                .collect(),
        }
    }

    #[test]
    fn the_first_layout_that_fits_is_used() {
        let group = VFS_HOOKS[0];
        for (parameters, program) in [
            (
                &["mnt_idmap", "inode", "dentry", "", ""][..],
                Some("create_exit"),
            ),
            (
                &["mnt_idmap", "dentry", "", ""][..],
                Some("create_exit_late"),
            ),
            (&["dentry"][..], None),
        ] {
            let functions = [function("vfs_create", parameters)];
            let found = fitting(group, &functions).map(|(hook, _)| hook.program);
            assert_eq!(found, program, "{parameters:?}");
        }
        assert!(
            fitting(
                group,
                &[function("vfs_mknod", &["mnt_idmap", "inode", "dentry"])]
            )
            .is_none()
        );
    }
}
