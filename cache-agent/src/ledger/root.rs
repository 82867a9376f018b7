//! One watched directory: who it is to the kernel, and the figures everything else is counted from.

use std::{
    collections::{HashMap, HashSet},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, anyhow};
use cache_ebpf::InodeKey;
use rustix::{
    fs::{Mode, open},
    io::Errno,
};

use super::{
    directory::{Directory, FLAGS, Marks},
    pseudo::refuse_pseudo,
    walk::Walk,
    walkers::Walked,
};
use crate::{
    kernel::session::Registered,
    model::{changes::Changes, printable::Shown},
};

/// A figure of the disk and the kernel's total at the same moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Base {
    /// Apparent size.
    pub bytes: u64,
    /// Regular files.
    pub files: u64,
    /// Allocated bytes.
    pub disk_bytes: u64,
    /// The kernel's total for the root.
    pub total: Changes,
}

impl Base {
    /// Counts from nothing instead: what was there before the first event, which is not all that the walk found,
    /// as what came during the walk is in the total already.
    fn take_initial_content(&mut self) -> Changes {
        let Self {
            bytes,
            files,
            total,
            disk_bytes,
        } = std::mem::take(self);
        self.disk_bytes = disk_bytes;
        let signed = |value: u64| value.cast_signed();
        let came = signed(total.files_created) - signed(total.files_deleted);
        Changes {
            growth_bytes: signed(bytes) - total.growth_bytes,
            files_created: files.saturating_add_signed(came.wrapping_neg()),
            ..Changes::default()
        }
    }

    /// What was there when the root was registered.
    #[must_use]
    pub fn initial(mut self) -> Self {
        let before = self.take_initial_content();
        Self {
            bytes: 0_u64.saturating_add_signed(before.growth_bytes),
            files: before.files_created,
            ..self
        }
    }
}

/// Latest known sizes of files that changed while a walk is under way; `None` for those that left.
pub type Recorder = HashMap<InodeKey, Option<u64>>;

/// Files that came to be, or came in, while a walk is under way.
pub type Arrivals = HashSet<InodeKey>;

/// A walk that waits for its turn, is under way, or is done.
#[derive(Debug)]
pub struct RunningWalk {
    /// As the walkers call it.
    pub ticket: u64,
    /// What it found, once it is done.
    pub done: Option<Walked>,
    /// Events dropped when it began: a later loss makes it worthless.
    pub dropped_before: u64,
    /// What changed since.
    pub recorder: Recorder,
    /// What came since.
    pub arrivals: Arrivals,
}

#[cfg(test)]
impl RunningWalk {
    /// It has ended with this error.
    pub(crate) fn fail(&mut self, error: Errno) {
        self.done = Some(Walked {
            ticket: self.ticket,
            walk: Err(error),
            duration: Duration::ZERO,
        });
        // What the walker finds is nobody's.
        self.ticket = 0;
    }
}

/// A finished walk and what changed while it ran.
#[derive(Debug)]
pub struct FinishedWalk {
    /// What it found.
    pub walk: Walk,
    /// How long it took.
    pub duration: Duration,
    /// What changed meanwhile.
    pub recorder: Recorder,
    /// What came meanwhile.
    pub arrivals: Arrivals,
    /// Events dropped when it began.
    pub dropped_before: u64,
}

impl FinishedWalk {
    /// Where nobody tells of names that go: a file that changed, but is not there any more, does not count.
    pub fn forget_departed(&mut self) {
        let found: HashSet<u64> = self.walk.files.iter().map(|file| file.ino).collect();
        let arrivals = &self.arrivals;
        self.recorder.retain(|key, size| {
            size.is_none() || found.contains(&key.ino) || arrivals.contains(key)
        });
    }
}

/// What came or went with directories that several processes moved: nobody can tell with which.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ambiguous {
    /// Net growth, in bytes, in nobody's account.
    pub growth_bytes: i64,
    /// Processes that moved directories at the same time, the most there were.
    pub movers: usize,
}

/// Directories of a root that a walk left out, and what they hold with them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LeftOut {
    /// They could not be read.
    pub unreadable: u64,
    /// Too many levels below the top.
    pub too_deep: u64,
}

/// A registered root.
#[derive(Debug)]
pub struct WatchedRoot {
    /// Its number on the kernel side.
    pub index: u32,
    /// Where it was opened.
    pub path: PathBuf,
    /// Its identity in the kernel.
    pub key: InodeKey,
    /// What the kernel side calls it.
    pub registered: Registered,
    directory: Arc<Directory>,
    /// The present base; `None` until the first walk is done.
    pub base: Option<Base>,
    /// The walk under way.
    pub walk: Option<RunningWalk>,
    /// Bytes by which walks corrected the ledger, into nobody's account.
    pub corrected: Changes,
    /// Drift found by the last walk, in bytes.
    pub drift_bytes: i64,
    /// Duration of the last walk.
    pub walk_duration: Duration,
    /// Directories that it left out because they could not be read, or were too deep.
    pub left_out: LeftOut,
    /// Walks that had to be repeated.
    pub repeated: u32,
    /// What an earlier run left: the first sure walk is compared with it.
    pub recalled: Option<Base>,
    /// Events were lost under the walk that gave the base: the next one replaces it, without a drift.
    pub is_base_unsure: bool,
    /// The last walk found a drift: another one has been started to see whether it is true.
    pub is_doubted: bool,
    /// The total as the events told it so far: what the recorder of a walk agrees with.
    pub reported: Changes,
    /// What of nobody's account several processes may have moved.
    pub ambiguous: Ambiguous,
    /// Crossings measured since the last walk.
    pub measured: u64,
}

