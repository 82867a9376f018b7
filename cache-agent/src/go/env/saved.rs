//! What a user saved with `go env -w`, read with his rights and where his processes see it.

use std::{
    ffi::OsStr,
    os::{fd::BorrowedFd, unix::fs::MetadataExt as _},
    path::Path,
};

use super::user_file;
use crate::{
    go::variables::{self, Variables},
    sys::{
        files::MAX_BYTES,
        fs_rights::Rights,
        openat::{Links, beginning, regular_file},
    },
};

/// Settings saved in the file that this environment leads to, of those that matter here.
///
/// `root` is the process' own. The calling thread gets the file system rights of this user for as long as it
/// looks; the file must be his, or root's.
pub fn of(root: BorrowedFd<'_>, environment: &Variables, uid: u32, gid: u32) -> Variables {
    let path = user_file(|name| environment.get(name).map(OsStr::new));
    let text = path.and_then(|path| read(root, &path, uid, gid));
    text.map_or_else(Variables::new, |text| variables::saved(&text))
}

fn read(root: BorrowedFd<'_>, path: &Path, uid: u32, gid: u32) -> Option<Vec<u8>> {
    let _rights = Rights::of(uid, gid)?;
    // Links are the user's own affair: with his rights, and within what his process sees, they betray nothing.
    let file = regular_file(root, path, Links::InRoot)?;
    let is_trusted = [0, uid].contains(&file.metadata().ok()?.uid());
    is_trusted.then(|| beginning(&file, MAX_BYTES))?
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::fd::AsFd as _,
    };

    use super::*;
    use crate::go::variables::VALUE_BYTES;

    /// Variables by name, given as words `NAME=value`.
    fn variables(words: &str) -> Variables {
        variables::allowed(words.replace(' ', "\0").as_bytes())
    }

    fn told_in(top: &Path, environment: &str) -> String {
        let root = File::open(top).unwrap();
        let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
        let found = of(
            root.as_fd(),
            &variables(environment),
            uid.as_raw(),
            gid.as_raw(),
        );
        let words = found.iter().map(|(name, value)| format!("{name}={value}"));
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_file_is_found_as_the_go_command_finds_it() {
        let top = tempfile::tempdir().unwrap();
        for (directory, flag) in [("home/.config", "-v"), ("xdg", "-x"), ("other", "-n")] {
            let directory = top.path().join(directory).join("go");
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("env"), format!("GOFLAGS={flag}\n")).unwrap();
        }
        for (environment, expected) in [
            ("HOME=/home", "GOFLAGS=-v"),
            ("HOME=/home XDG_CONFIG_HOME=/xdg", "GOFLAGS=-x"),
            ("HOME=/home GOENV=/other/go/env", "GOFLAGS=-n"),
            ("HOME=/../home", "GOFLAGS=-v"),
            ("HOME=/home GOENV=off", ""),
            ("HOME=/home GOENV=other/go/env", ""),
            ("HOME=/nowhere", ""),
            ("PATH=/bin", ""),
        ] {
            assert_eq!(told_in(top.path(), environment), expected, "{environment}");
        }
    }

    #[test]
    fn only_settings_that_matter_are_taken() {
        let text = b"GOFLAGS=-v\nGOPRIVATE=secret.example\nGOCACHE=/c\nTOKEN=x\n#CC=c\n CC=c\nCC\nGOFLAGS=-race\nCXX=\n";
        let expected = Variables::from([
            ("GOCACHE", "/c".to_owned()),
            ("GOFLAGS", "-race".to_owned()),
        ]);
        assert_eq!(variables::saved(text), expected);
        let long = [b"GOCACHE=".as_slice(), &[b'x'; VALUE_BYTES + 1]].concat();
        assert!(variables::saved(&long).is_empty());
    }

    #[test]
    fn traps_are_not_stepped_into() {
        let top = tempfile::tempdir().unwrap();
        let inner = top.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(top.path().join("outside"), "GOFLAGS=-v\n").unwrap();
        nix::unistd::mkfifo(&inner.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::create_dir(inner.join("directory")).unwrap();
        std::os::unix::fs::symlink("../outside", inner.join("link")).unwrap();
        for trap in ["fifo", "directory", "link", "../outside"] {
            assert_eq!(told_in(&inner, &format!("GOENV=/{trap}")), "", "{trap}");
        }
        assert_eq!(told_in(top.path(), "GOENV=/outside"), "GOFLAGS=-v");
    }

    #[test]
    fn a_strangers_file_is_not_taken() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("env");
        fs::write(&path, "GOFLAGS=-v\n").unwrap();
        let own = nix::unistd::getuid().as_raw();
        // Only root can give a file away; anybody else asks as another.
        let asking = if own == 0 {
            std::os::unix::fs::chown(&path, Some(own + 1), None).unwrap();
            own
        } else {
            own + 1
        };
        let root = File::open(top.path()).unwrap();
        let gid = nix::unistd::getgid().as_raw();
        let found = of(root.as_fd(), &variables("GOENV=/env"), asking, gid);
        assert!(found.is_empty(), "{found:?}");
    }
}
