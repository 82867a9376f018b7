//! Becoming another user in a child, with all its groups (std drops the supplementary ones).

use std::{os::unix::process::CommandExt as _, process::Command};

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

/// Makes `command` run as this user.
#[expect(unsafe_code, reason = "pre_exec has no safe form")]
pub(crate) fn set(command: &mut Command, uid: Uid, gid: Gid, groups: Vec<Gid>) {
    let change = move || {
        setgroups(&groups)?;
        setgid(gid)?;
        setuid(uid)?;
        Ok(())
    };
    // SAFETY: between fork and exec only these three system calls run; nothing allocates or locks.
    unsafe { command.pre_exec(change) };
}
