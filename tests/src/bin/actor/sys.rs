//! What has no safe form in std or rustix.

use std::{
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::{AsFd as _, FromRawFd as _, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    ptr, slice,
};

use rustix::{
    mm::{MapFlags, ProtFlags, mmap, munmap},
    process::Pid,
};

/// Splits this process; gives the child's number to the parent and nothing to the child.
pub(super) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the actor has a single thread, so no lock is held by a thread that the child lacks.
    let number = unsafe { libc::fork() };
    match number {
        ..0 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        number => Ok(Pid::from_raw(number)),
    }
}

/// Fills the first `length` bytes of `file`, which must be that long, through a mapping.
pub(super) fn fill_mapped(file: &File, length: usize) -> io::Result<()> {
    let (access, shared) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: the kernel chooses the address, so no other memory is replaced.
    let start = unsafe { mmap(ptr::null_mut(), length, access, shared, file.as_fd(), 0) }?;
    // SAFETY: the mapping has `length` writable bytes, and nobody else in this process knows of it.
    let bytes = unsafe { slice::from_raw_parts_mut(start.cast::<u8>(), length) };
    bytes.fill(b'm');
    // SAFETY: the mapping is the one made above, and `bytes` is not used after this.
    unsafe { munmap(start, length) }?;
    Ok(())
}

/// The descriptor that the parent or the program before this one left open under that number.
pub(super) fn inherited(number: RawFd) -> File {
    // SAFETY: the number comes from the actor that left it open, and nothing else here owns it.
    unsafe { File::from_raw_fd(number) }
}

/// creat(2), the older way to create or empty a file.
pub(super) fn creat(path: &Path) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a string with a terminator that lives through the call.
    let number = unsafe { libc::creat(path.as_ptr(), 0o644) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was opened just now, and nothing else owns it.
    Ok(unsafe { File::from_raw_fd(number) })
}

/// Becomes the user and the group of that number, who have no privilege.
pub(super) fn become_user(number: u32) -> io::Result<()> {
    // SAFETY: both take a number; the actor has a single thread, so no other keeps its rights.
    let results = [unsafe { libc::setgid(number) }, unsafe {
        libc::setuid(number)
    }];
    if results == [0, 0] {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// truncate(2), by path.
pub(super) fn truncate(path: &Path, length: i64) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a string with a terminator that lives through the call.
    let result = unsafe { libc::truncate(path.as_ptr(), length) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
