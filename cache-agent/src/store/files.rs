//! Where the history lies: a directory and a file that nobody but their owner may have touched.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

/// Of a directory that is made: nobody else's business.
const DIRECTORY_MODE: u32 = 0o700;
/// Of the file; SQLite gives its companions the same.
const FILE_MODE: u32 = 0o600;
/// Permission of group and others to write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// What belongs to a database besides the file itself.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];
/// Databases set aside that are kept; older ones are removed.
const ASIDE_KEPT: usize = 3;
/// Free space in bytes with which it makes sense to go on with a history that was full.
const ROOM_BYTES: u64 = 4 << 20;

/// Why the place cannot be used: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Nothing there.
    #[error("no history in {}: nothing was recorded there yet", .0.display())]
    Absent(PathBuf),
    /// Not to be followed.
    #[error("{} is a symbolic link: name the place itself", .0.display())]
    Link(PathBuf),
    /// A directory, a pipe, ...
    #[error("{} is not a {expected}", path.display())]
    Kind {
        /// What is in the way.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
    },
    /// Somebody else could have written it.
    #[error("{} belongs to uid {uid}: it must belong to the agent's user or to root", path.display())]
    Owner {
        /// What.
        path: PathBuf,
        /// Whose.
        uid: u32,
    },
    /// Somebody else may write it.
    #[error("{} can be written by others than its owner: `chmod go-w` it", .0.display())]
    Writable(PathBuf),
    /// What the system said.
    #[error("cannot use {}: {cause}", path.display())]
    System {
        /// What.
        path: PathBuf,
        /// Why not; part of the sentence, so not a `source` that is printed again.
        cause: io::Error,
    },
}

impl PlaceError {
    /// There is no room, or no quota left.
    pub(super) fn is_full(&self) -> bool {
        matches!(
            self.kind(),
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        )
    }

    /// The system does not let this user do it.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(
            self.kind(),
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
        )
    }

    fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::System { cause, .. } => Some(cause.kind()),
            _ => None,
        }
    }
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// The state directory, made if it is not there. Its parents may be links, it may not.
pub(crate) fn prepare(directory: &Path) -> Result<PathBuf, PlaceError> {
    match find(directory) {
        Err(PlaceError::Absent(_)) => {}
        found => return found,
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .map_err(|cause| system(directory, cause))?;
    find(directory)
}

/// The state directory without links on the way.
pub(super) fn find(directory: &Path) -> Result<PathBuf, PlaceError> {
    let found = look(directory)?;
    if !found.is_dir() {
        return Err(PlaceError::Kind {
            path: directory.to_owned(),
            expected: "directory",
        });
    }
    check_owner(directory, &found)?;
    directory
        .canonicalize()
        .map_err(|cause| system(directory, cause))
}

/// The database, made empty if it is not there.
pub(super) fn create_file(path: &Path) -> Result<Identity, PlaceError> {
    let made = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path);
    match made {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(cause) => return Err(system(path, cause)),
    }
    find_file(path)
}

/// The database; a pipe would make its reader wait for ever.
pub(super) fn find_file(path: &Path) -> Result<Identity, PlaceError> {
    let found = look(path).map_err(|error| match error {
        PlaceError::Absent(file) => {
            PlaceError::Absent(file.parent().map_or(file.clone(), Path::to_owned))
        }
        other => other,
    })?;
    if !found.is_file() {
        return Err(PlaceError::Kind {
            path: path.to_owned(),
            expected: "regular file",
        });
    }
    check_owner(path, &found)?;
    Ok(Identity {
        device: found.dev(),
        inode: found.ino(),
    })
}

fn look(path: &Path) -> Result<fs::Metadata, PlaceError> {
    match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => Err(PlaceError::Link(path.to_owned())),
        Ok(found) => Ok(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(PlaceError::Absent(path.to_owned()))
        }
        Err(cause) => Err(system(path, cause)),
    }
}

