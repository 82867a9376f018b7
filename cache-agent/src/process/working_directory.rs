//! Where a process works: in its directory, or in the one that `go -C` is about to change to.

use std::{
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::fs::readlink;

use crate::{
    go::env::clean,
    model::printable::printable,
    sys::{
        file_id::file_id,
        fs_rights::Rights,
        openat::{Links, place},
    },
};

/// Characters of a path that are kept.
const CHARACTERS: usize = 1_024;

/// The directory that a process in `cwd` works in once it has changed to `asked`, which it may have done already.
///
/// It has not if it is still where `told` (its `PWD`) says that it was started. `root` is its own; the calling
/// thread gets the file system rights of this user for as long as it looks.
pub fn of(
    cwd: OwnedFd,
    root: BorrowedFd<'_>,
    [asked, told]: [Option<&str>; 2],
    [uid, gid]: [u32; 2],
) -> OwnedFd {
    let Some((asked, told)) = asked.zip(told) else {
        return cwd;
    };
    let Some(_rights) = Rights::of(uid, gid) else {
        return cwd;
    };
    let open = |path: &Path| place(root, path, Links::InRoot);
    let told = Path::new(told);
    let is_at_start =
        told.is_absolute() && open(told).is_some_and(|start| file_id(start) == file_id(&cwd));
    if !is_at_start {
        return cwd;
    }
    open(&told.join(asked)).unwrap_or(cwd)
}

/// The same of a process that is gone, by the words alone.
pub fn presumed(told: &str, asked: Option<&str>) -> String {
    let path = asked.map(|asked| clean(&Path::new(told).join(asked)));
    path.map_or_else(
        || told.to_owned(),
        |path| path.to_string_lossy().into_owned(),
    )
}

/// Its path as the kernel tells it.
pub fn path(directory: BorrowedFd<'_>) -> Option<String> {
    let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let path = readlink(link, Vec::new()).ok()?;
    let shown = printable(path.to_bytes());
    Some(shown.chars().take(CHARACTERS).collect())
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd as _};

    use super::*;

    #[test]
    fn a_change_of_directory_is_foreseen() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        for directory in ["here", "here/inner", "there"] {
            std::fs::create_dir(top.join(directory)).unwrap();
        }
        std::os::unix::fs::symlink("here", top.join("link")).unwrap();
        let root = File::open(&top).unwrap();
        let own = [
            nix::unistd::getuid().as_raw(),
            nix::unistd::getgid().as_raw(),
        ];
        for (cwd, asked, told, expected) in [
            ("here", None, Some("/here"), "here"),
            ("here", Some("../there"), Some("/here"), "there"),
            ("here", Some("inner"), Some("/link"), "here/inner"),
            ("here", Some("/there"), Some("/here"), "there"),
            // It has been done.
            ("here/inner", Some("inner"), Some("/here"), "here/inner"),
            ("there", Some("../there"), Some("/here"), "there"),
            // It cannot be done, or nothing is known.
            ("here", Some("nowhere"), Some("/here"), "here"),
            ("here", Some("../../.."), Some("/here"), ""),
            ("here", Some("inner"), None, "here"),
            ("here", Some("inner"), Some("here"), "here"),
        ] {
            let cwd = OwnedFd::from(File::open(top.join(cwd)).unwrap());
            let found = of(cwd, root.as_fd(), [asked, told], own);
            let expected = top.join(expected).display().to_string();
            let expected = expected.trim_end_matches('/');
            assert_eq!(path(found.as_fd()).as_deref(), Some(expected), "{asked:?}");
        }
    }
    #[test]
    fn of_a_process_that_is_gone_the_words_tell() {
        for (asked, expected) in [(None, "/a/b"), (Some("../c/."), "/a/c"), (Some("/c"), "/c")] {
            assert_eq!(presumed("/a/b", asked), expected);
        }
    }
}
