//! Files changed through `io_uring`: no system call names the file.

use std::{
    ffi::CString,
    fs::File,
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use io_uring::{IoUring, opcode, squeue, types::Fd};

use super::say;

/// Opens, writes and closes a new file through the ring.
pub(super) fn whole(path: &Path, bytes: usize) -> Result<()> {
    let Some(mut ring) = ring()? else {
        return Ok(());
    };
    let name = CString::new(path.as_os_str().as_bytes())?;
    let open = opcode::OpenAt::new(Fd(libc::AT_FDCWD), name.as_ptr())
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

/// A ring, or a line that says why there is none.
fn ring() -> Result<Option<IoUring>> {
    match IoUring::new(2) {
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
    ensure!(result >= 0, std::io::Error::from_raw_os_error(-result));
    Ok(result)
}
