//! The state directory: opened without following links, and this agent's own as long as it runs.

use std::{os::fd::OwnedFd, path::Path};

use anyhow::{Context as _, Result, bail};
use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, open},
    io::Errno,
};

use crate::{model::printable::Shown, store::files};

/// The state directory, this agent's own as long as it runs.
#[derive(Debug)]
pub(super) struct StateDirectory(OwnedFd);

impl StateDirectory {
    /// Makes it if it is not there, and keeps other agents from it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let path = files::prepare(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = open(&path, flags, Mode::empty())
            .with_context(|| format!("cannot open {}", Shown::path(&path)))?;
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(directory)),
            Err(Errno::WOULDBLOCK) => bail!("another agent uses {}", Shown::path(&path)),
            Err(error) => Err(error).with_context(|| format!("cannot lock {}", Shown::path(&path))),
        }
    }

    /// It, or nothing, which is told: an agent can do without.
    pub(super) fn open_or_log(path: &Path) -> Option<Self> {
        let outcome = Self::open(path);
        if let Err(error) = &outcome {
            let error = format!("{error:#}");
            tracing::warn!(
                error,
                "nothing is kept for the next run, and no canary runs"
            );
        }
        outcome.ok()
    }

    /// Its descriptor.
    pub(super) fn as_fd(&self) -> &OwnedFd {
        &self.0
    }
}
