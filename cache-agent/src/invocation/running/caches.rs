//! The caches of one invocation, as far as it and its tools name them.

use std::path::PathBuf;

use super::Live;
use crate::{
    go::{
        env::{self, FoundRoot},
        tools,
        variables::Variables,
    },
    model::{invocation::Invocation, root::RootKind},
    process::caches_in_use::Sighting,
};

impl Live {
    /// Variables of one of its tools; the first one names the caches.
    pub(in crate::invocation) fn told(&mut self, environment: Variables) -> Option<Sighting> {
        if !self.effective.is_empty() {
            return None;
        }
        self.effective = environment;
        self.sighting(&self.effective)
    }

    /// Caches that its own environment names: known before its first look at them.
    pub(in crate::invocation) fn named(&self) -> Option<Sighting> {
        let is_user = self.record.tool == "go" && tools::uses_caches(&self.record.verb);
        is_user.then(|| self.sighting(&self.environment)).flatten()
    }

    fn sighting(&self, told: &Variables) -> Option<Sighting> {
        let Invocation { uid, start_ms, .. } = self.record;
        let sighting = Sighting::of(self.key, uid, start_ms, told);
        Some(sighting).filter(|sighting| !sighting.caches.is_empty())
    }

    /// The caches that it uses, by its own settings and those that its tools were told.
    pub(super) fn caches(&self) -> Vec<FoundRoot> {
        let mut told = self.environment.clone();
        told.extend(self.effective.clone());
        env::of_variables(&told).roots
    }

    /// It may have written to one of these caches since then.
    pub(in crate::invocation) fn may_use(
        &self,
        caches: &[(RootKind, PathBuf)],
        since_ns: u64,
    ) -> bool {
        let is_of_then = self.ended_ns.is_none_or(|ended| ended >= since_ns);
        let own = self.caches();
        let is_one_of = |root: &FoundRoot| {
            let mut caches = caches.iter();
            caches.any(|(kind, path)| *kind == root.kind && env::clean(path) == root.path)
        };
        self.record.tool == "go"
            && !self.is_sidecar()
            && is_of_then
            && (own.is_empty() || own.iter().any(is_one_of))
    }
}
