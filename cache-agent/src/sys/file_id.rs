//! Which file it is, whatever its path.

use std::os::fd::AsFd;

use rustix::fs::fstat;

/// Device and inode as `stat` tells them.
pub(crate) type FileId = (u64, u64);

/// Of an open file; `None` where it cannot be asked.
pub(crate) fn file_id(file: impl AsFd) -> Option<FileId> {
    let found = fstat(file).ok()?;
    Some((found.st_dev, found.st_ino))
}
