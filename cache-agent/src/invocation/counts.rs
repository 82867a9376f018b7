//! Figures of finished invocations, by a few groups, so that their series stay bounded.

use crate::model::{
    built::Built,
    invocation::Invocation,
    tool_group::{RUNS, is_go},
};

/// Upper bounds, in bytes, of the buckets of growth: up to a package or two, up to a build from scratch.
pub const GROWTH_BUCKETS: [f64; 2] = [1_048_576.0, 104_857_600.0];

/// One group.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Group {
    /// Invocations that ended.
    pub invocations: u64,
    /// Of growth, by bucket, not cumulative; the last one is beyond all bounds.
    pub growth_counts: [u64; GROWTH_BUCKETS.len() + 1],
    /// Sum of growth in bytes; what shrank counts as none.
    pub growth_bytes: f64,
    /// Look-ups in build caches.
    pub lookups: u64,
    /// Those that found their entry.
    pub hits: u64,
}

/// All groups.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InvocationCounts {
    /// In the order of [`RUNS`].
    pub groups: [Group; RUNS.len()],
    /// Packages compiled for a reason that could not be known.
    pub unknown_packages: u64,
}

impl InvocationCounts {
    /// What an invocation compiled has its reasons.
    pub fn count_unknown(&mut self, record: &Invocation) {
        let is_unknown = |built: &&Built| {
            let first = built.reasons.first();
            first.is_some_and(|reason| reason.kind == "unknown")
        };
        let unknown = record.built.iter().filter(is_unknown);
        self.unknown_packages += unknown
            .map(|built| built.packages.len() as u64)
            .sum::<u64>();
    }

    /// An invocation is over.
    pub fn count(&mut self, record: &Invocation) {
        let [go, other] = &mut self.groups;
        let group = if is_go(&record.tool) { go } else { other };
        #[expect(
            clippy::cast_precision_loss,
            reason = "the format has only doubles: exact up to 8 PiB"
        )]
        let growth = record.growth_bytes.max(0) as f64;
        group.invocations += 1;
        group.lookups += record.lookups;
        group.hits += record.hits;
        group.growth_bytes += growth;
        let bucket = GROWTH_BUCKETS.iter().position(|bound| growth <= *bound);
        if let Some(count) = group
            .growth_counts
            .get_mut(bucket.unwrap_or(GROWTH_BUCKETS.len()))
        {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::built::Reason;

    #[test]
    fn invocations_are_counted_by_group_and_growth() {
        let mut counts = InvocationCounts::default();
        for (tool, growth_bytes) in [("go", 5), ("go", -7), ("go", 1 << 40), ("make", 2_000_000)] {
            counts.count(&Invocation {
                tool: tool.to_owned(),
                growth_bytes,
                lookups: 3,
                hits: 2,
                ..Invocation::default()
            });
        }
        let [go, other] = counts.groups;
        assert_eq!((go.invocations, go.lookups, go.hits), (3, 9, 6));
        assert_eq!(go.growth_counts, [2, 0, 1]);
        assert_eq!(other.growth_counts, [0, 1, 0]);
    }

    #[test]
    fn packages_without_a_reason_are_counted() {
        let built = |kind: &str, packages: &[&str]| Built {
            reasons: vec![Reason::new(kind, "")],
            packages: packages.iter().map(|&path| path.to_owned()).collect(),
            ..Built::default()
        };
        let mut counts = InvocationCounts::default();
        counts.count_unknown(&Invocation {
            built: vec![built("unknown", &["a", "b"]), built("source", &["c"])],
            ..Invocation::default()
        });
        assert_eq!(counts.unknown_packages, 2);
    }
}
