//! As whom the command runs: the user who called sudo, or the one named.

use std::{ffi::CString, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::unistd::{Gid, Uid, User, geteuid, getgrouplist};

use super::options::UserName;

/// A user to become.
#[derive(Clone, Debug)]
pub struct Identity {
    /// User.
    pub uid: Uid,
    /// Primary group.
    pub gid: Gid,
    /// All groups.
    pub groups: Vec<Gid>,
    /// Login name.
    pub name: String,
    /// Home directory.
    pub home: PathBuf,
}

/// Who runs the command.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Whoever runs the agent.
    Own,
    /// Somebody else.
    Other(Identity),
}

/// Finds out from `--user`, else from sudo's variables, else stays as it is.
pub fn resolve(named: Option<&UserName>) -> Result<Credentials> {
    let user = match named {
        Some(UserName::Uid(uid)) => match User::from_uid(Uid::from_raw(*uid))? {
            Some(user) => user,
            None => return stranger(*uid),
        },
        Some(UserName::Name(name)) => {
            User::from_name(name)?.with_context(|| format!("there is no user {name}"))?
        }
        None => match caller()? {
            Some(user) => user,
            None => return Ok(Credentials::Own),
        },
    };
    if user.uid == geteuid() {
        return Ok(Credentials::Own);
    }
    if !geteuid().is_root() {
        bail!("only root can run the command as {}", user.name);
    }
    let name = CString::new(user.name.as_str()).context("odd user name")?;
    let groups = getgrouplist(&name, user.gid)
        .with_context(|| format!("cannot list the groups of {}", user.name))?;
    Ok(Credentials::Other(Identity {
        uid: user.uid,
        gid: user.gid,
        groups,
        name: user.name,
        home: user.dir,
    }))
}

/// A number that nobody has, as containers use them: the group of the same number and no other, and no home.
fn stranger(uid: u32) -> Result<Credentials> {
    if !geteuid().is_root() {
        bail!("only root can run the command as {uid}");
    }
    if uid == u32::MAX {
        bail!("the kernel knows no user with the number {uid}");
    }
    Ok(Credentials::Other(Identity {
        uid: Uid::from_raw(uid),
        gid: Gid::from_raw(uid),
        groups: Vec::new(),
        name: uid.to_string(),
        home: PathBuf::from("/"),
    }))
}

/// Who called sudo, if root runs by that.
pub(super) fn caller() -> Result<Option<User>> {
    let Some(uid) = std::env::var("SUDO_UID")
        .ok()
        .and_then(|uid| uid.parse().ok())
    else {
        return Ok(None);
    };
    if uid == 0 || !geteuid().is_root() {
        return Ok(None);
    }
    User::from_uid(Uid::from_raw(uid))
        .with_context(|| format!("cannot look up user {uid} of SUDO_UID"))
}
