//! A build that is going on meanwhile.

use std::{os::unix::process::CommandExt as _, process::Child, time::Duration};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    env::Bench,
    go::{self, Go},
    wait,
};
use rustix::process::{Pid, Signal, kill_process_group};

/// What a build has written when it is well under way.
pub(crate) const UNDER_WAY: u64 = 5_000_000;
/// How much more it writes while no agent looks.
pub(crate) const UNSEEN: u64 = 1_000_000;
/// Until a build has written that much, or all.
const BUILDS: Duration = Duration::from_mins(5);

/// A cold build with the newest Go, its cache the bench's root; killed when dropped before its end.
pub(crate) struct Build<'a> {
    bench: &'a Bench,
    go: Child,
}

impl<'a> Build<'a> {
    /// Starts it.
    pub(crate) fn start(bench: &'a Bench) -> Result<Self> {
        let aside = bench.outside();
        go::make_places(&aside)?;
        let go = Go::newest()?
            .command(&aside, &bench.root())
            .args(["build", "net/http", "go/types", "crypto/x509"])
            .current_dir(aside.join("home"))
            // Its compilers get the signals, too.
            .process_group(0)
            .spawn()?;
        Ok(Self { bench, go })
    }

    /// Waits until the cache has more than `bytes` bytes.
    pub(crate) fn grows_to(&self, bytes: u64) -> Result<()> {
        wait::until("growth by the build", BUILDS, || {
            Ok((self.bench.walk()?.bytes > bytes).then_some(()))
        })
    }

    /// Waits until the cache has `bytes` bytes more than now.
    pub(crate) fn grows_by(&self, bytes: u64) -> Result<()> {
        self.grows_to(self.bench.walk()?.bytes + bytes)
    }

    /// Sends a signal to all of its processes.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let group = i32::try_from(self.go.id()).ok().and_then(Pid::from_raw);
        kill_process_group(group.context("no process number")?, signal)
            .context("cannot signal the build")
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn finish(mut self) -> Result<()> {
        let status = wait::for_end(&mut self.go, BUILDS)?;
        ensure!(status.success(), "the build: {status}");
        Ok(())
    }
}

impl Drop for Build<'_> {
    fn drop(&mut self) {
        if matches!(self.go.try_wait(), Ok(None)) {
            // An error means that it has ended meanwhile.
            drop(self.signal(Signal::KILL));
            drop(self.go.wait());
        }
    }
}
