//! The roots of one command: those given, or those its `go` commands would use. What does not exist yet is
//! made beforehand, by the command's user, so that the first byte is seen; what stays empty goes again.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use super::{command::become_user, user::Credentials};
use crate::{
    go::{env, recognise::recognise},
    model::root::RootKind,
};

/// A root of the command.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub kind: RootKind,
}

/// All roots of the command.
#[derive(Debug)]
pub struct Places {
    places: Vec<Place>,
    /// Directories made for it, outermost first.
    made: Vec<PathBuf>,
}

impl Places {
    /// Finds the roots and makes those that are missing.
    pub fn prepare(given: &[PathBuf], run_as: &Credentials) -> Result<Self> {
        let mut places = if given.is_empty() {
            of_go(run_as)
        } else {
            given
                .iter()
                .map(|path| Place {
                    path: path.clone(),
                    kind: RootKind::Other,
                })
                .collect()
        };
        if places.is_empty() {
            bail!(
                "no cache to watch: neither GOCACHE nor GOMODCACHE can be located; name a directory with --root"
            );
        }
        let mut made = Vec::new();
        for place in &mut places {
            make(&place.path, run_as, &mut made);
            if !given.is_empty() {
                place.kind = recognise(&place.path);
            }
        }
        Ok(Self { places, made })
    }

    /// The roots.
    pub fn list(&self) -> &[Place] {
        &self.places
    }

    /// Removes again what was made and stayed empty.
    pub fn clean(&self, run_as: &Credentials) {
        for path in self.made.iter().rev() {
            as_user("rmdir", path, run_as);
        }
    }
}

/// GOCACHE and GOMODCACHE as a `go` command with the command's environment locates them.
fn of_go(run_as: &Credentials) -> Vec<Place> {
    let mut environment: HashMap<_, _> = std::env::vars_os().collect();
    if let Credentials::Other(identity) = run_as {
        environment.insert("HOME".into(), identity.home.clone().into());
    }
    let found = env::for_command(&environment);
    for missing in &found.missing {
        tracing::debug!(?missing, "no root");
    }
    found
        .roots
        .into_iter()
        .map(|root| Place {
            path: root.path,
            kind: root.kind,
        })
        .collect()
}

/// Makes the missing part of a path as the command would, one directory at a time.
fn make(path: &Path, run_as: &Credentials, made: &mut Vec<PathBuf>) {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|ancestor| ancestor.symlink_metadata().is_err())
        .collect();
    for directory in missing.into_iter().rev() {
        if !as_user("mkdir", directory, run_as) {
            return;
        }
        made.push(directory.to_path_buf());
    }
}

/// A directory is made or removed with the rights of its owner: root would follow a hostile link.
fn as_user(program: &str, path: &Path, run_as: &Credentials) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    become_user(&mut command, run_as);
    command.status().is_ok_and(|status| status.success())
}
