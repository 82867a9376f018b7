//! A program that watches: started in a process group of its own, its output kept in files.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use xtask::command::describe;

use super::observer::Usage;
use crate::{
    process::{cpu_of_family, peak_memory_of, signal},
    workload::Workload,
};

/// Compiling a bpftrace script takes a few seconds.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// What a program still does after it said that it is ready, or that does not say so.
const READY_MARGIN: Duration = Duration::from_secs(1);
/// Detaching from a dozen system calls takes a second.
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Watcher {
    child: Child,
    name: String,
    output: PathBuf,
    errors: PathBuf,
}

/// All that a program said.
pub(super) struct Said {
    pub(super) output: String,
    pub(super) errors: String,
}

impl Watcher {
    /// Starts it, and waits until it says `mark` on stdout or stderr, if it says anything.
    pub(super) fn start(
        mut command: Command,
        mark: Option<&str>,
        workload: &Workload,
    ) -> Result<Self> {
        let (output, errors) = (workload.aside("watcher.out"), workload.aside("watcher.err"));
        let line = describe(&command);
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::create(&errors)?)
            // A loop of a shell ends with what it has started.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        let mut watcher = Self {
            child,
            name: line,
            output,
            errors,
        };
        watcher.wait_until_ready(mark)?;
        Ok(watcher)
    }

    fn wait_until_ready(&mut self, mark: Option<&str>) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        let said = |watcher: &Self| {
            let said = watcher.said();
            mark.is_none_or(|mark| said.output.contains(mark) || said.errors.contains(mark))
        };
        while !said(self) {
            self.check_alive()?;
            if Instant::now() > deadline {
                bail!(
                    "`{}` was not ready in time: {}",
                    self.name,
                    self.complaint()
                );
            }
            thread::sleep(POLL_INTERVAL);
        }
        thread::sleep(READY_MARGIN);
        self.check_alive()
    }

    fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("`{}` ended with {status}: {}", self.name, self.complaint()),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn usage(&mut self) -> Result<Usage> {
        self.check_alive()?;
        Ok(Usage {
            cpu_s: cpu_of_family(self.child.id())?,
            max_rss_bytes: Some(peak_memory_of(self.child.id())?),
        })
    }

    /// Asks its group to end, waits for it, and gives what it said.
    pub(super) fn stop(mut self, signal_name: &str) -> Result<Said> {
        self.check_alive()?;
        signal(format!("-{}", self.child.id()), signal_name)?;
        let deadline = Instant::now() + STOP_LIMIT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("`{}` did not end in time", self.name);
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(self.said())
    }

    fn said(&self) -> Said {
        // What file names hold need not be text.
        let read = |path| {
            let bytes = fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Said {
            output: read(&self.output),
            errors: read(&self.errors),
        }
    }

    fn complaint(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.errors.lines().chain(said.output.lines()).collect();
        let telling = lines.iter().rev().find(|line| !line.trim().is_empty());
        telling.copied().unwrap_or("it said nothing").to_owned()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Ended already, except after a failure, and then there is nobody to tell of a second.
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(signal(format!("-{}", self.child.id()), "KILL"));
            drop(self.child.wait());
        }
    }
}
