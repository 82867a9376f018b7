//! Random sequences: several processes take turns, and after each turn the first one looks by how much the root grew.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    sequence::{Act, Step},
    tree,
};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{again, say};

/// Performs the sequences of a file, one after the other: number N in `inside/N` and `outside/N`.
pub(super) fn all(file: &Path, inside: &Path, outside: &Path) -> Result<()> {
    let sequences: Vec<Vec<Step>> = serde_json::from_reader(File::open(file)?)?;
    for (number, steps) in sequences.iter().enumerate() {
        let own = |directory: &Path| directory.join(number.to_string());
        one(number, steps, &own(inside), &own(outside))?;
    }
    Ok(())
}

fn one(number: usize, steps: &[Step], inside: &Path, outside: &Path) -> Result<()> {
    let processes = steps.iter().map(|step| step.process + 1).max();
    let workers = (0..processes.unwrap_or(0)).map(|_| Worker::start(inside, outside));
    let mut workers = workers.collect::<Result<Vec<_>>>()?;
    let mut before = tree::walk(inside, &[])?.bytes;
    for (at, step) in steps.iter().enumerate() {
        let worker = workers.get_mut(step.process).context("no such process")?;
        worker.does(at, step)?;
        let after = tree::walk(inside, &[])?.bytes;
        worker.growth += after.cast_signed() - before.cast_signed();
        before = after;
    }
    for worker in workers {
        let (pid, growth) = (worker.child.id(), worker.growth);
        worker.end()?;
        say(&serde_json::json!({"sequence": number, "pid": pid, "growth": growth}))?;
    }
    Ok(())
}

struct Worker {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    growth: i64,
}

impl Worker {
    fn start(inside: &Path, outside: &Path) -> Result<Self> {
        let mut command = again()?;
        command.arg("sequence-worker").args([inside, outside]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            orders: child.stdin.take().context("no pipe")?,
            answers: BufReader::new(child.stdout.take().context("no pipe")?),
            child,
            growth: 0,
        })
    }

    fn does(&mut self, at: usize, step: &Step) -> Result<()> {
        writeln!(self.orders, "{}", serde_json::to_string(&(at, step))?)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(!answer.is_empty(), "the worker is gone");
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        drop(self.orders);
        ensure!(self.child.wait()?.success(), "a worker failed");
        Ok(())
    }
}

/// Performs steps as they come on stdin; one that cannot be done changes nothing.
pub(super) fn worker(inside: &Path, outside: &Path) -> Result<()> {
    let place = [inside.to_owned(), outside.to_owned()];
    for line in io::stdin().lock().lines() {
        let (at, step): (usize, Step) = serde_json::from_str(&line?)?;
        let outcome = perform(&place, &step, &at.to_string());
        writeln!(io::stdout(), "{}", outcome.is_ok())?;
    }
    Ok(())
}

/// Directories, with both tops first, and files, in the order of their names.
fn listed(place: &[PathBuf; 2]) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut directories, mut files, mut at) = (place.to_vec(), Vec::new(), 0);
    while let Some(directory) = directories.get(at) {
        let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let into = if entry.file_type()?.is_dir() {
                &mut directories
            } else {
                &mut files
            };
            into.push(entry.path());
        }
        at += 1;
    }
    Ok((directories, files))
}

fn chosen(paths: &[PathBuf], which: usize) -> io::Result<&Path> {
    let at = which
        .checked_rem(paths.len())
        .ok_or(io::ErrorKind::NotFound)?;
    Ok(&paths[at])
}

fn perform(place: &[PathBuf; 2], step: &Step, name: &str) -> io::Result<()> {
    let Step {
        which: [one, other],
        bytes,
        ..
    } = *step;
    let (directories, files) = listed(place)?;
    let (inner, target) = (&directories[2..], chosen(&directories, other)?.join(name));
    let data = vec![b'x'; usize::try_from(bytes).unwrap_or(0)];
    match step.act {
        Act::MakeDirectory => fs::create_dir(target),
        Act::Create => fs::write(target, data),
        Act::Append => append(chosen(&files, one)?)?.write_all(&data),
        Act::Truncate => truncate(chosen(&files, one)?, bytes),
        Act::Unlink => fs::remove_file(chosen(&files, one)?),
        Act::MoveFile => fs::rename(chosen(&files, one)?, target),
        Act::Replace => fs::rename(chosen(&files, one)?, chosen(&files, other)?),
        Act::ExchangeFiles => exchange(chosen(&files, one)?, chosen(&files, other)?),
        Act::MoveDirectory => fs::rename(chosen(inner, one)?, target),
        Act::ExchangeDirectories => exchange(chosen(inner, one)?, chosen(inner, other)?),
        Act::RemoveTree => fs::remove_dir_all(chosen(inner, one)?),
        Act::MoveOpenFile => {
            let file = chosen(&files, one)?;
            let mut open = append(file)?;
            open.write_all(&data)?;
            fs::rename(file, target)?;
            open.write_all(&data)
        }
    }
}

fn append(file: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(file)
}

fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

/// By its name, and not through a descriptor.
fn truncate(file: &Path, bytes: u64) -> io::Result<()> {
    let path = std::ffi::CString::new(file.as_os_str().as_encoded_bytes())?;
    let bytes = libc::off_t::try_from(bytes).unwrap_or(0);
    // SAFETY: a string that ends with NUL and outlives the call.
    match unsafe { libc::truncate(path.as_ptr(), bytes) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
