//! Which tools made caches grow, and what their runs found there.

use super::{
    families::{Counts, Families, figure},
    names::names,
};
use crate::{
    invocation::counts::{self, InvocationCounts},
    model::{
        changes::Changes,
        tool_group::{EXPORTED, GROUPS, RUNS, exported},
    },
    snapshot::Snapshot,
};

names! {
    GROUP_GROWTH = COUNTER "go_cache_group_growth_bytes_total" "Bytes that entered any root, by the tool that caused it.";
    INVOCATIONS = COUNTER "go_cache_invocations_total" "Runs of build tools that ended since the agent started.";
    INVOCATION_GROWTH = HISTOGRAM "go_cache_invocation_growth_bytes" "Bytes by which a run of a build tool made caches grow, nested runs not included.";
    LOOKUPS = COUNTER "go_cache_lookups_total" "Compile and link actions of runs that ended: those found in a build cache, and those that ran.";
    LOOKUP_HITS = COUNTER "go_cache_lookup_hits_total" "Those found in the cache; over all look-ups, the hit ratio.";
    UNKNOWN = COUNTER "go_cache_unknown_cause_packages_total" "Packages that runs of build tools compiled for a reason that could not be known.";
}

pub(super) fn add_groups(families: &mut Families, snapshot: &Snapshot) {
    let mut sums = [Changes::default(); EXPORTED.len()];
    for root in &snapshot.roots {
        for (group, changes) in GROUPS.iter().zip(&root.groups) {
            let name = exported(group);
            let slots = EXPORTED.iter().zip(&mut sums);
            slots
                .filter(|(slot, _)| **slot == name)
                .for_each(|(_, sum)| sum.add(changes));
        }
    }
    let rows = EXPORTED
        .iter()
        .zip(&sums)
        .map(|(group, sum)| ([("group", *group)], figure(sum.grown_bytes())));
    families.add(&GROUP_GROWTH, rows);
}

pub(super) fn add(families: &mut Families, counts: &InvocationCounts) {
    let groups = || RUNS.iter().zip(&counts.groups);
    let label = |group: &'static str| [("group", group)];
    families.add(
        &INVOCATIONS,
        groups().map(|(name, group)| (label(name), figure(group.invocations))),
    );
    let histograms = groups().map(|(name, group)| {
        let [counts @ .., beyond] = &group.growth_counts;
        let counts = Counts {
            bounds: &counts::GROWTH_BUCKETS,
            within: counts,
            beyond: *beyond,
            sum: group.growth_bytes,
        };
        (label(name), counts)
    });
    families.add_histograms(&INVOCATION_GROWTH, histograms);
    // Only go has compile and link actions.
    let go = || groups().take(1);
    families.add(
        &LOOKUPS,
        go().map(|(name, group)| (label(name), figure(group.lookups))),
    );
    families.add(
        &LOOKUP_HITS,
        go().map(|(name, group)| (label(name), figure(group.hits))),
    );
    families.add_single(&UNKNOWN, figure(counts.unknown_packages));
}
