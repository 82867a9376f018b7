//! Directories watched for roots that come and go: inotify on the nearest ones that exist.

use std::{
    collections::{HashMap, HashSet},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// What can make a root come or go.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// The watched directories.
#[derive(Debug)]
pub struct Vantage {
    inotify: OwnedFd,
    points: HashMap<PathBuf, i32>,
}

impl Vantage {
    /// Watches nothing yet.
    pub fn new() -> Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .context("cannot use inotify")?;
        Ok(Self {
            inotify,
            points: HashMap::new(),
        })
    }

    /// Watches exactly these directories.
    pub fn stand_on(&mut self, wanted: &HashSet<PathBuf>) {
        let inotify = &self.inotify;
        self.points.retain(|path, watch| {
            let stays = wanted.contains(path);
            if !stays && let Err(error) = inotify::remove_watch(inotify, *watch) {
                // The directory went and took its watch along.
                tracing::debug!(path = %path.display(), %error, "watch was gone");
            }
            stays
        });
        for path in wanted {
            match inotify::add_watch(inotify, path.as_path(), CHANGES) {
                Ok(watch) => drop(self.points.insert(path.clone(), watch)),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot watch for roots that appear")
                }
            }
        }
    }

    /// True if something happened since the last time.
    pub fn saw_something(&mut self) -> bool {
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut room);
        let mut saw = false;
        while reader.next().is_ok() {
            saw = true;
        }
        saw
    }
}

impl AsFd for Vantage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
