//! Measures a directory tree: regular files by apparent size, hard links once, one device, no links followed.

use std::{
    collections::{HashMap, HashSet},
    ffi::{CStr, CString},
    os::fd::{AsFd as _, OwnedFd},
};

use cache_ebpf::DEPTH_MAX;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, RawDir, Statx, StatxFlags, openat, statx},
    io::Errno,
};

use crate::sys::shortage::is_shortage;

/// What one regular file contributes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WalkedFile {
    /// Inode number.
    pub ino: u64,
    /// Apparent size in bytes.
    pub size: u64,
    /// Inode number of the directory in which it was found first.
    pub directory: u64,
}

/// A multiply linked file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WalkedLinks {
    /// Names found inside the tree.
    pub inside: u32,
    /// All its names.
    pub nlink: u32,
}

/// Result of a walk.
#[derive(Debug, Default)]
pub struct Walk {
    /// Every regular file once.
    pub files: Vec<WalkedFile>,
    /// Those with more than one name, by inode number.
    pub links: HashMap<u64, WalkedLinks>,
    /// All its directories by inode number, and those that hold them; the top one is in 0.
    pub directories: HashMap<u64, u64>,
    /// Allocated bytes.
    pub disk_bytes: u64,
    /// Directories that could not be read; their files are missing.
    pub unreadable: u64,
    /// Directories deeper than [`DEPTH_MAX`] levels below the top; what they hold is missing.
    pub too_deep: u64,
    /// When the file or directory that changed last did so, in seconds since 1970.
    pub last_change_s: i64,
}

/// Room for directory entries: one system call reads some hundred names.
const ENTRY_BYTES: usize = 64 * 1024;

/// What is asked of a file: nothing that a network file system would have to fetch.
fn wanted() -> StatxFlags {
    StatxFlags::TYPE
        | StatxFlags::INO
        | StatxFlags::NLINK
        | StatxFlags::SIZE
        | StatxFlags::BLOCKS
        | StatxFlags::CTIME
}

fn attributes(directory: &OwnedFd, name: &CStr) -> rustix::io::Result<Statx> {
    statx(
        directory,
        name,
        AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC,
        wanted(),
    )
}

