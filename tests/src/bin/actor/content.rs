//! Operations that leave a file open for write.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{FileExt as _, symlink},
    path::Path,
};

use anyhow::{Result, ensure};
use cache_tests::cases::Place;
use rustix::{
    fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags, ResolveFlags},
    pipe::SpliceFlags,
};

use super::sys;

/// Performs the operation `name`, if it is one of these, and gives the open file.
pub(super) fn perform(name: &str, place: &Place) -> Result<Option<File>> {
    for group in [written_to, resized, named] {
        if let Some(file) = group(name, place)? {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Those that write, by every way there is.
fn written_to(name: &str, place: &Place) -> Result<Option<File>> {
    let path = place.path("in/file");
    let file = match name {
        "write" => {
            let mut file = create(place, "in/file")?;
            // As the go command does: whole blocks, then one byte that completes the file.
            for bytes in [32_768, 32_768, 4464, 1] {
                file.write_all(&filler(bytes))?;
            }
            file
        }
        "pwrite" => {
            let file = create(place, "in/file")?;
            file.write_all_at(&filler(500), 0)?;
            file.write_all_at(&filler(500), 10_000)?;
            file
        }
        "writev" => {
            let mut file = create(place, "in/file")?;
            let parts = [filler(10), filler(2000), filler(30)];
            let written = file.write_vectored(&parts.each_ref().map(|part| IoSlice::new(part)))?;
            ensure!(written == 2040, "{written} bytes written at once");
            file
        }
        "append" => {
            let mut file = OpenOptions::new().append(true).open(path)?;
            file.write_all(&filler(777))?;
            file
        }
        "open_only" => OpenOptions::new().read(true).write(true).open(path)?,
        "open_legacy_creat" => {
            let mut file = sys::creat(&path)?;
            file.write_all(&filler(1000))?;
            file
        }
        "openat2" => {
            let directory = File::open(&place.inside)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
            let file =
                rustix::fs::openat2(directory, "file", flags, Mode::RUSR, ResolveFlags::BENEATH)?;
            let mut file = File::from(file);
            file.write_all(&filler(4444))?;
            file
        }
        "via_symlink" => {
            let link = place.path("out/link");
            symlink(path, &link)?;
            let mut file = OpenOptions::new().append(true).open(link)?;
            file.write_all(&filler(500))?;
            file
        }
        "truncate_on_open" => {
            let mut file = File::create(path)?;
            file.write_all(&filler(3000))?;
            file
        }
        "truncate_on_open_to_nothing" => File::create(path)?,
        "mmap" => {
            let options = &mut OpenOptions::new();
            let file = options.read(true).write(true).create_new(true).open(path)?;
            file.set_len(50_000)?;
            sys::fill_mapped(&file, 50_000)?;
            file
        }
        "sparse" => {
            let mut file = create(place, "in/file")?;
            file.seek(SeekFrom::Start(5_000_000))?;
            file.write_all(b"x")?;
            file
        }
        "sendfile" => copied(place, |from, to, left| {
            rustix::fs::sendfile(to, from, None, left)
        })?,
        "copy_file_range" => copied(place, |from, to, left| {
            rustix::fs::copy_file_range(from, None, to, None, left)
        })?,
        "splice" => spliced(place)?,
        _ => return Ok(None),
    };
    Ok(Some(file))
}

/// Those that set the size itself.
fn resized(name: &str, place: &Place) -> Result<Option<File>> {
    let path = place.path("in/file");
    let file = match name {
        "ftruncate_up" => {
            let file = create(place, "in/file")?;
            file.set_len(1_000_000)?;
            file
        }
        "ftruncate_down" => {
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(4000)?;
            file
        }
        "ftruncate_down_and_write" => {
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(4000)?;
            file.write_all_at(&filler(3000), 4000)?;
            file
        }
        "fallocate" => {
            let file = create(place, "in/file")?;
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 200_000)?;
            file
        }
        "fallocate_keep_size" => {
            let file = create(place, "in/file")?;
            rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 200_000)?;
            file
        }
        "collapse_range" | "insert_range" | "zero_range" | "punch_hole" => {
            let file = OpenOptions::new().write(true).open(path)?;
            let (flags, offset, length) = match name {
                "collapse_range" => (FallocateFlags::COLLAPSE_RANGE, 4096, 4096),
                "insert_range" => (FallocateFlags::INSERT_RANGE, 4096, 4096),
                "zero_range" => (FallocateFlags::ZERO_RANGE, 0, 12_288),
                _ => (
                    FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                    0,
                    8192,
                ),
            };
            rustix::fs::fallocate(&file, flags, offset, length)?;
            file
        }
        "clone" => {
            let to = create(place, "in/file")?;
            rustix::fs::ioctl_ficlone(&to, File::open(place.path("out/source"))?)?;
            to
        }
        "truncate_by_path_while_open" => {
            let file = written(place, "in/file", 8000)?;
            sys::truncate(&path, 3000)?;
            file
        }
        _ => return Ok(None),
    };
    Ok(Some(file))
}

/// Those that change names while the file is open.
fn named(name: &str, place: &Place) -> Result<Option<File>> {
    let path = place.path("in/file");
    let file = match name {
        "tmpfile_linkat" => {
            let file = unnamed(place, 12_345)?;
            let descriptor = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
            rustix::fs::linkat(CWD, descriptor, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
            file
        }
        "tmpfile_never_linked" => unnamed(place, 12_345)?,
        "unlink_while_open" => {
            let mut file = written(place, "in/file", 6000)?;
            fs::remove_file(path)?;
            file.write_all(&filler(4000))?;
            file
        }
        "unlink_existing_while_open" => {
            let mut file = OpenOptions::new().append(true).open(&path)?;
            file.write_all(&filler(1000))?;
            fs::remove_file(path)?;
            file.write_all(&filler(500))?;
            file
        }
        "rename_inside_while_open" => moved(place, "in/file", "in/renamed")?,
        "rename_into_while_open" => moved(place, "out/file", "in/file")?,
        "rename_out_while_open" => moved(place, "in/file", "out/file")?,
        "rename_over_while_open" => moved(place, "in/file", "in/victim")?,
        _ => return Ok(None),
    };
    Ok(Some(file))
}

/// Appends `bytes` bytes to a file that exists.
pub(super) fn append(file: &Path, bytes: usize) -> Result<()> {
    let mut file = OpenOptions::new().append(true).open(file)?;
    Ok(file.write_all(&filler(bytes))?)
}

fn create(place: &Place, name: &str) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(place.path(name))
}

fn written(place: &Place, name: &str, bytes: usize) -> io::Result<File> {
    let mut file = create(place, name)?;
    file.write_all(&filler(bytes))?;
    Ok(file)
}

fn moved(place: &Place, from: &str, to: &str) -> io::Result<File> {
    let file = written(place, from, 3000)?;
    fs::rename(place.path(from), place.path(to))?;
    Ok(file)
}

fn unnamed(place: &Place, bytes: usize) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(
        &place.inside,
        flags,
        Mode::RUSR | Mode::WUSR,
    )?);
    file.write_all(&filler(bytes))?;
    Ok(file)
}

/// Copies the source outside with one of the kernel's own ways.
fn copied(
    place: &Place,
    step: impl Fn(&File, &File, usize) -> rustix::io::Result<usize>,
) -> Result<File> {
    let from = File::open(place.path("out/source"))?;
    let to = create(place, "in/file")?;
    let mut left = usize::try_from(from.metadata()?.len())?;
    while left > 0 {
        let copied = step(&from, &to, left)?;
        ensure!(copied > 0, "{left} bytes of the source are missing");
        left -= copied;
    }
    Ok(to)
}

fn spliced(place: &Place) -> Result<File> {
    let to = create(place, "in/file")?;
    let (read, write) = rustix::pipe::pipe()?;
    // Fits the pipe's default capacity, so that nobody need read at the same time.
    let mut left = rustix::io::write(write, &filler(30_000))?;
    ensure!(left == 30_000, "the pipe holds {left} bytes only");
    while left > 0 {
        left -= rustix::pipe::splice(&read, None, &to, None, left, SpliceFlags::empty())?;
    }
    Ok(to)
}

fn filler(bytes: usize) -> Vec<u8> {
    vec![b'x'; bytes]
}
