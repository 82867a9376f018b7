//! The directory of a root: held open, or only by its inode where a descriptor would keep a file system mounted.
//!
//! The kernel side knows a root by the address of its inode, which must stay in memory. A descriptor keeps it there,
//! and its mount busy; an inotify watch keeps it there until its file system goes, and says so.

use std::{
    collections::HashMap,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, Result};
use rustix::{
    fs::{
        AtFlags, CWD, Mode, OFlags, StatxFlags, fstat,
        inotify::{self, CreateFlags, ReadFlags, WatchFlags},
        stat, statx,
    },
    io::Errno,
};

use crate::sys::file_id::{FileId, file_id};

/// What is told of a marked directory besides the end of its file system.
const CHANGES: WatchFlags = WatchFlags::DELETE_SELF
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// How a directory is opened that is to be walked.
pub(super) const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

/// A directory that is a root.
#[derive(Debug)]
pub enum Directory {
    /// Held open.
    Open(OwnedFd),
    /// Found again by its path.
    Marked {
        /// Where.
        path: PathBuf,
        /// What must be there.
        identity: FileId,
        /// What keeps its inode.
        mark: Mark,
    },
}

/// An inotify watch that keeps an inode in memory.
#[derive(Debug)]
pub struct Mark {
    inotify: Arc<OwnedFd>,
    watch: i32,
    is_gone: Arc<AtomicBool>,
}

/// A directory at hand, for a moment if it is a marked one.
#[derive(Debug)]
pub enum Opened<'a> {
    /// It is held.
    Held(BorrowedFd<'a>),
    /// It was opened for this.
    Own(OwnedFd),
}

impl AsFd for Opened<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Held(held) => *held,
            Self::Own(own) => own.as_fd(),
        }
    }
}

impl Directory {
    /// The directory at hand; an error if it is not at its path any more.
    pub fn open(&self) -> rustix::io::Result<Opened<'_>> {
        match self {
            Self::Open(held) => Ok(Opened::Held(held.as_fd())),
            Self::Marked {
                path,
                identity,
                mark,
            } => {
                let found = rustix::fs::open(path, FLAGS, Mode::empty())?;
                let is_it = !mark.is_gone() && file_id(&found) == Some(*identity);
                is_it.then_some(Opened::Own(found)).ok_or(Errno::STALE)
            }
        }
    }

    /// The same to be given away.
    pub fn reopen(&self) -> rustix::io::Result<OwnedFd> {
        match self.open()? {
            Opened::Held(held) => rustix::io::fcntl_dupfd_cloexec(held, 0),
            Opened::Own(own) => Ok(own),
        }
    }

    /// Who it is, whether or not it can be found.
    pub fn identity(&self) -> Option<FileId> {
        match self {
            Self::Open(held) => file_id(held),
            Self::Marked { identity, .. } => Some(*identity),
        }
    }

    /// True while this path leads to it.
    pub fn is_at(&self, path: &Path) -> bool {
        let there = stat(path).ok().map(|found| (found.st_dev, found.st_ino));
        let is_gone = matches!(self, Self::Marked { mark, .. } if mark.is_gone());
        !is_gone && there.is_some() && there == self.identity()
    }

    /// True while it exists, as far as can be told.
    pub fn exists(&self) -> bool {
        match self {
            Self::Open(held) => fstat(held).is_ok_and(|found| found.st_nlink > 0),
            Self::Marked { path, .. } => self.is_at(path),
        }
    }
}

impl Mark {
    fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if let Err(error) = inotify::remove_watch(&self.inotify, self.watch) {
            // Its file system went and took it along.
            tracing::debug!(%error, "mark was gone");
        }
    }
}

/// The marks of all roots.
#[derive(Debug)]
pub struct Marks {
    inotify: Arc<OwnedFd>,
    known: HashMap<i32, Arc<AtomicBool>>,
}

impl Marks {
    /// None yet.
    pub fn new() -> Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        Ok(Self {
            inotify: Arc::new(inotify.context("cannot use inotify")?),
            known: HashMap::new(),
        })
    }

    /// Holds a directory by a mark; `None` where a descriptor does no harm, or a mark cannot be had.
    pub fn hold(&mut self, path: &Path, directory: impl AsFd) -> Option<Directory> {
        if !is_on_own_mount(&directory) {
            return None;
        }
        let identity = file_id(&directory)?;
        let directory = directory.as_fd();
        let opened = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&directory)
        );
        let watch = inotify::add_watch(&self.inotify, opened, CHANGES).ok()?;
        let is_gone = Arc::new(AtomicBool::new(false));
        self.known.insert(watch, Arc::clone(&is_gone));
        Some(Directory::Marked {
            path: path.to_path_buf(),
            identity,
            mark: Mark {
                inotify: Arc::clone(&self.inotify),
                watch,
                is_gone,
            },
        })
    }

    /// Takes what happened; true if a directory may have gone.
    pub fn look(&mut self) -> bool {
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut room);
        let mut has_changes = false;
        while let Ok(event) = reader.next() {
            has_changes = true;
            if event.events().contains(ReadFlags::IGNORED)
                && let Some(is_gone) = self.known.remove(&event.wd())
            {
                is_gone.store(true, Ordering::Relaxed);
            }
        }
        has_changes
    }
}

impl AsFd for Marks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// It is on another mount than the root directory, and so may be unmounted while the agent runs.
fn is_on_own_mount(directory: impl AsFd) -> bool {
    let flags = StatxFlags::MNT_ID;
    let own = statx(directory, "", AtFlags::EMPTY_PATH, flags);
    let top = statx(CWD, "/", AtFlags::empty(), flags);
    match (own, top) {
        (Ok(own), Ok(top)) => own.stx_mnt_id != top.stx_mnt_id,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mount of its own wherever there is one.
    const SHARED_MEMORY: &str = "/dev/shm";

    #[test]
    fn a_marked_directory_is_found_by_its_path_until_it_goes() {
        let top = tempfile::tempdir_in(SHARED_MEMORY).unwrap();
        let place = top.path().join("root");
        std::fs::create_dir(&place).unwrap();
        let open = rustix::fs::open(&place, FLAGS, Mode::empty()).unwrap();
        let mut marks = Marks::new().unwrap();
        let marked = marks.hold(&place, &open);
        assert_eq!(marked.is_some(), is_on_own_mount(&open));
        let Some(marked) = marked else {
            return;
        };
        let held = Directory::Open(open);
        assert_eq!(marked.identity(), held.identity());
        assert!(marked.is_at(&place) && marked.exists() && !marks.look());
        assert_eq!(file_id(marked.open().unwrap()), held.identity());
        drop(held);
        std::fs::remove_dir(&place).unwrap();
        std::fs::create_dir(&place).unwrap();
        assert!(marks.look());
        assert!(!marked.is_at(&place) && !marked.exists());
        assert_eq!(marked.reopen().unwrap_err(), Errno::STALE);
    }

    #[test]
    fn what_cannot_be_unmounted_is_held_open() {
        let top = rustix::fs::open("/", FLAGS, Mode::empty()).unwrap();
        let mut marks = Marks::new().unwrap();
        assert!(marks.hold(Path::new("/"), &top).is_none());
    }
}
