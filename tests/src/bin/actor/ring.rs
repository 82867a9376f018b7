//! Files changed through `io_uring`: no system call names the file.

use std::{
    ffi::CString,
    fs::File,
    io,
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use io_uring::{IoUring, opcode, squeue, types::Fd};

use super::say;

/// Paths are absolute, and need no directory.
const HERE: Fd = Fd(libc::AT_FDCWD);

/// Opens, writes and closes a new file through the ring.
pub(super) fn whole(path: &Path, bytes: usize) -> Result<()> {
    let Some(mut ring) = ring()? else {
        return Ok(());
    };
    let name = CString::new(path.as_os_str().as_bytes())?;
    let open = opcode::OpenAt::new(HERE, name.as_ptr())
        .flags(libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC)
        .mode(0o644);
    let file = Fd(one(&mut ring, &open.build()).context("cannot open through the ring")?);
    write(&mut ring, file, bytes)?;
    one(&mut ring, &opcode::Close::new(file).build()).context("cannot close through the ring")?;
    Ok(())
}

/// Opens and closes by system calls, writes through the ring.
pub(super) fn write_only(path: &Path, bytes: usize) -> Result<()> {
    let Some(mut ring) = ring()? else {
        return Ok(());
    };
    let file = File::create_new(path)?;
    write(&mut ring, Fd(file.as_raw_fd()), bytes)
}

/// A ring to work with.
pub(super) fn open() -> io::Result<IoUring> {
    IoUring::new(2)
}

/// Creates two files in `directory`, renames one and removes the other, all through the ring: 2000
/// bytes are left.
pub(super) fn work(ring: &mut IoUring, directory: &Path) -> Result<()> {
    let [one, two, three] = ["one", "two", "three"]
        .map(|name| CString::new(directory.join(name).as_os_str().as_bytes()));
    let (one, two, three) = (one?, two?, three?);
    for (name, bytes) in [(&one, 2000), (&two, 500)] {
        let open = opcode::OpenAt::new(HERE, name.as_ptr())
            .flags(libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC)
            .mode(0o644);
        let file = Fd(self::one(ring, &open.build()).context("cannot open through the ring")?);
        write(ring, file, bytes)?;
        self::one(ring, &opcode::Close::new(file).build())
            .context("cannot close through the ring")?;
    }
    let rename = opcode::RenameAt::new(HERE, one.as_ptr(), HERE, three.as_ptr());
    self::one(ring, &rename.build()).context("cannot rename through the ring")?;
    let unlink = opcode::UnlinkAt::new(HERE, two.as_ptr());
    self::one(ring, &unlink.build()).context("cannot unlink through the ring")?;
    Ok(())
}

/// A ring, or a line that says why there is none.
fn ring() -> Result<Option<IoUring>> {
    match open() {
        Ok(ring) => Ok(Some(ring)),
        Err(error) => {
            say(&serde_json::json!({"refused": error.to_string()}))?;
            Ok(None)
        }
    }
}

fn write(ring: &mut IoUring, file: Fd, bytes: usize) -> Result<()> {
    let content = vec![b'u'; bytes];
    let write = opcode::Write::new(file, content.as_ptr(), u32::try_from(bytes)?).build();
    let written = one(ring, &write).context("cannot write through the ring")?;
    ensure!(
        usize::try_from(written)? == bytes,
        "{written} of {bytes} bytes written"
    );
    Ok(())
}

/// Submits one entry and waits for its result.
fn one(ring: &mut IoUring, entry: &squeue::Entry) -> Result<i32> {
    // SAFETY: what the entry points to belongs to the caller, who waits here until it is done.
    unsafe { ring.submission().push(entry) }?;
    ring.submit_and_wait(1)?;
    let result = ring.completion().next().context("no completion")?.result();
    ensure!(result >= 0, io::Error::from_raw_os_error(-result));
    Ok(result)
}
