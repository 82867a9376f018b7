//! Opens directories that observed users named, without following anything of theirs.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

/// Opens a directory below another one; no link on the way is followed.
pub(crate) fn open_beneath(directory: impl AsFd, path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(directory, path, flags, Mode::empty(), resolve).ok()
}

/// Opens the directory with this inode number whose path is told from the top of its file system, the one
/// that holds `beside`, wherever that is mounted.
pub(crate) fn open_in_mounts(path: &Path, beside: impl AsFd, ino: u64) -> Option<OwnedFd> {
    let device = rustix::fs::fstat(beside).ok()?.st_dev;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (shown, point) = mount(line)?;
        let rest = Path::new("/").join(path);
        let rest = rest.strip_prefix(&shown).ok()?;
        let top = openat(
            CWD,
            &point,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .ok()?;
        let found = open_beneath(&top, rest)?;
        let stat = rustix::fs::fstat(&found).ok()?;
        (stat.st_dev == device && stat.st_ino == ino).then_some(found)
    })
}

/// The part of its file system that a mount shows, and where (proc(5), mountinfo).
fn mount(line: &str) -> Option<(PathBuf, PathBuf)> {
    let mut fields = line.split(' ').skip(3);
    let (shown, point) = (fields.next()?, fields.next()?);
    Some((unescaped(shown), unescaped(point)))
}

/// Blanks and backslashes stand as `\040`.
fn unescaped(text: &str) -> PathBuf {
    let named = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    PathBuf::from(named.iter().fold(text.to_owned(), |text, (code, plain)| {
        text.replace(code, plain)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_their_escapes() {
        let line = "36 35 98:0 /mnt1 /mnt\\040two rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(
            mount(line),
            Some((PathBuf::from("/mnt1"), PathBuf::from("/mnt two")))
        );
        assert_eq!(mount("36 35"), None);
    }

    #[test]
    fn links_are_not_followed() {
        let top = tempfile::tempdir().unwrap();
        std::fs::create_dir(top.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", top.path().join("link")).unwrap();
        let directory = std::fs::File::open(top.path()).unwrap();
        assert!(open_beneath(&directory, Path::new("real")).is_some());
        assert!(open_beneath(&directory, Path::new("link")).is_none());
        assert!(open_beneath(&directory, Path::new("../")).is_none());
    }
}
