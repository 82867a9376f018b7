//! Writes that fail: no room, no quota, no writing at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    io::Errno,
    mount::{MountFlags, mount_remount},
};

use super::say;

/// Size of a file, if there is room for it.
const FILE: usize = 300_000;
/// Files after which the room should have run out.
const MOST: usize = 2000;

/// Fills `directory` until a write fails with the error of that name; then removes a file, renames
/// one, and writes again into what became free.
pub(super) fn fill(errno: &str, directory: &Path) -> Result<()> {
    let expected = match errno {
        "ENOSPC" => Errno::NOSPC,
        "EDQUOT" => Errno::DQUOT,
        other => bail!("{other} is no error of a full file system"),
    };
    let mut files = 0;
    let failed = loop {
        let path = directory.join(format!("file{files}"));
        if let Err(error) = write(&path) {
            break error;
        }
        files += 1;
        ensure!(
            files < MOST,
            "{files} files were written, and there is room still"
        );
    };
    ensure!(
        failed.raw_os_error() == Some(expected.raw_os_error()),
        "{failed} instead of {errno}"
    );
    ensure!(files > 2, "{files} files were written, too few");
    // The file that was cut short grows no more, or by what is left; either is right.
    let last = directory.join(format!("file{files}"));
    let more = OpenOptions::new().append(true).open(last);
    let more = more.and_then(|mut file| file.write_all(&vec![b'm'; FILE]));
    ensure!(more.is_err(), "the full file system took more");
    fs::remove_file(directory.join("file0"))?;
    fs::rename(directory.join("file1"), directory.join("renamed"))?;
    fs::write(directory.join("small"), [b's'; 1000])?;
    Ok(say(&serde_json::json!({"files": files}))?)
}

fn write(path: &Path) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(&vec![b'f'; FILE])?;
    // Where room is reserved late, this is where its lack shows.
    file.sync_all()
}

/// Changes the file system mounted at `mounted` to read-only, tries everything, and changes it back.
pub(super) fn read_only(mounted: &Path, directory: &Path) -> Result<()> {
    let path = |name: &str| directory.join(name);
    fs::write(path("before"), [b'b'; 3000])?;
    mount_remount(mounted, MountFlags::RDONLY, c"").context("cannot remount read-only")?;
    let refused = [
        fs::write(path("before"), "").is_err(),
        fs::write(path("new"), "new").is_err(),
        fs::remove_file(path("before")).is_err(),
        fs::rename(path("before"), path("after")).is_err(),
        fs::hard_link(path("before"), path("link")).is_err(),
        super::sys::truncate(&path("before"), 0).is_err(),
    ];
    mount_remount(mounted, MountFlags::empty(), c"").context("cannot remount writable")?;
    let accepted = refused.iter().position(|refused| !refused);
    ensure!(accepted.is_none(), "call {accepted:?} should fail");
    fs::write(path("after"), [b'a'; 500])?;
    Ok(())
}
