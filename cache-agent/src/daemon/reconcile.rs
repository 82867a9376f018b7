//! The walks: when one must follow a loss, and what each found.

use std::time::{Duration, Instant};

use anyhow::Result;
use cache_ebpf::{DEPTH_MAX, counter};

use super::{
    event_loop::{EventLoop, observe},
    publish,
    roots::InitialContent,
};
use crate::{
    kernel::kernel_side::KernelSide,
    ledger::{
        Reconciled, Reconciliation, Unsure,
        root::{LeftOut, WatchedRoot},
    },
};

/// After a counted loss all roots are walked, but not more often than this.
const WALK_INTERVAL: Duration = Duration::from_mins(1);
/// Between two looks at the counters: some are read from a file for each program.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Losses of detail and faults, each followed by a walk, at once or as soon as the last such walk is old enough.
#[derive(Debug)]
pub(super) struct Losses {
    /// Counted when the last walk was started.
    walked: u64,
    next_walk: Instant,
    next_look: Instant,
    is_waiting: bool,
}

impl Losses {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            walked: 0,
            next_walk: now,
            next_look: now,
            is_waiting: false,
        }
    }

    /// When a walk is due for a loss that is counted already.
    pub(super) fn due(&self) -> Option<Instant> {
        self.is_waiting.then_some(self.next_walk)
    }

    fn wants_look(&mut self, now: Instant) -> bool {
        let wants = now >= self.next_look;
        if wants {
            self.next_look = now + LOOK_INTERVAL;
        }
        wants
    }

    /// How many were lost since the last walk, if it is time for another.
    fn walk_for(&mut self, counted: u64, now: Instant) -> Option<u64> {
        let lost = counted.saturating_sub(self.walked);
        self.is_waiting = lost > 0 && now < self.next_walk;
        if lost == 0 || self.is_waiting {
            return None;
        }
        self.walked = counted;
        self.next_walk = now + WALK_INTERVAL;
        Some(lost)
    }
}

impl<K: KernelSide> EventLoop<K> {
    /// True when all roots are to be walked because something was lost.
    pub(super) fn lost(&mut self, now: Instant) -> Result<bool> {
        if !self.losses.wants_look(now) {
            return Ok(false);
        }
        let counters = self.ledger.counters()?;
        let counted: u64 = counters
            .iter()
            .skip(counter::DROPPED_RING_FULL as usize)
            .sum();
        let counted = counted + self.ledger.session().missed_runs();
        let lost = self.losses.walk_for(counted, now);
        if let Some(losses) = lost {
            tracing::warn!(losses, "events or precision were lost; walking all roots");
        }
        Ok(lost.is_some())
    }

    /// True when a walk was finished.
    pub(super) fn reconcile(&mut self) -> Result<bool> {
        let now = publish::kernel_now_ns();
        let (latency, invocations) = (&mut self.latency, &mut self.invocations);
        let Reconciled { done, failed } = self.ledger.reconcile(Unsure::Leave, |fact| {
            observe(latency, now, &fact);
            invocations.fact(fact);
        })?;
        for (index, error) in &failed {
            self.walk_failed(*index, error);
        }
        let mut failures = 0;
        for Reconciliation {
            index,
            drift_bytes,
            base,
            moved,
            is_since_last_run,
        } in &done
        {
            let left_out = self.ledger.root(*index).map(|root| root.left_out);
            let Some(entry) = self.roots.by_index(*index) else {
                continue;
            };
            let left_out = left_out.and_then(told);
            failures += u64::from(left_out.is_some());
            entry.trouble.works(&entry.name, left_out);
            match std::mem::replace(&mut entry.initial_content, InitialContent::Base) {
                InitialContent::Base => {}
                InitialContent::Nobodys => self.ledger.credit_initial_content(*index, None)?,
                InitialContent::Of(owner) => {
                    self.ledger.credit_initial_content(*index, Some(owner))?;
                    self.invocations.fulfil(&owner);
                }
            }
            if let Some((mover, changes)) = moved {
                tracing::info!(
                    root = entry.name,
                    pid = mover.tgid,
                    growth_bytes = changes.growth_bytes,
                    "a directory crossed the border of a root"
                );
            }
            if *drift_bytes != 0 && *is_since_last_run {
                tracing::warn!(
                    root = entry.name,
                    drift_bytes,
                    growth_bytes = drift_bytes.wrapping_neg(),
                    "root changed while no agent watched it; booked as unattributed"
                );
            } else if *drift_bytes != 0 {
                tracing::warn!(
                    root = entry.name,
                    drift_bytes,
                    "ledger and disk differed; corrected into unattributed"
                );
            }
            tracing::debug!(
                root = entry.name,
                bytes = base.bytes,
                files = base.files,
                "walked root"
            );
        }
        self.roots.failures += failures;
        if !done.is_empty() {
            self.map_bytes = publish::map_bytes();
        }
        Ok(!(done.is_empty() && failed.is_empty()))
    }

