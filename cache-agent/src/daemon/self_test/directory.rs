//! The self-test's directory: nobody else's, registered like a root, shown nowhere.

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, bail};
use cache_ebpf::ProcessKey;
use rustix::{
    fs::{AtFlags, Mode, OFlags, fchmod, fstat, mkdirat, openat, unlinkat},
    io::Errno,
    process::geteuid,
};

use super::operations::NAMES;
use crate::{
    daemon::state_directory::StateDirectory,
    kernel::{kernel_side::KernelSide, ledger_maps::LedgerMaps},
    ledger::Ledger,
};

/// Its name in the state directory.
const NAME: &str = "canary";
/// Nobody else's business.
const MODE: Mode = Mode::RWXU;

/// The directory and who acts in it.
#[derive(Debug)]
pub(super) struct TestDirectory {
    directory: OwnedFd,
    /// Its number in the ledger.
    pub(super) index: u32,
    /// This process as the ledger calls it.
    pub(super) process: ProcessKey,
}

impl TestDirectory {
    /// Makes it, or takes the one of an earlier run and clears it.
    pub(super) fn open(
        state: &StateDirectory,
        ledger: &mut Ledger<impl KernelSide>,
    ) -> Result<Self> {
        let directory = make(state).context("no directory for the canary")?;
        clear(&directory)?;
        let process = ledger.identify()?;
        let own = directory.try_clone().context("no descriptor left")?;
        let index = ledger.watch_unseen(NAME.as_ref(), own)?;
        Ok(Self {
            directory,
            index,
            process,
        })
    }

    pub(super) fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Lets go of it; what stays is an empty directory.
    pub(super) fn close(self, ledger: &mut Ledger<impl LedgerMaps>) {
        if let Err(error) = clear(&self.directory).and_then(|()| ledger.unwatch(self.index)) {
            let error = format!("{error:#}");
            tracing::debug!(error, "the canary's directory is left as it is");
        }
    }
}

fn make(state: &StateDirectory) -> Result<OwnedFd> {
    match mkdirat(state.as_fd(), NAME, MODE) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(state.as_fd(), NAME, flags, Mode::empty())?;
    let found = fstat(&directory)?;
    if found.st_uid != geteuid().as_raw() {
        bail!("it belongs to uid {}", found.st_uid);
    }
    fchmod(&directory, MODE)?;
    Ok(directory)
}

/// Removes what a run that was cut short left.
pub(super) fn clear(directory: &OwnedFd) -> Result<()> {
    for name in NAMES {
        match unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error).context("cannot clear the canary's directory"),
        }
    }
    Ok(())
}