/// Opens a directory that is to become a root; says in one sentence why it cannot.
pub fn open_directory(path: &Path) -> Result<OwnedFd> {
    let opened = open(path, FLAGS, Mode::empty()).map_err(|error| {
        let shown = Shown::path(path);
        match error {
            Errno::NOTDIR => anyhow!("root {shown} is not a directory"),
            Errno::LOOP => anyhow!("root {shown} is a loop of symbolic links"),
            Errno::NOENT if path.is_symlink() => {
                anyhow!("root {shown} is a link to what does not exist")
            }
            Errno::NOENT => anyhow!("root {shown} does not exist"),
            other => anyhow::Error::new(other).context(format!("cannot open root {shown}")),
        }
    })?;
    refuse_pseudo(path, opened.as_fd())?;
    Ok(opened)
}

impl WatchedRoot {
    /// A root that has just been registered.
    pub fn new(index: u32, path: PathBuf, registered: Registered, directory: OwnedFd) -> Self {
        Self {
            index,
            path,
            key: registered.key,
            registered,
            directory: Arc::new(Directory::Open(directory)),
            base: None,
            walk: None,
            corrected: Changes::default(),
            drift_bytes: 0,
            walk_duration: Duration::ZERO,
            left_out: LeftOut::default(),
            repeated: 0,
            reported: Changes::default(),
            recalled: None,
            is_base_unsure: false,
            is_doubted: false,
            ambiguous: Ambiguous::default(),
            measured: 0,
        }
    }

    /// The directory.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Holds it in a way that keeps no mount busy, if it is on one of its own.
    pub fn let_mount_go(&mut self, marks: &mut Marks) {
        let Directory::Open(open) = &*self.directory else {
            return;
        };
        if let Some(marked) = marks.hold(&self.path, open) {
            self.directory = Arc::new(marked);
        }
    }

    /// Size and files when an agent last watched it.
    pub fn recall(&mut self, bytes: u64, files: u64) {
        self.recalled = Some(Base {
            bytes,
            files,
            ..Base::default()
        });
    }

    /// Size and files to be recalled: what was recalled stays until a sure walk has been compared with it.
    pub fn for_the_next_run(&self, total: &Changes) -> Option<(u64, u64)> {
        if self.base.is_some() && !self.is_base_unsure {
            return Some((self.size(total), self.files(total)));
        }
        self.recalled.map(|base| (base.bytes, base.files))
    }

    /// True while its path still leads to the same directory.
    pub fn is_in_place(&self) -> bool {
        self.directory.is_at(&self.path)
    }

    /// True while the directory itself exists, wherever it is.
    pub fn exists(&self) -> bool {
        self.directory.exists()
    }

    /// What was there before it was watched is told to have come since: so much, so many files.
    pub fn take_initial_content(&mut self) -> Option<Changes> {
        self.base.as_mut().map(Base::take_initial_content)
    }

    /// A walk of it has been handed over.
    pub fn walk_started(&mut self, ticket: u64, dropped_before: u64) {
        self.walk = Some(RunningWalk {
            ticket,
            done: None,
            dropped_before,
            recorder: Recorder::new(),
            arrivals: Arrivals::new(),
        });
    }

    /// True when the walk under way has seen everything.
    pub fn walk_finished(&self) -> bool {
        self.walk.as_ref().is_some_and(|walk| walk.done.is_some())
    }

    /// The walk under way if it has finished; why it could not be done, if it could not.
    pub fn finish_walk(&mut self) -> Option<Result<FinishedWalk, Errno>> {
        let Some(RunningWalk {
            done: Some(Walked { walk, duration, .. }),
            dropped_before,
            recorder,
            arrivals,
            ..
        }) = self.walk.take_if(|walk| walk.done.is_some())
        else {
            return None;
        };
        Some(walk.map(|walk| FinishedWalk {
            walk,
            duration,
            recorder,
            arrivals,
            dropped_before,
        }))
    }

    /// Size by the ledger: the base and what the kernel counted since.
    pub fn size(&self, total: &Changes) -> u64 {
        let Some(base) = &self.base else { return 0 };
        let growth = total.growth_bytes.wrapping_sub(base.total.growth_bytes);
        base.bytes.saturating_add_signed(growth)
    }

    /// Files by the ledger.
    pub fn files(&self, total: &Changes) -> u64 {
        let Some(base) = &self.base else { return 0 };
        let created = total.files_created.wrapping_sub(base.total.files_created);
        let deleted = total.files_deleted.wrapping_sub(base.total.files_deleted);
        (base.files + created).saturating_sub(deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_during_the_first_walk_was_not_there_before() {
        let mut base = Base {
            bytes: 100,
            files: 5,
            disk_bytes: 4096,
            total: Changes {
                growth_bytes: 30,
                files_created: 3,
                files_deleted: 1,
                ..Changes::default()
            },
        };
        let before = base.take_initial_content();
        assert_eq!((before.growth_bytes, before.files_created), (70, 3));
        assert_eq!((base.bytes, base.files, base.disk_bytes), (0, 0, 4096));
        assert_eq!(base.total, Changes::default());
    }
}