    /// The root keeps its figures until a later walk; one whose directory is gone is let go.
    fn walk_failed(&mut self, index: u32, error: &anyhow::Error) {
        if !self.ledger.root(index).is_some_and(WatchedRoot::exists) {
            self.root_watch.alarm();
            return;
        }
        self.roots.failures += 1;
        if let Some(entry) = self.roots.by_index(index) {
            entry.walk_failed(Instant::now(), error);
        }
    }
}

/// What a walk left out, in a sentence.
fn told(left_out: LeftOut) -> Option<String> {
    let LeftOut {
        unreadable,
        too_deep,
    } = left_out;
    let unreadable = (unreadable > 0).then(|| format!("{unreadable} directories cannot be read"));
    let too_deep = (too_deep > 0)
        .then(|| format!("directories lie deeper than {DEPTH_MAX} levels: {too_deep}"));
    let parts: Vec<String> = unreadable.into_iter().chain(too_deep).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{daemon::testbed::Testbed, kernel::fake::FakeKernel};

    #[test]
    fn a_loss_is_walked_for_once_and_a_later_one_waits_its_turn() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut losses = Losses::new(start);
        assert_eq!(losses.walk_for(0, start), None);
        assert_eq!(losses.walk_for(5, after(1)), Some(5));
        assert_eq!((losses.walk_for(5, after(2)), losses.due()), (None, None));
        assert_eq!(losses.walk_for(8, after(3)), None);
        assert_eq!(losses.due(), Some(after(61)));
        assert_eq!(losses.walk_for(9, after(61)), Some(4));
        assert_eq!((losses.walk_for(9, after(200)), losses.due()), (None, None));
    }

    #[test]
    fn counters_are_read_once_a_second() {
        let start = Instant::now();
        let mut losses = Losses::new(start);
        assert!(losses.wants_look(start));
        assert!(!losses.wants_look(start + Duration::from_millis(20)));
        assert!(losses.wants_look(start + Duration::from_secs(1)));
    }

    #[test]
    fn after_a_loss_every_root_is_walked() {
        for lose in [
            (|kernel| kernel.count(counter::DROPPED_RING_FULL)) as fn(&FakeKernel),
            |kernel| kernel.count(counter::FAULT_STALE),
            FakeKernel::miss_run,
        ] {
            let mut testbed = Testbed::new();
            assert!(!testbed.event_loop.lost(Instant::now()).unwrap());
            lose(&testbed.kernel);
            testbed.event_loop.losses = Losses::new(Instant::now());
            testbed.event_loop.update_roots().unwrap();
            assert!(testbed.event_loop.ledger.root(0).unwrap().walk.is_some());
        }
    }

    #[test]
    fn what_a_new_root_held_goes_to_who_alone_can_have_written_it_after_its_first_walk() {
        let mut testbed = Testbed::new();
        let go = testbed.kernel.start("go build");
        std::fs::write(testbed.path("cache/before"), "12345").unwrap();
        testbed.walk_again();
        testbed.event_loop.roots.all[0].initial_content = InitialContent::Of(go);
        assert_eq!(testbed.growth(go), 0);
        testbed.walk_again();
        assert_eq!(testbed.growth(go), 5);
        let root = testbed.look().roots.remove(0);
        assert_eq!((root.size_bytes, root.drift_bytes), (5, 0));
        testbed.walk_again();
        let root = testbed.look().roots.remove(0);
        assert_eq!((root.size_bytes, root.drift_bytes), (5, 0));
    }
}
