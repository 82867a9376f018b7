//! The command and all it starts: spawned, its signals forwarded, waited for to the last descendant.

use std::{
    ffi::OsString,
    os::fd::OwnedFd,
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2},
    iterator::Signals,
};
use thiserror::Error;

use super::user::Credentials;
use crate::{model::exit_status, sys::credentials};

/// Between two looks at least.
const MOMENT: Duration = Duration::from_millis(1);

/// Why a command could not be started, as a shell tells it.
#[derive(Debug, Error)]
pub enum CommandError {
    /// Status 127.
    #[error("command {0} not found")]
    NotFound(String),
    /// Status 126.
    #[error("command {0} cannot be executed: {1}")]
    NotExecutable(String, std::io::Error),
}

impl CommandError {
    /// Exit status.
    pub fn status(&self) -> u8 {
        match self {
            Self::NotFound(_) => exit_status::COMMAND_NOT_FOUND,
            Self::NotExecutable(..) => exit_status::COMMAND_NOT_EXECUTABLE,
        }
    }
}

/// How the command ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Exit status, 128 + n for signal n.
    pub code: u8,
    /// From its start until its last descendant ended.
    pub duration: Duration,
}

/// A command and its descendants.
#[derive(Debug)]
pub struct Family {
    child: Child,
    started: Instant,
    signals: Signals,
}

/// Checks that the command exists before anything else is done.
pub fn find(command: &[OsString]) -> Result<(), CommandError> {
    let Some(program) = command.first() else {
        return Ok(());
    };
    let shown = || program.to_string_lossy().into_owned();
    let candidates: Vec<PathBuf> =
        if Path::new(program).components().count() > 1 || Path::new(program).is_absolute() {
            vec![PathBuf::from(program)]
        } else {
            let path = std::env::var_os("PATH")
                .unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin"));
            std::env::split_paths(&path)
                .map(|directory| directory.join(program))
                .collect()
        };
    let Some(found) = candidates.iter().find(|path| path.exists()) else {
        return Err(CommandError::NotFound(shown()));
    };
    let runs = |path: &PathBuf| {
        path.metadata()
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if candidates.iter().any(runs) {
        return Ok(());
    }
    let kind = if found.is_dir() {
        Errno::EISDIR
    } else {
        Errno::EACCES
    };
    Err(CommandError::NotExecutable(shown(), kind.into()))
}

impl Family {
    /// Starts it. Orphans among its descendants become this process' children, so that the last one is seen.
    pub fn spawn(command: &[OsString], run_as: &Credentials) -> Result<Self> {
        let (program, arguments) = command.split_first().context("no command")?;
        prctl::set_child_subreaper(true).context("cannot become the parent of orphans")?;
        let signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2])
            .context("cannot watch for signals")?;
        let mut command = Command::new(program);
        command.args(arguments);
        become_user(&mut command, run_as);
        let child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                CommandError::NotFound(program.to_string_lossy().into_owned())
            }
            _ => CommandError::NotExecutable(program.to_string_lossy().into_owned(), error),
        })?;
        Ok(Self {
            child,
            started: Instant::now(),
            signals,
        })
    }

    /// Waits until all have ended, calling `each` every `tick`, and once one of these is readable.
    pub fn wait(
        &mut self,
        tick: Duration,
        bells: &[OwnedFd],
        mut each: impl FnMut() -> Result<()>,
    ) -> Result<Ended> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        let mut status = None;
        loop {
            for signal in self.signals.pending() {
                forward(pid, signal);
            }
            each()?;
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => rest(tick, bells),
                Ok(WaitStatus::Exited(ended, code)) if ended == pid => {
                    status = Some(ExitStatus::from_raw(code << 8));
                }
                Ok(WaitStatus::Signaled(ended, signal, _)) if ended == pid => {
                    status = Some(ExitStatus::from_raw(signal as i32));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => break,
                Err(error) => return Err(error).context("cannot wait for the command"),
            }
        }
        Ok(Ended {
            code: status.map_or(exit_status::TRACE_FAILURE, code),
            duration: self.started.elapsed(),
        })
    }
}

/// Sleeps until something rings, but not less than a moment: a busy build would keep this process busy.
fn rest(tick: Duration, bells: &[OwnedFd]) {
    std::thread::sleep(MOMENT);
    let limit = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(tick.saturating_sub(MOMENT).subsec_nanos()),
    };
    let mut ready: Vec<_> = bells
        .iter()
        .map(|bell| PollFd::new(bell, PollFlags::IN))
        .collect();
    if let Err(error) = poll(&mut ready, Some(&limit)) {
        tracing::debug!(%error, "the wait was cut short");
    }
}

fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .unwrap_or_else(|| i32::from(exit_status::SIGNAL_BASE) + status.signal().unwrap_or(0));
    u8::try_from(code & 0xff).unwrap_or(exit_status::TRACE_FAILURE)
}

/// A signal typed at the terminal has reached the command already; a second one does no harm that a
/// user of the terminal did not ask for.
fn forward(pid: Pid, signal: i32) {
    if let Ok(signal) = Signal::try_from(signal)
        && let Err(error) = kill(pid, signal)
    {
        tracing::debug!(%error, "the command is gone already");
    }
}

/// Sets user, groups and the variables that go with them.
pub fn become_user(command: &mut Command, run_as: &Credentials) {
    if let Credentials::Other(identity) = run_as {
        command
            .env("HOME", &identity.home)
            .env("USER", &identity.name)
            .env("LOGNAME", &identity.name);
        credentials::set(command, identity.uid, identity.gid, identity.groups.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(program: &Path, expected: Option<u8>) {
        let outcome = find(&[program.as_os_str().to_owned()]);
        let status = outcome.err().map(|error| error.status());
        assert_eq!(status, expected, "{}", program.display());
    }

    #[test]
    fn a_command_is_looked_for_as_a_shell_does() {
        let here = tempfile::tempdir().unwrap();
        let plain = here.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        check(Path::new("sh"), None);
        check(Path::new("/bin/sh"), None);
        check(
            Path::new("no-such-command"),
            Some(exit_status::COMMAND_NOT_FOUND),
        );
        check(
            &here.path().join("absent"),
            Some(exit_status::COMMAND_NOT_FOUND),
        );
        check(&plain, Some(exit_status::COMMAND_NOT_EXECUTABLE));
        check(here.path(), Some(exit_status::COMMAND_NOT_EXECUTABLE));
        assert!(find(&[]).is_ok());
    }

    #[test]
    fn exit_status_is_the_commands_or_tells_the_signal() {
        for (raw, expected) in [(0, 0), (3 << 8, 3), (255 << 8, 255), (9, 137), (15, 143)] {
            assert_eq!(code(ExitStatus::from_raw(raw)), expected, "{raw:#x}");
        }
    }
}