fn open_directory(directory: &OwnedFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    openat(
        directory,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

impl Walk {
    /// Apparent size in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Walks the tree below an open directory, leaving out the directories with inode numbers `inner`,
    /// which are roots of their own. What vanishes meanwhile is left out. Holds [`DEPTH_MAX`] descriptors at most.
    pub fn of(root: &OwnedFd, inner: &HashSet<u64>) -> rustix::io::Result<Self> {
        let mut walk = Self::default();
        let here = statx(root, c".", AtFlags::empty(), wanted())?;
        let device = (here.stx_dev_major, here.stx_dev_minor);
        // Descriptors of the directories on the way down: no more than the kernel side climbs up, so that both
        // count the same files.
        let mut open = vec![Level::read(
            open_directory(root, c".")?,
            0,
            &mut walk,
            device,
            inner,
        )?];
        loop {
            let is_deepest = open.len() == DEPTH_MAX as usize;
            let Some(level) = open.last_mut() else {
                return Ok(walk);
            };
            if is_deepest {
                walk.too_deep += level.directories.drain(..).len() as u64;
            }
            let Some(name) = level.directories.pop() else {
                open.pop();
                continue;
            };
            let above = level.ino;
            match open_directory(&level.fd, &name)
                .and_then(|fd| Level::read(fd, above, &mut walk, device, inner))
            {
                Ok(level) => open.push(level),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {}
                // Not the directory's fault: without its files the walk would find a drift that there is not.
                Err(error) if is_shortage(error) => return Err(error),
                Err(_) => walk.unreadable += 1,
            }
        }
    }

    fn add(&mut self, found: &Statx, directory: u64) {
        if found.stx_nlink > 1 {
            let links = self.links.entry(found.stx_ino).or_insert(WalkedLinks {
                inside: 0,
                nlink: found.stx_nlink,
            });
            links.inside += 1;
            if links.inside > 1 {
                return;
            }
        }
        self.disk_bytes += found.stx_blocks * 512;
        self.last_change_s = self.last_change_s.max(found.stx_ctime.tv_sec);
        self.files.push(WalkedFile {
            ino: found.stx_ino,
            size: found.stx_size,
            directory,
        });
    }
}

/// A directory on the way down and those of its directories still to be visited.
struct Level {
    fd: OwnedFd,
    ino: u64,
    directories: Vec<CString>,
}

impl Level {
    fn read(
        fd: OwnedFd,
        above: u64,
        walk: &mut Walk,
        device: (u32, u32),
        inner: &HashSet<u64>,
    ) -> rustix::io::Result<Self> {
        let here = statx(
            &fd,
            c".",
            AtFlags::empty(),
            StatxFlags::TYPE | StatxFlags::INO | StatxFlags::CTIME,
        )?;
        if (here.stx_dev_major, here.stx_dev_minor) != device {
            return Err(Errno::XDEV);
        }
        let ino = here.stx_ino;
        walk.directories.insert(ino, above);
        walk.last_change_s = walk.last_change_s.max(here.stx_ctime.tv_sec);
        let mut directories = Vec::new();
        let mut room = Vec::with_capacity(ENTRY_BYTES);
        let mut entries = RawDir::new(fd.as_fd(), room.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            match entry.file_type() {
                _ if name == c"." || name == c".." => {}
                FileType::Directory if inner.contains(&entry.ino()) => {}
                FileType::Directory => directories.push(name.to_owned()),
                FileType::RegularFile | FileType::Unknown => {
                    visit(&fd, ino, name, walk, &mut directories)?;
                }
                _ => {}
            }
        }
        Ok(Self {
            fd,
            ino,
            directories,
        })
    }
}

fn visit(
    fd: &OwnedFd,
    directory: u64,
    name: &CStr,
    walk: &mut Walk,
    directories: &mut Vec<CString>,
) -> rustix::io::Result<()> {
    let found = match attributes(fd, name) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error),
    };
    match FileType::from_raw_mode(found.stx_mode.into()) {
        FileType::RegularFile => walk.add(&found, directory),
        FileType::Directory => directories.push(name.to_owned()),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_too_deep_is_told_and_takes_no_descriptors() {
        const LEVELS: usize = 8_100;
        let top = tempfile::tempdir().unwrap();
        let mut directory: OwnedFd = fs::File::open(top.path()).unwrap().into();
        for level in 0..LEVELS {
            let mode = Mode::RUSR | Mode::WUSR;
            if level % 100 == 0 {
                let file = openat(&directory, "f", OFlags::CREATE | OFlags::WRONLY, mode);
                rustix::io::write(file.unwrap(), b"1").unwrap();
            }
            rustix::fs::mkdirat(&directory, "d", mode | Mode::XUSR).unwrap();
            directory = open_directory(&directory, c"d").unwrap();
        }
        let walk = Walk::of(&fs::File::open(top.path()).unwrap().into(), &HashSet::new());
        let walk = walk.unwrap();
        // The file at the top, and the one a hundred levels below it.
        assert_eq!((walk.bytes(), walk.files.len()), (2, 2));
        assert_eq!(walk.directories.len(), DEPTH_MAX as usize);
        assert_eq!((walk.too_deep, walk.unreadable), (1, 0));
        // tempfile would take a descriptor for each level.
        let removed = std::process::Command::new("rm")
            .arg("-rf")
            .arg(top.path())
            .status();
        assert!(removed.unwrap().success());
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error_and_nothing_else() {
        let top = tempfile::tempdir().unwrap();
        let root: OwnedFd = fs::File::open(top.path()).unwrap().into();
        top.close().unwrap();
        let walk = Walk::of(&root, &HashSet::new());
        assert_eq!(walk.unwrap_err(), Errno::NOENT);
    }

    #[test]
    fn counts_regular_files_once_and_follows_nothing() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("big"), vec![0; 100_000]).unwrap();
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("d/".repeat(70));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("bottom"), "12345").unwrap();
        fs::write(root.path().join("a"), "123").unwrap();
        fs::hard_link(root.path().join("a"), root.path().join("b")).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("link")).unwrap();
        let walk = Walk::of(
            &fs::File::open(root.path()).unwrap().into(),
            &HashSet::new(),
        )
        .unwrap();
        assert_eq!((walk.bytes(), walk.files.len(), walk.unreadable), (8, 2, 0));
        assert_eq!(
            walk.links.values().next(),
            Some(&WalkedLinks {
                inside: 2,
                nlink: 2
            })
        );
    }
}
