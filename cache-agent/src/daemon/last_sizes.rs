//! What one run of the agent leaves to the next: the last size of each root, in one small file.
//!
//! Takes: the snapshot. Gives: the size a root had when an agent last watched it. Never: ends or stops the agent
//! because a disk is full, a file damaged or a directory not its own.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use rustix::{
    fs::{Mode, OFlags, openat, renameat},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::state_directory::StateDirectory;
use crate::model::printable::Shown;

/// Its name in the state directory.
const FILE_NAME: &str = "roots.json";
/// What is written before it takes that name.
const NEW_NAME: &str = "roots.json.new";
/// Form of the file.
const VERSION: u32 = 1;
/// Roots that are remembered; those of the present run first.
const ROOTS_MAX: usize = 1024;
/// So many roots, with the longest paths, take less.
const BYTES_MAX: u64 = 16 << 20;
/// Between two writes while sizes change.
const WRITE_INTERVAL: Duration = Duration::from_secs(3);

/// What is remembered of a root.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remembered {
    /// Where it is.
    pub path: PathBuf,
    /// Inode number of its directory: another one is another root. (Device numbers change from boot to boot.)
    pub inode: u64,
    /// Apparent size in bytes.
    pub bytes: u64,
    /// Regular files.
    pub files: u64,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    roots: Vec<Remembered>,
}

impl StateDirectory {
    fn read(&self) -> Result<Option<Vec<Remembered>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match openat(self.as_fd(), FILE_NAME, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut text = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut text)?;
        let Document { version, roots } = serde_json::from_slice(&text)?;
        if version != VERSION {
            bail!("version {version} is not known");
        }
        Ok(Some(roots))
    }

    /// Whole or not at all, as far as the agent's own end goes; a crash of the host may cost it.
    fn write(&self, roots: Vec<Remembered>) -> Result<()> {
        let version = VERSION;
        let text = serde_json::to_vec(&Document { version, roots })?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(self.as_fd(), NEW_NAME, flags, Mode::RUSR | Mode::WUSR)?;
        File::from(file).write_all(&text)?;
        Ok(renameat(self.as_fd(), NEW_NAME, self.as_fd(), FILE_NAME)?)
    }
}

/// The memory.
#[derive(Debug)]
pub(super) struct LastSizes {
    /// Of the last run, as far as not asked for yet.
    earlier: Vec<Remembered>,
    /// Of this run.
    now: Vec<Remembered>,
    is_changed: bool,
    next_write: Instant,
    /// Why it could not be written, told once.
    trouble: Option<String>,
}

impl LastSizes {
    /// What the last run left.
    pub(super) fn open(directory: Option<&StateDirectory>) -> Self {
        let earlier = directory.map_or(Ok(None), StateDirectory::read);
        let earlier = earlier.unwrap_or_else(|error| {
            let error = format!("{error:#}");
            tracing::warn!(
                error,
                "the sizes of the last run cannot be read; changes since then are not known"
            );
            Some(Vec::new())
        });
        if directory.is_some() && earlier.is_none() {
            tracing::info!("no sizes of an earlier run; changes before this start are not known");
        }
        Self {
            earlier: earlier.unwrap_or_default(),
            now: Vec::new(),
            is_changed: false,
            next_write: Instant::now(),
            trouble: None,
        }
    }

    /// What was remembered of a root that is taken up; later it is what this run says.
    pub(super) fn recall(&mut self, path: &Path, inode: u64) -> Option<Remembered> {
        let at = self.earlier.iter().position(|root| root.path == path)?;
        let found = self.earlier.swap_remove(at);
        if found.inode == inode {
            return Some(found);
        }
        tracing::info!(
            path = %Shown::path(path),
            "another directory than in the last run; what changed since then is not known"
        );
        None
    }

    /// Notes how the roots are now. Those of the last run that nobody asked for yet stay.
    pub(super) fn note(&mut self, watched: Vec<Remembered>) {
        if self.now != watched {
            self.now = watched;
            self.is_changed = true;
        }
    }

    /// When it is to be written, if anything changed.
    pub(super) fn due(&self) -> Option<Instant> {
        self.is_changed.then_some(self.next_write)
    }

    /// Writes what changed, in its time.
    pub(super) fn write_if_due(&mut self, directory: Option<&StateDirectory>) {
        if self.due().is_some_and(|due| due <= Instant::now()) {
            self.write(directory);
        }
    }

    /// Writes what changed. Trouble is told once, and tried again later.
    pub(super) fn write(&mut self, directory: Option<&StateDirectory>) {
        let Some(directory) = directory.filter(|_| self.is_changed) else {
            return;
        };
        self.next_write = Instant::now() + WRITE_INTERVAL;
        let roots = self.now.iter().chain(&self.earlier).filter(|root| {
            // What JSON cannot spell is left out: it would cost the others their place.
            root.path.to_str().is_some()
        });
        let outcome = directory.write(roots.take(ROOTS_MAX).cloned().collect());
        self.is_changed = outcome.is_err();
        let trouble = outcome.err().map(|error| format!("{error:#}"));
        if let Some(error) = trouble.as_ref().filter(|_| trouble != self.trouble) {
            tracing::warn!(error, "the sizes of the roots cannot be remembered");
        }
        self.trouble = trouble;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(path: &str, inode: u64, bytes: u64) -> Remembered {
        let path = path.into();
        Remembered {
            path,
            inode,
            bytes,
            files: 1,
        }
    }

    fn reopened(path: &Path) -> (LastSizes, StateDirectory) {
        let directory = StateDirectory::open(path).unwrap();
        (LastSizes::open(Some(&directory)), directory)
    }

    #[test]
    fn the_next_run_gets_what_was_noted_and_what_nobody_asked_for() {
        let state = tempfile::tempdir().unwrap();
        let (mut memory, directory) = reopened(state.path());
        memory.note(vec![root("/a", 1, 10), root("/b", 2, 20)]);
        memory.write_if_due(Some(&directory));
        drop(directory);
        let (mut memory, directory) = reopened(state.path());
        assert_eq!(memory.recall(Path::new("/a"), 1), Some(root("/a", 1, 10)));
        assert_eq!(memory.recall(Path::new("/a"), 1), None);
        memory.note(vec![root("/a", 1, 11)]);
        memory.write(Some(&directory));
        drop(directory);
        let (mut memory, _directory) = reopened(state.path());
        assert_eq!(memory.recall(Path::new("/a"), 7), None);
        assert_eq!(memory.recall(Path::new("/b"), 2), Some(root("/b", 2, 20)));
    }

    #[test]
    fn damage_and_absence_are_as_good_as_nothing() {
        for text in ["", "{", "[]", "{\"version\":2,\"roots\":[]}", "\0\0"] {
            let state = tempfile::tempdir().unwrap();
            std::fs::write(state.path().join(FILE_NAME), text).unwrap();
            let (mut memory, _directory) = reopened(state.path());
            assert_eq!(memory.recall(Path::new("/a"), 1), None, "{text}");
        }
        assert_eq!(LastSizes::open(None).recall(Path::new("/a"), 1), None);
    }

    #[test]
    fn a_state_directory_has_one_agent() {
        let state = tempfile::tempdir().unwrap();
        let first = StateDirectory::open(state.path()).unwrap();
        let second = StateDirectory::open(state.path());
        assert!(second.unwrap_err().to_string().contains("another agent"));
        drop(first);
        StateDirectory::open(state.path()).unwrap();
    }
}
