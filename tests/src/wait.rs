//! Bounded waiting: the only place that sleeps. Bounds are in [`QuietTime`], so that a busy machine changes how
//! long a test takes, not how it ends.

use std::{
    env, fs,
    path::Path,
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Time between two looks at a condition: short against everything the tests wait for.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How many times longer than on a quiet machine something may take on a busy one.
const BUSY: u32 = 10;
const END: &str = "end of the process";
/// Where an emulated machine is told how slow it is.
const PATIENCE: &str = "CACHE_TEST_PATIENCE";

/// Waits until `look` gives something; an error that says `what` was missing after `limit`.
pub fn until<T>(what: &str, limit: Duration, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let mut quiet = QuietTime::start();
    until_by(what, limit * patience(), || quiet.elapsed(), look)
}

fn until_by<T>(
    what: &str,
    limit: Duration,
    mut elapsed: impl FnMut() -> Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if elapsed() > limit {
            bail!("{what}: not within {} s", limit.as_secs_f64());
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Waits until the file at `path` is there and has as many bytes.
pub fn for_size(path: &Path, bytes: u64, limit: Duration) -> Result<()> {
    let what = format!("{bytes} B in {}", path.display());
    until(&what, limit, || {
        let has = fs::metadata(path).is_ok_and(|found| found.len() == bytes);
        Ok(has.then_some(()))
    })
}

/// Sleeps for as long as it is quiet, and for longer while it is not.
pub fn pause(duration: Duration) {
    let mut quiet = QuietTime::start();
    while let Some(left) = duration.checked_sub(quiet.elapsed()) {
        thread::sleep(left.max(Duration::from_millis(1)));
    }
}

/// How much slower than what the limits are made for this machine may be: an emulated one is told.
pub fn patience() -> u32 {
    let told = env::var(PATIENCE).ok();
    told.and_then(|told| told.parse().ok()).unwrap_or(1)
}

/// Waits until `child` has ended, and kills it when it does not within `limit`.
pub fn for_end(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let ended = until(END, limit, || Ok(child.try_wait()?));
    killed_if_not(ended, child)
}

/// The same, busy or not: for whoever has a limit himself.
pub fn for_end_by_the_clock(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let started = Instant::now();
    let ended = until_by(END, limit, || started.elapsed(), || Ok(child.try_wait()?));
    killed_if_not(ended, child)
}

fn killed_if_not(ended: Result<ExitStatus>, child: &mut Child) -> Result<ExitStatus> {
    if ended.is_err() {
        child
            .kill()
            .context("cannot kill the process that does not end")?;
        child.wait().context("cannot wait for the killed process")?;
    }
    ended
}

/// A clock that hardly moves while processes wait for a processor or a disk that others use.
///
/// It leaves out the time for which the kernel's pressure counters say so, but for a tenth of it: what never
/// comes is given up on a busy machine, too. All time is quiet where the kernel has no such counters, and where
/// limits are stretched already.
#[derive(Debug)]
pub struct QuietTime {
    seen: Instant,
    stalled: Duration,
    quiet: Duration,
}

impl QuietTime {
    /// Starts at zero.
    pub fn start() -> Self {
        Self {
            seen: Instant::now(),
            stalled: stalled(),
            quiet: Duration::ZERO,
        }
    }

    /// Quiet time since the start.
    pub fn elapsed(&mut self) -> Duration {
        let (now, stalled) = (Instant::now(), stalled());
        let passed = now.duration_since(self.seen);
        let waited = stalled.saturating_sub(self.stalled);
        self.quiet += passed.saturating_sub(waited).max(passed / BUSY);
        (self.seen, self.stalled) = (now, stalled);
        self.quiet
    }
}

/// For how long, since the machine started, somebody waited for a processor or a disk.
fn stalled() -> Duration {
    if patience() > 1 {
        return Duration::ZERO;
    }
    let of = |resource: &str| {
        let text = fs::read_to_string(format!("/proc/pressure/{resource}")).ok()?;
        stalled_in(&text)
    };
    ["cpu", "io"].into_iter().filter_map(of).sum()
}

/// The total of the line about some process, in microseconds.
fn stalled_in(text: &str) -> Option<Duration> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    let (_, total) = line.rsplit_once("total=")?;
    Some(Duration::from_micros(total.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_some_is_what_counts() {
        let text = "some avg10=98.31 avg60=98.28 avg300=68.16 total=376824556\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=17\n";
        assert_eq!(stalled_in(text), Some(Duration::from_micros(376_824_556)));
        assert_eq!(stalled_in("full avg10=0.00 total=17\n"), None);
    }

    #[test]
    fn quiet_time_passes_neither_faster_than_time_nor_more_than_ten_times_slower() {
        let (mut quiet, started) = (QuietTime::start(), Instant::now());
        pause(Duration::from_millis(20));
        let (least, most) = (started.elapsed() / BUSY, quiet.elapsed());
        assert!(most >= least, "{most:?} in {least:?} or more");
        assert!(most <= started.elapsed(), "{most:?}");
    }
}
