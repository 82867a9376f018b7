//! The snapshot that the rest of the agent sees.

use std::time::SystemTime;

use anyhow::Result;

use super::{event_loop::EventLoop, publish};
use crate::{limits::thresholds, snapshot::Snapshot};

impl EventLoop {
    /// One snapshot; tells thresholds on the way.
    pub(super) fn look(&mut self) -> Result<Snapshot> {
        let totals = publish::totals(&self.ledger)?;
        let sums = self
            .process_totals
            .look(&mut self.ledger, &mut self.roots)?;
        self.invocations
            .settle(&mut self.process_totals, &sums.invocations);
        let mut roots = Vec::with_capacity(self.roots.entries.len());
        for entry in &mut self.roots.entries {
            let total = entry.index.and_then(|index| totals.get(&index));
            let total = total.copied().unwrap_or_default();
            let mut root = publish::root(entry, &self.ledger, total, &sums);
            if entry.index.is_some() {
                let (state, events) = thresholds::evaluate(
                    &entry.thresholds,
                    &entry.state,
                    root.size_bytes,
                    &root.file_system,
                );
                entry.state = state;
                for event in events {
                    tracing::warn!(root = entry.name, %event, "threshold");
                }
            }
            root.thresholds = entry.state.snapshot(&entry.thresholds);
            roots.push(root);
        }
        self.note();
        let process_events_dropped = self.invocations.lost()?;
        let session = self.ledger.session();
        let counters = self.ledger.counters()?;
        let events = publish::events(&counters, session.missed_runs());
        let coverage = self.canary.corrected(session.coverage.operations());
        Ok(Snapshot {
            taken_at: SystemTime::now(),
            attached: true,
            backend: session.backend.as_str(),
            degraded: publish::degraded(&session.coverage, &events, &self.canary, &self.history),
            canary: self.canary.proof(),
            coverage,
            maps: publish::maps(&self.ledger, &sums, &roots),
            roots,
            events,
            process_events_dropped,
            processes_tracked: sums.tracked,
            processes_folded: self.process_totals.folded,
            users: sums.users,
            event_latency: self.latency,
            history: self.history.counts,
            invocations: self.invocations.counts,
            usage: publish::usage(self.map_bytes),
        })
    }
}
