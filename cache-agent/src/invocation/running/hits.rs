//! Hits and misses of an invocation that is over, where its look-ups are known.

use std::collections::HashMap;

use super::Live;
use crate::{
    go::env::FoundRoot,
    invocation::lookups::{Entries, Figures},
    ledger::accounts::Sums,
    model::root::RootKind,
};

impl Live {
    /// Hits and misses; where the look-ups are not all known, only what ran.
    pub(super) fn count_lookups(
        &mut self,
        sums: &HashMap<u32, Sums>,
        paths: &HashMap<u32, String>,
        entries: &dyn Entries,
        has_helper: bool,
    ) {
        let (key, start_ms) = (self.key, self.record.start_ms);
        let found: u64 = sums.values().map(|sum| sum.hits).sum();
        let is_silent = found == 0 && sums.values().all(|sum| sum.misses == 0);
        let is_elsewhere = has_helper || is_silent && self.is_elsewhere(paths);
        let mut roots = sums.keys();
        let is_known = !(self.is_seeded || is_elsewhere)
            && roots.all(|root| entries.is_known_since(*root, key.start_ns, start_ms));
        let figures = is_known
            .then(|| self.lookups.figures(found, &self.packages, entries))
            .flatten();
        let Figures {
            hits,
            indexes,
            tests,
            others,
        } = figures.unwrap_or_default();
        let record = &mut self.record;
        (record.hits, record.misses) = (hits, self.packages.ran());
        record.lookups = figures.map_or(0, |_| record.hits + record.misses);
        (record.index_lookups, record.test_lookups) = (indexes, tests);
        record.other_lookups = others;
    }

    /// What the actions of this invocation put out is kept where nobody watches.
    fn is_elsewhere(&self, paths: &HashMap<u32, String>) -> bool {
        let own = self.caches();
        let mut builds = own.iter().filter(|root| root.kind == RootKind::GoBuild);
        let is_watched = |root: &FoundRoot| {
            let path = root.path.to_string_lossy();
            paths.values().any(|watched| *watched == path)
        };
        builds.any(|root| !is_watched(root))
    }
}
