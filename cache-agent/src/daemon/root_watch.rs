//! Directories watched for roots that come and go: inotify on the nearest ones that exist.

use std::{
    collections::{HashMap, HashSet},
    ffi::{OsStr, OsString},
    fs::File,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::{
    event::{PollFd, PollFlags},
    fs::inotify::{self, CreateFlags, WatchFlags},
};

use crate::{ledger::directory::Marks, model::printable::Shown};

/// What can make a root come or go.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Descriptors that tell of roots and mounts.
pub(super) const BELLS: usize = 3;

/// Between two times that the roots are looked after.
const REST: Duration = Duration::from_millis(200);

/// The watched directories.
#[derive(Debug)]
pub(super) struct RootWatch {
    inotify: OwnedFd,
    /// Of roots on mounts of their own.
    pub(super) marks: Marks,
    /// Tells when anything is mounted or unmounted.
    mounts: File,
    points: HashMap<PathBuf, Point>,
    /// Those that cannot be watched, which has been logged.
    refused: HashSet<PathBuf>,
    alarmed: bool,
    rests_until: Option<Instant>,
}

/// A watched directory and the names in it that lead to a root.
#[derive(Debug)]
struct Point {
    watch: i32,
    names: HashSet<OsString>,
}

impl RootWatch {
    /// Watches nothing yet.
    pub(super) fn new() -> Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .context("cannot use inotify")?;
        let mounts = File::open("/proc/self/mountinfo").context("cannot read the mounts")?;
        Ok(Self {
            inotify,
            marks: Marks::new()?,
            mounts,
            points: HashMap::new(),
            refused: HashSet::new(),
            alarmed: false,
            rests_until: None,
        })
    }

    /// Watches exactly these directories, each for these names.
    pub(super) fn watch(&mut self, wanted: HashMap<PathBuf, HashSet<OsString>>) {
        let inotify = &self.inotify;
        self.points.retain(|path, point| {
            let stays = wanted.contains_key(path);
            if !stays && let Err(error) = inotify::remove_watch(inotify, point.watch) {
                // The directory went and took its watch along.
                tracing::debug!(path = %Shown::path(path), %error, "watch was gone");
            }
            stays
        });
        self.refused.retain(|path| wanted.contains_key(path));
        for (path, names) in wanted {
            match inotify::add_watch(inotify, path.as_path(), CHANGES) {
                Ok(watch) => {
                    self.refused.remove(&path);
                    self.points.insert(path, Point { watch, names });
                }
                Err(error) => {
                    if !self.refused.contains(&path) {
                        tracing::warn!(path = %Shown::path(&path), %error, "cannot watch for roots that appear");
                        self.refused.insert(path);
                    }
                }
            }
        }
    }

    /// Reads what happened; most of it concerns no root.
    pub(super) fn look(&mut self) {
        self.alarmed |= self.marks.look();
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut room);
        while let Ok(event) = reader.next() {
            let Some(name) = event.file_name() else {
                self.alarmed = true;
                continue;
            };
            let name = OsStr::from_bytes(name.to_bytes());
            let concerns = |point: &Point| point.watch == event.wd() && point.names.contains(name);
            self.alarmed |= self.points.values().any(concerns);
        }
    }

    /// True when a root may have come or gone.
    pub(super) fn has_changes(&self) -> bool {
        self.alarmed
    }

    /// How long nobody is to be woken for that: a user who makes and removes a directory in a loop takes no more
    /// time than this leaves him.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        let until = self.rests_until?;
        Some(until.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    /// The roots have been looked after.
    pub(super) fn clear(&mut self, now: Instant) {
        self.alarmed = false;
        self.rests_until = Some(now + REST);
    }

    /// A root is not what it was, of which no directory tells.
    pub(super) fn alarm(&mut self) {
        self.alarmed = true;
    }
}

impl RootWatch {
    /// What is to be waited for: directories, marks, mounts.
    pub(super) fn bells(&self) -> [PollFd<'_>; BELLS] {
        [
            PollFd::new(&self.inotify, PollFlags::IN),
            PollFd::new(&self.marks, PollFlags::IN),
            PollFd::new(&self.mounts, PollFlags::PRI),
        ]
    }

    /// The last of these rang, or not: that something was mounted is told only once.
    pub(super) fn rang(&mut self, mounts: PollFlags) {
        self.alarmed |= !mounts.is_empty();
        self.look();
    }
}
