//! The module of a working directory, read with the rights of who works there.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::module_path;
use crate::sys::{
    file_id::file_id,
    fs_rights::Rights,
    openat::{Links, place, read_regular_file},
};

/// Directories looked at, from the working directory upwards.
const LEVELS: usize = 64;
/// How much of a go.mod is read; the module is declared at its beginning.
const GO_MOD_BYTES: u64 = 64 * 1024;

/// Module path that the nearest go.mod at or above `directory` declares, not looking beyond `root`.
///
/// The calling thread gets the file system rights of this user for as long as it looks: root's own would
/// show what the user may not see.
pub fn module(directory: OwnedFd, root: BorrowedFd<'_>, uid: u32, gid: u32) -> Option<String> {
    let _rights = Rights::of(uid, gid)?;
    let mut directory = directory;
    for _ in 0..LEVELS {
        if let Some(text) = go_mod(directory.as_fd()) {
            return module_path::declared(&text);
        }
        let above = above(directory.as_fd(), root)?;
        directory = above;
    }
    None
}

fn go_mod(directory: BorrowedFd<'_>) -> Option<String> {
    let text = read_regular_file(directory, "go.mod", Links::Beneath, GO_MOD_BYTES)?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The directory above; none above the process' root, nor above the topmost one.
fn above(directory: BorrowedFd<'_>, root: BorrowedFd<'_>) -> Option<OwnedFd> {
    let here = file_id(directory)?;
    if here == file_id(root)? {
        return None;
    }
    let above = place(directory, "..", Links::Anywhere)?;
    (file_id(&above)? != here).then_some(above)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustix::fs::CWD;

    use super::*;

    fn directory(path: &Path) -> OwnedFd {
        place(CWD, path, Links::Anywhere).unwrap()
    }

    fn module_of(path: &Path, root: &Path) -> Option<String> {
        let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
        module(
            directory(path),
            directory(root).as_fd(),
            uid.as_raw(),
            gid.as_raw(),
        )
    }

    #[test]
    fn the_nearest_go_mod_counts_and_none_beyond_the_root() {
        let top = tempfile::tempdir().unwrap();
        let inner = top.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(top.path().join("go.mod"), "module example.com/top\n").unwrap();
        let found = module_of(&inner, Path::new("/"));
        assert_eq!(found.as_deref(), Some("example.com/top"));
        assert_eq!(module_of(&inner, &top.path().join("a")), None);
        std::fs::write(inner.join("go.mod"), "module example.com/inner\n").unwrap();
        let found = module_of(&inner, Path::new("/"));
        assert_eq!(found.as_deref(), Some("example.com/inner"));
    }

    #[test]
    fn traps_are_not_stepped_into() {
        let top = tempfile::tempdir().unwrap();
        let here = top.path().join("here");
        std::fs::create_dir(&here).unwrap();
        nix::unistd::mkfifo(&here.join("go.mod"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(module_of(&here, top.path()), None);
        std::fs::remove_file(here.join("go.mod")).unwrap();
        std::fs::write(top.path().join("secret"), "module secret\n").unwrap();
        std::os::unix::fs::symlink("../secret", here.join("go.mod")).unwrap();
        assert_eq!(module_of(&here, &here), None);
    }
}
