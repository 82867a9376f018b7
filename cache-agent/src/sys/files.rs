//! Reading small files that their owners control, from a process that may read everything.

use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType};

use super::openat::{Links, place, read_regular_file};

/// Largest part that is looked at of a file its user controls; `go env -w` files have a few hundred bytes.
pub(crate) const MAX_BYTES: u64 = 64 * 1024;

/// The same for the administrator's files: some ten thousand lines of `passwd`.
const MAX_SYSTEM_BYTES: u64 = 1024 * 1024;

/// The host's files, below a prefix so that tests can stand in for a host.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    prefix: PathBuf,
}

impl Default for Files {
    fn default() -> Self {
        Self::below(Path::new("/"))
    }
}

impl Files {
    /// The host whose `/` is this directory.
    pub(crate) fn below(prefix: &Path) -> Self {
        Self {
            prefix: prefix.to_path_buf(),
        }
    }

    /// Where a path of the host lies for this process.
    pub(crate) fn locate(&self, path: &Path) -> PathBuf {
        self.prefix.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The beginning of a regular file, links followed; `None` when there is none to read.
    pub(crate) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let path = self.locate(path);
        read_regular_file(CWD, path, Links::Anywhere, MAX_SYSTEM_BYTES)
    }

    /// The same for a file of a user: no link, nor a mount, leads out of his home, however often he swaps it.
    ///
    /// `home` itself may lie behind links: it is the administrator who wrote it into `passwd`.
    pub(crate) fn read_beneath(&self, home: &Path, relative: &Path) -> Option<Vec<u8>> {
        let home = place(CWD, self.locate(home), Links::Anywhere)?;
        read_regular_file(home, relative, Links::Beneath, MAX_BYTES)
    }

    /// Owner of an existing directory, links followed.
    pub(crate) fn directory_owner(&self, path: &Path) -> Option<u32> {
        let stat = rustix::fs::stat(self.locate(path)).ok()?;
        (FileType::from_raw_mode(stat.st_mode) == FileType::Directory).then_some(stat.st_uid)
    }

    /// Whether something is there, links followed.
    pub(crate) fn exists(&self, path: &Path) -> bool {
        rustix::fs::stat(self.locate(path)).is_ok()
    }

    /// The path behind all links; `None` when nothing is there.
    pub(crate) fn resolve(&self, path: &Path) -> Option<PathBuf> {
        let resolved = std::fs::canonicalize(self.locate(path)).ok()?;
        let inside = resolved.strip_prefix(&self.prefix).ok()?;
        Some(Path::new("/").join(inside))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::Mode;

    use super::*;

    #[test]
    fn users_cannot_lead_the_reader_out_of_their_home() {
        let host = tempfile::tempdir().unwrap();
        let home = host.path().join("home/alice");
        fs::create_dir_all(home.join("sub")).unwrap();
        fs::write(host.path().join("secret"), "s").unwrap();
        fs::write(home.join("plain"), "p").unwrap();
        symlink("plain", home.join("inner")).unwrap();
        symlink("../../secret", home.join("outer")).unwrap();
        symlink(host.path().join("secret"), home.join("absolute")).unwrap();
        symlink("loop", home.join("loop")).unwrap();
        rustix::fs::mknodat(CWD, home.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();

        let files = Files::below(host.path());
        for (relative, expected) in [
            ("plain", Some("p")),
            ("inner", Some("p")),
            ("outer", None),
            ("absolute", None),
            ("../../secret", None),
            ("loop", None),
            ("fifo", None),
            ("sub", None),
            ("missing", None),
        ] {
            let content = files.read_beneath(Path::new("/home/alice"), Path::new(relative));
            assert_eq!(
                content.as_deref(),
                expected.map(str::as_bytes),
                "{relative}"
            );
        }
    }

    #[test]
    fn long_files_are_cut() {
        let host = tempfile::tempdir().unwrap();
        fs::write(host.path().join("long"), vec![b'x'; 2_000_000]).unwrap();
        let files = Files::below(host.path());
        let ours = files.read(Path::new("/long")).unwrap();
        let theirs = files
            .read_beneath(Path::new("/"), Path::new("long"))
            .unwrap();
        assert_eq!((ours.len(), theirs.len()), (1_048_576, 65_536));
    }

    #[test]
    fn paths_resolve_within_the_host() {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir_all(host.path().join("a/b")).unwrap();
        symlink("a/b", host.path().join("link")).unwrap();
        let files = Files::below(&host.path().canonicalize().unwrap());
        assert_eq!(files.resolve(Path::new("/link")), Some("/a/b".into()));
        assert_eq!(files.resolve(Path::new("/none")), None);
        assert!(files.directory_owner(Path::new("/link")).is_some());
        assert!(!files.exists(Path::new("/none")));
    }
}
