//! The picture that the rest of the agent sees.

use std::time::SystemTime;

use anyhow::Result;

use super::{event_loop::Keeper, publish};
use crate::{limits::thresholds, snapshot::Snapshot};

impl Keeper {
    /// One picture; tells thresholds on the way.
    pub(super) fn look(&mut self) -> Result<Snapshot> {
        let totals = publish::totals(&self.book)?;
        let sums = self.aggregate.look(&mut self.book, &mut self.roster)?;
        self.chronicle
            .settle(&mut self.aggregate, &sums.invocations);
        let mut roots = Vec::with_capacity(self.roster.entries.len());
        for entry in &mut self.roster.entries {
            let total = entry.index.and_then(|index| totals.get(&index));
            let total = total.copied().unwrap_or_default();
            let mut root = publish::root(entry, &self.book, total, &sums);
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
        let process_events_dropped = self.chronicle.lost(&mut self.book)?;
        let session = self.book.session();
        let counters = session.tables.counters()?;
        let events = publish::events(&counters, session.missed_runs());
        let coverage = self.canary.corrected(session.coverage.operations());
        Ok(Snapshot {
            taken_at: SystemTime::now(),
            backend: session.backend.as_str(),
            degraded: publish::degraded(&session.coverage, &events, &self.canary, &self.history),
            canary: self.canary.proof(),
            coverage,
            maps: publish::maps(session, &sums, &roots),
            roots,
            events,
            process_events_dropped,
            processes_folded: self.aggregate.folded,
            event_latency: self.latency,
            history: self.history.counts,
            invocations: self.chronicle.tally,
            usage: publish::usage(self.map_bytes),
        })
    }
}