/// Root reads and writes as told by its own files only; others may read what root has written.
fn check_owner(path: &Path, found: &fs::Metadata) -> Result<(), PlaceError> {
    let uid = found.uid();
    if uid != 0 && uid != geteuid().as_raw() {
        let path = path.to_owned();
        return Err(PlaceError::Owner { path, uid });
    }
    if found.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(PlaceError::Writable(path.to_owned()));
    }
    Ok(())
}

fn system(path: &Path, cause: io::Error) -> PlaceError {
    PlaceError::System {
        path: path.to_owned(),
        cause,
    }
}

/// Renames a database and its log out of the way, to `history.db.REASON-TIME`; what it is called then.
///
/// Whoever has it open goes on with it. Of those set aside before, the newest stay.
pub(super) fn set_aside(path: &Path, reason: &str, time: &str) -> Result<PathBuf, PlaceError> {
    let aside = with_suffix(path, &format!(".{reason}-{time}"));
    rename(path, &aside)?;
    forget_old(path);
    Ok(aside)
}

/// Puts the newest database that was set aside for `reason` back, if there is one and its place is free.
///
/// As long as there is hardly any room, that is an error: it would have to go aside again.
pub(super) fn take_back(path: &Path, reason: &str) -> Result<Option<PathBuf>, PlaceError> {
    if path.symlink_metadata().is_ok() {
        return Ok(None);
    }
    let prefix = with_suffix(path, &format!(".{reason}-"));
    let newest = aside(path)
        .into_iter()
        .rfind(|name| name.as_bytes().starts_with(prefix.as_os_str().as_bytes()));
    let Some(newest) = newest.map(PathBuf::from) else {
        return Ok(None);
    };
    if !has_room(path) {
        return Err(system(&newest, io::ErrorKind::StorageFull.into()));
    }
    rename(&newest, path)?;
    Ok(Some(newest))
}

fn has_room(path: &Path) -> bool {
    let directory = path.parent().unwrap_or(path);
    rustix::fs::statvfs(directory)
        .is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) >= ROOM_BYTES)
}

fn rename(from: &Path, to: &Path) -> Result<(), PlaceError> {
    fs::rename(from, to).map_err(|cause| system(from, cause))?;
    // Without its log a database misses its last commits; the shared memory is made again.
    for companion in COMPANIONS {
        let (from, to) = (with_suffix(from, companion), with_suffix(to, companion));
        let moved = match companion {
            "-shm" => fs::remove_file(&from),
            _ => fs::rename(&from, to),
        };
        match moved {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(system(&from, cause));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The databases set aside, oldest first by the time in their names, whatever the reason.
fn aside(path: &Path) -> Vec<OsString> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let prefix = [name.as_bytes(), b"."].concat();
    let mut found: Vec<OsString> = entries
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| {
            let name = name.as_bytes();
            name.starts_with(&prefix)
                && !COMPANIONS.iter().any(|end| name.ends_with(end.as_bytes()))
        })
        .map(|name| directory.join(name).into_os_string())
        .collect();
    found.sort_by_key(|name| time_of(name.as_bytes()).to_owned());
    found
}

/// `20260102T030405Z` of `history.db.corrupt-20260102T030405Z`.
fn time_of(name: &[u8]) -> &[u8] {
    name.rsplit(|byte| *byte == b'-').next().unwrap_or_default()
}

fn forget_old(path: &Path) {
    let mut found = aside(path);
    found.truncate(found.len().saturating_sub(ASIDE_KEPT));
    for old in found {
        let log = with_suffix(Path::new(&old), "-wal");
        for file in [PathBuf::from(old), log] {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(file = %file.display(), %error, "cannot remove an old history");
                }
                _ => {}
            }
        }
    }
}

/// The path with something behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The URI by which SQLite takes a file for one that nobody changes.
pub(super) fn immutable_uri(path: &Path) -> PathBuf {
    let mut uri = b"file:".to_vec();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            uri.push(*byte);
        } else {
            uri.extend(format!("%{byte:02X}").into_bytes());
        }
    }
    uri.extend(b"?immutable=1");
    OsString::from_vec(uri).into()
}
