//! Many processes, many files, many writers.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::FileExt as _,
    panic::resume_unwind,
    path::Path,
    process,
    sync::Barrier,
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use cache_tests::{cases::crowd_bytes, wait};
use rustix::process::{WaitOptions, wait as wait_for_child};

use super::{again, sys};

/// Children alive at the same time.
const AT_ONCE: usize = 8;
/// What one write of [`write_range`] writes; the other writer's block follows it.
const BLOCK: u64 = 1000;
/// One in this many files outlives its cycle of [`reuse`].
const KEEP_ONE_IN: usize = 1000;
/// Far more than a test needs until it lets go.
const HELD: Duration = Duration::from_mins(10);

/// `number` processes, each of which creates one file and exits.
pub(super) fn crowd(number: usize, directory: &Path) -> Result<()> {
    let reap = || -> Result<()> {
        let ended = wait_for_child(WaitOptions::empty())?;
        let good = ended.is_some_and(|(_, status)| status.exit_status() == Some(0));
        ensure!(good, "a child failed: {ended:?}");
        Ok(())
    };
    for index in 0..number {
        if index >= AT_ONCE {
            reap()?;
        }
        if sys::fork()?.is_none() {
            let content = vec![b'c'; crowd_bytes(index)];
            fs::write(directory.join(format!("file{index}")), content)?;
            process::exit(0);
        }
    }
    (0..number.min(AT_ONCE)).try_for_each(|_| reap())
}

/// Creates and removes a file again and again, so that its inode number serves many.
pub(super) fn reuse(cycles: usize, directory: &Path) -> Result<()> {
    for cycle in 0..cycles {
        let keep = cycle % KEEP_ONE_IN == 0;
        let path = directory.join(format!("file{cycle}"));
        fs::write(&path, vec![b'r'; 11 + cycle % 50])?;
        if !keep {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Two processes that extend one file by turns.
pub(super) fn two_writers(file: &Path) -> Result<()> {
    let start = |offset: u64| {
        let mut writer = again()?;
        writer
            .arg("write-range")
            .arg(file)
            .args([offset.to_string(), "100000".to_owned()])
            .spawn()
    };
    for mut writer in [start(0)?, start(BLOCK)?] {
        ensure!(writer.wait()?.success(), "a writer failed");
    }
    Ok(())
}

/// Two threads that create each of `number` files at the same moment; the second to come finds it there.
/// Each writes [`BLOCK`] bytes of its own.
pub(super) fn same_names(number: usize, directory: &Path) -> Result<()> {
    let barrier = Barrier::new(2);
    let create_all = |offset: u64| -> Result<()> {
        let mut failed = None;
        for index in 0..number {
            barrier.wait();
            let file = directory.join(format!("file{index}"));
            // The other thread would wait at the barrier for ever.
            failed = failed.or(write_range(&file, offset, BLOCK).err());
        }
        failed.map_or(Ok(()), Err)
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| create_all(BLOCK));
        let own = create_all(0);
        own.and(other.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Writes every second block, from `offset` on.
pub(super) fn write_range(file: &Path, offset: u64, bytes: u64) -> Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(file)?;
    for block in 0..bytes / BLOCK {
        file.write_all_at(&[b'w'; 1000], offset + 2 * block * BLOCK)?;
    }
    Ok(())
}

/// `number` files of `bytes` bytes each.
pub(super) fn files(number: usize, bytes: usize, directory: &Path) -> Result<()> {
    for index in 0..number {
        fs::write(directory.join(format!("file{index}")), vec![b'f'; bytes])?;
    }
    Ok(())
}

/// `number` files of `bytes` bytes that take no room on the disk.
pub(super) fn sparse(number: usize, bytes: u64, directory: &Path) -> Result<()> {
    for index in 0..number {
        File::create(directory.join(format!("file{index}")))?.set_len(bytes)?;
    }
    Ok(())
}

/// Writes `bytes` bytes to a new file, and as many again when `until` exists.
pub(super) fn hold(file: &Path, bytes: usize, until: &Path) -> Result<()> {
    let mut file = File::create_new(file)?;
    file.write_all(&vec![b'h'; bytes])?;
    wait::until("the sign to go on", HELD, || {
        Ok(until.exists().then_some(()))
    })?;
    file.write_all(&vec![b'h'; bytes])?;
    Ok(())
}

/// Writes `bytes` bytes to each of `number` new files, keeps all of them open until `until` exists, and writes
/// as many again.
pub(super) fn hold_many(number: usize, bytes: usize, directory: &Path, until: &Path) -> Result<()> {
    let content = vec![b'm'; bytes];
    let mut files = Vec::with_capacity(number);
    for index in 0..number {
        let mut file = File::create_new(directory.join(format!("file{index}")))?;
        file.write_all(&content)?;
        files.push(file);
    }
    wait::until("the sign to go on", HELD, || {
        Ok(until.exists().then_some(()))
    })?;
    files
        .iter_mut()
        .try_for_each(|file| file.write_all(&content))?;
    Ok(())
}

/// Lets a file grow to `bytes` bytes in `steps` steps, `pause` apart; sparse, so that the disk's speed does
/// not matter.
pub(super) fn grow(file: &Path, bytes: u64, steps: u64, pause: Duration) -> Result<()> {
    let file = File::create_new(file)?;
    for step in 1..=steps {
        file.write_all_at(b"g", bytes / steps * step - 1)?;
        wait::pause(pause);
    }
    Ok(())
}
