//! The walks: when one must follow a loss, and what each found.

use std::time::{Duration, Instant};

use anyhow::Result;
use cache_ebpf::counter;

use super::{Keeper, observe};
use crate::{
    ledger::book::{Reconciliation, Unsure},
    picture,
};

/// After a counted loss all roots are walked, but not more often than this.
const LOSS_WALK_INTERVAL: Duration = Duration::from_mins(1);

impl Keeper {
    /// A loss of detail or a fault is followed by a walk.
    pub(super) fn losses_since_last_walk(&mut self, now: Instant) -> Result<bool> {
        let counters = self.book.session().tables.counters()?;
        let counted: u64 = counters
            .iter()
            .skip(counter::DROPPED_RING_FULL as usize)
            .sum();
        let losses = counted + self.book.session().missed_runs();
        if losses == self.losses || now < self.loss_walk {
            return Ok(false);
        }
        tracing::warn!(
            losses = losses - self.losses,
            "events or precision were lost; walking all roots"
        );
        self.losses = losses;
        self.loss_walk = now + LOSS_WALK_INTERVAL;
        Ok(true)
    }

    /// True when a walk was finished.
    pub(super) fn reconcile(&mut self) -> Result<bool> {
        let now = picture::kernel_now_ns();
        let (latency, chronicle) = (&mut self.latency, &mut self.chronicle);
        let done = self.book.reconcile(Unsure::Leave, |fact| {
            observe(latency, now, fact);
            chronicle.fact(fact);
        })?;
        for Reconciliation {
            index,
            drift_bytes,
            base,
            moved,
            is_since_last_run,
        } in &done
        {
            let Some(entry) = self.roster.by_index(*index) else {
                continue;
            };
            if let Some(heir) = entry.heir.take() {
                self.book.bequeath(*index, heir)?;
                if let Some(heir) = heir {
                    self.chronicle.fulfil(&heir);
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
        if !done.is_empty() {
            self.map_bytes = picture::map_bytes();
        }
        Ok(!done.is_empty())
    }
}
