//! Caches that a running go command names: its tools carry the paths in their environment, and what a path
//! means is decided in the mount namespace of the process that uses it.

use std::{
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use cache_ebpf::ProcessKey;
use rustix::fs::{AtFlags, StatxFlags, statx};

use super::namespaces;
use crate::{
    go::variables::Variables,
    model::root::RootKind,
    sys::{
        file_id::file_id,
        openat::{self, Links},
        procfs::Process,
    },
};

/// The variables that name caches.
const NAMES: [(&str, RootKind); 2] = [
    ("GOCACHE", RootKind::GoBuild),
    ("GOMODCACHE", RootKind::GoMod),
];

/// File systems date by a clock that stands still between two ticks of the kernel: at most so long.
const STANDSTILL: Duration = Duration::from_millis(10);

/// A go command and what its tools say of its caches.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The command.
    pub process: ProcessKey,
    /// Its user.
    pub uid: u32,
    /// When it started, in milliseconds since the epoch.
    pub start_ms: i64,
    /// Caches by kind, as the command spells them.
    pub caches: Vec<(RootKind, PathBuf)>,
}

/// A cache that was found where the command sees it.
#[derive(Debug)]
pub struct CacheInUse {
    /// What.
    pub kind: RootKind,
    /// Where, as the command sees it.
    pub path: PathBuf,
    /// The directory itself.
    pub directory: OwnedFd,
    /// The agent sees the same directory at that path.
    pub is_in_view: bool,
    /// Nothing was written there before the command started.
    pub is_new: bool,
    /// Mount namespace of the command.
    pub namespace: u64,
}

impl Sighting {
    /// What variables of a tool say.
    pub fn of(process: ProcessKey, uid: u32, start_ms: i64, told: &Variables) -> Self {
        let caches = NAMES.iter().filter_map(|(name, kind)| {
            let path = PathBuf::from(told.get(name)?);
            path.is_absolute().then_some((*kind, path))
        });
        Self {
            process,
            uid,
            start_ms,
            caches: caches.collect(),
        }
    }

    /// Finds the directories, while the process lives.
    pub fn look(&self) -> Vec<CacheInUse> {
        // A number used again would show another one's files.
        let process = Process::of(&self.process);
        let Some(root) = process.and_then(|process| process.directory("root")) else {
            return Vec::new();
        };
        let Some(namespace) = namespaces::of(self.process.tgid) else {
            return Vec::new();
        };
        let caches = self.caches.iter();
        let found = caches.filter_map(|(kind, path)| {
            let directory = openat::directory(&root, path, Links::InRoot)?;
            self.judge(directory, *kind, path, namespace)
        });
        found.collect()
    }

    fn judge(
        &self,
        directory: OwnedFd,
        kind: RootKind,
        path: &Path,
        namespace: u64,
    ) -> Option<CacheInUse> {
        let found = file_id(&directory)?;
        let seen = std::fs::metadata(path).ok();
        let is_in_view = seen.is_some_and(|seen| (seen.dev(), seen.ino()) == found);
        Some(CacheInUse {
            kind,
            path: path.to_owned(),
            is_in_view,
            is_new: is_born_since(directory.as_fd(), self.start_ms),
            directory,
            namespace,
        })
    }
}

/// True where the directory was made no earlier than this, in milliseconds since the epoch.
pub(crate) fn is_born_since(directory: BorrowedFd<'_>, start_ms: i64) -> bool {
    let Ok(started) = u64::try_from(start_ms) else {
        return false;
    };
    let started = SystemTime::UNIX_EPOCH + Duration::from_millis(started);
    birth(directory).is_some_and(|born| born + STANDSTILL >= started)
}

/// When the directory was made; not every file system knows.
pub(crate) fn birth(directory: BorrowedFd<'_>) -> Option<SystemTime> {
    let found = statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok()?;
    if found.stx_mask & StatxFlags::BTIME.bits() == 0 {
        return None;
    }
    let seconds = u64::try_from(found.stx_btime.tv_sec).ok()?;
    let at = Duration::new(seconds, found.stx_btime.tv_nsec);
    Some(SystemTime::UNIX_EPOCH + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_found_where_the_process_sees_them() {
        let pid = std::process::id();
        let stat = Process::numbered(pid).unwrap().stat().unwrap();
        let process = ProcessKey {
            start_ns: stat.start_ns,
            tgid: pid,
            pad: 0,
        };
        let cache = tempfile::tempdir().unwrap();
        let path = cache.path().canonicalize().unwrap();
        let told = Variables::from([
            ("GOCACHE", path.to_string_lossy().into_owned()),
            ("GOMODCACHE", "relative".to_owned()),
        ]);
        let sighting = Sighting::of(process, 0, 0, &told);
        let found = sighting.look();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, &found[0].path), (RootKind::GoBuild, &path));
        assert!(found[0].is_in_view);
        let stranger = ProcessKey {
            start_ns: process.start_ns + 10_000_000,
            ..process
        };
        assert!(Sighting::of(stranger, 0, 0, &told).look().is_empty());
    }
}
