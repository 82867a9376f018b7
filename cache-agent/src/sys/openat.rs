//! Opens what observed users named and may swap at any time: each caller says what links may lead to.

use std::{
    fs::File,
    io::Read as _,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2},
    path::Arg,
};

/// What links on the way may lead to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Links {
    /// Nothing: none is followed, and nothing outside of the directory is reached.
    Refused,
    /// What lies beneath the directory; nothing outside of it is reached.
    Beneath,
    /// What a process finds there whose root the directory is.
    InRoot,
    /// Anything: the path is the administrator's, or the kernel's.
    Anywhere,
}

/// Opens a directory for listing.
pub(crate) fn directory(from: impl AsFd, path: impl Arg, links: Links) -> Option<OwnedFd> {
    open(from, path, OFlags::RDONLY | OFlags::DIRECTORY, links)
}

/// Opens a directory as a place to go on from; it need not be readable.
pub(crate) fn place(from: impl AsFd, path: impl Arg, links: Links) -> Option<OwnedFd> {
    open(from, path, OFlags::PATH | OFlags::DIRECTORY, links)
}

/// Opens a regular file for reading, and nothing else; never waits for the other end of a FIFO.
pub(crate) fn regular_file(from: impl AsFd, path: impl Arg, links: Links) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(open(from, path, flags, links)?);
    file.metadata().ok()?.is_file().then_some(file)
}

/// At most `limit` bytes from the beginning of a regular file, opened as above.
pub(crate) fn read_regular_file(
    from: impl AsFd,
    path: impl Arg,
    links: Links,
    limit: u64,
) -> Option<Vec<u8>> {
    beginning(&regular_file(from, path, links)?, limit)
}

/// At most so many bytes from where an open file stands.
pub(crate) fn beginning(file: &File, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn open(from: impl AsFd, path: impl Arg, flags: OFlags, links: Links) -> Option<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    let resolve = match links {
        Links::Refused => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        Links::Beneath => ResolveFlags::BENEATH,
        Links::InRoot => ResolveFlags::IN_ROOT,
        Links::Anywhere => return openat(from, path, flags, Mode::empty()).ok(),
    };
    // A link in /proc would lead anywhere.
    let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
    openat2(from, path, flags, Mode::empty(), resolve).ok()
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
        let top = place(CWD, &point, Links::Anywhere)?;
        let found = directory(&top, rest, Links::Refused)?;
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
    use std::os::fd::AsRawFd as _;

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
        let top = File::open(top.path()).unwrap();
        let beneath = |path| directory(&top, path, Links::Refused);
        assert!(beneath("real").is_some());
        assert!(beneath("link").is_none());
        assert!(beneath("../").is_none());
    }

    #[test]
    fn links_lead_where_the_caller_allows() {
        let top = tempfile::tempdir().unwrap();
        let inner = top.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(top.path().join("file"), "outer").unwrap();
        std::fs::write(inner.join("file"), "inner").unwrap();
        for (name, target) in [("near", "file"), ("up", "../file"), ("top", "/file")] {
            std::os::unix::fs::symlink(target, inner.join(name)).unwrap();
        }
        let inner = File::open(&inner).unwrap();
        let read = |path, links| {
            let bytes = read_regular_file(&inner, path, links, 3)?;
            Some(String::from_utf8(bytes).unwrap())
        };
        for (path, expected) in [
            ("file", [Some("inn"), Some("inn"), Some("inn"), Some("inn")]),
            ("near", [None, Some("inn"), Some("inn"), Some("inn")]),
            ("up", [None, None, Some("inn"), Some("out")]),
            ("top", [None, None, Some("inn"), None]),
            ("../file", [None, None, Some("inn"), Some("out")]),
        ] {
            let found = [
                Links::Refused,
                Links::Beneath,
                Links::InRoot,
                Links::Anywhere,
            ]
            .map(|links| read(path, links));
            assert_eq!(found.each_ref().map(Option::as_deref), expected, "{path}");
        }
    }

    #[test]
    fn links_of_proc_are_followed_by_nobody_but_the_agent() {
        let file = tempfile::tempfile().unwrap();
        let link = format!("proc/self/fd/{}", file.as_raw_fd());
        let root = File::open("/").unwrap();
        assert!(regular_file(&root, &link, Links::InRoot).is_none());
        assert!(regular_file(&root, &link, Links::Beneath).is_none());
        assert!(regular_file(&root, &link, Links::Anywhere).is_some());
    }

    #[test]
    fn only_regular_files_are_read_and_nothing_is_waited_for() {
        let top = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&top.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::create_dir(top.path().join("directory")).unwrap();
        let top = File::open(top.path()).unwrap();
        for path in ["fifo", "directory", "missing"] {
            assert!(regular_file(&top, path, Links::Refused).is_none(), "{path}");
        }
        assert!(regular_file(CWD, "/dev/null", Links::Anywhere).is_none());
        assert!(place(&top, "fifo", Links::Refused).is_none());
    }
}
