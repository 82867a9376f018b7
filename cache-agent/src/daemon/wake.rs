//! When the event loop looks: often while something happens, not at all while nothing does.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{event_loop::EventLoop, root_watch::BELLS, roots::Root};
use crate::kernel::kernel_side::KernelSide;

/// Between two snapshots while something happens.
const TICK: Duration = Duration::from_secs(1);
/// Between two looks at the ring alone while something happens: a burst must not fill it.
const DRAIN_TICK: Duration = Duration::from_millis(200);
/// The same once a look found this many events, which is what a burst looks like.
const BURST_TICK: Duration = Duration::from_millis(20);
const BURST_EVENTS: usize = 500;
/// Between two looks while a walk is under way: the ring must not fill meanwhile.
const WALK_TICK: Duration = Duration::from_millis(20);
/// Quiet ticks before the thread goes to sleep.
const QUIET_TICKS: u32 = 3;
/// Between two looks at free space while thresholds ask for it and nothing else happens.
const SPACE_INTERVAL: Duration = Duration::from_secs(30);

impl<K: KernelSide> EventLoop<K> {
    /// Waits until something is to be done; how many events came meanwhile.
    pub(super) fn read_events(&mut self) -> Result<usize> {
        let now = Instant::now();
        let mut until = now + self.timeout();
        if let Some(rest) = self.root_watch.rest(now) {
            until = until.min(now + rest);
        } else if !self.is_settling() && !self.is_walking() {
            return self.sleep(until);
        }
        let (mut events, mut tick) = (0, DRAIN_TICK);
        loop {
            let rest = until.saturating_duration_since(Instant::now());
            let is_told = self.rest(rest.min(tick))?;
            let found = self.drain();
            tick = if found < BURST_EVENTS {
                DRAIN_TICK
            } else {
                BURST_TICK
            };
            events += found;
            if is_told || self.invocations.has_found() || Instant::now() >= until {
                return Ok(events);
            }
        }
    }

    /// Until the kernel side has something, or an order or a root comes.
    fn sleep(&mut self, until: Instant) -> Result<usize> {
        self.ledger.sleep()?;
        let events = self.drain();
        if events > 0 {
            return Ok(events);
        }
        let [roots, marks, mounts] = self.root_watch.bells();
        let mut ready = [
            mounts,
            roots,
            marks,
            PollFd::from_borrowed_fd(self.ledger.events_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.invocations.events_fd(), PollFlags::IN),
            PollFd::new(&self.bell, PollFlags::IN),
            PollFd::from_borrowed_fd(self.invocations.bell(), PollFlags::IN),
        ];
        wait_for(&mut ready, until.saturating_duration_since(Instant::now()))?;
        let mounts = ready[0].revents();
        self.root_watch.rang(mounts);
        Ok(self.drain())
    }

    /// Until an order or a root comes; true if one did. The ring is not waited for: it is looked at anyway.
    fn rest(&mut self, timeout: Duration) -> Result<bool> {
        let is_resting = self.root_watch.rest(Instant::now()).is_some();
        let mut ready = vec![
            PollFd::new(&self.bell, PollFlags::IN),
            // A tool may be gone before the next tick.
            PollFd::from_borrowed_fd(self.invocations.events_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.invocations.bell(), PollFlags::IN),
        ];
        if !is_resting {
            ready.extend(self.root_watch.bells());
        }
        wait_for(&mut ready, timeout)?;
        let is_ordered = !ready[0].revents().is_empty();
        let mounts = ready
            .get(2 + BELLS)
            .map_or(PollFlags::empty(), PollFd::revents);
        if !is_resting {
            self.root_watch.rang(mounts);
        }
        Ok(is_ordered || (self.root_watch.has_changes() && !is_resting))
    }

    /// Something happened a moment ago, or has still to be told: who did it ends a little later.
    pub(super) fn is_settling(&mut self) -> bool {
        self.quiet <= QUIET_TICKS
            || self.process_totals.is_resting()
            || self.invocations.is_waiting()
    }

    fn is_walking(&self) -> bool {
        self.ledger.roots().any(|root| root.walk.is_some())
    }

    fn timeout(&mut self) -> Duration {
        if self.is_walking() {
            return WALK_TICK;
        }
        if self.is_settling() {
            return TICK;
        }
        let now = Instant::now();
        let walks = self
            .roots
            .all
            .iter()
            .filter(|entry| entry.index().is_some())
            .map(|entry| entry.next_walk.saturating_duration_since(now));
        let others = [
            self.last_sizes.due(),
            self.self_test.due(),
            self.losses.due(),
            self.containers.due(),
            self.roots.next_try,
        ];
        let others = others.into_iter().flatten();
        let others = others.map(|due| due.saturating_duration_since(now));
        let next = walks.chain(others).min();
        let next = next.unwrap_or(Duration::from_hours(1));
        if self.watches_space() {
            next.min(SPACE_INTERVAL)
        } else {
            next
        }
    }

    pub(super) fn watches_space(&self) -> bool {
        let asks = |entry: &Root| {
            entry.limits.thresholds.free_space.is_some()
                || entry.limits.thresholds.free_inodes.is_some()
        };
        self.roots.all.iter().any(asks)
    }
}

fn wait_for(ready: &mut [PollFd<'_>], timeout: Duration) -> Result<()> {
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    match poll(ready, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("cannot wait for events"),
    }
}
