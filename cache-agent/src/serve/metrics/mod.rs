//! The snapshot as Prometheus metrics.
//!
//! The number of series is bounded whatever the load. With r roots (at most 51 rows), of which w
//! have a size limit, c causes of loss and fault, and m kernel maps (at most 3 rows), a scrape has
//! `63 + c + 2m + 10r + 2w` series, which keeps ten roots below 200; the tests count them.

mod families;
mod folded;
pub mod names;

use std::time::SystemTime;

use prometheus::proto::MetricFamily;
use prometheus::{Encoder as _, TextEncoder};

use self::{
    families::{Counts, Families},
    folded::Row,
    names::Name,
};
use crate::{
    invocation::counts::{self, InvocationCounts},
    limits::{Threshold, thresholds::Level},
    model::{changes::Changes, operation::Observation, root::RootState, tool_group::GROUPS},
    snapshot::{AgentUsage, EventCounts, Reason, Snapshot},
    store::writer::HistoryCounts,
};

/// Media type of what [`render`] gives.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The text of one scrape.
pub fn render(snapshot: &Snapshot) -> Result<Vec<u8>, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&families(snapshot), &mut text)?;
    Ok(text)
}

/// All metrics of a snapshot, in the order of [`names`].
///
/// Nothing is registered: every total is kept by the ledger, so that a scrape only translates.
pub fn families(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let mut families = Families::default();
    let rows = folded::rows(&snapshot.roots);
    add_sizes(&mut families, &rows);
    add_groups(&mut families, snapshot);
    add_invocations(&mut families, &snapshot.invocations);
    add_limits(&mut families, snapshot, &rows);
    add_file_systems(&mut families, &rows);
    families.add_latency(
        &names::EVENT_LATENCY,
        &[("stage", "snapshot")],
        &snapshot.event_latency,
    );
    add_condition(&mut families, snapshot);
    add_events(
        &mut families,
        &snapshot.events,
        snapshot.process_events_dropped,
    );
    add_maps(&mut families, snapshot);
    add_processes(&mut families, snapshot, &rows);
    add_history(&mut families, snapshot.history);
    add_usage(&mut families, snapshot.usage);
    families.into_inner()
}

fn per_root(families: &mut Families, name: &Name, rows: &[Row], value: impl Fn(&Row) -> f64) {
    families.add(
        name,
        rows.iter().map(|row| {
            (
                [("root", row.name.as_str()), ("kind", row.kind.as_str())],
                value(row),
            )
        }),
    );
}

fn add_sizes(families: &mut Families, rows: &[Row]) {
    per_root(families, &names::SIZE, rows, |row| figure(row.size_bytes));
    per_root(families, &names::DISK, rows, |row| figure(row.disk_bytes));
    per_root(families, &names::FILES, rows, |row| figure(row.files));
    per_root(families, &names::GROWTH, rows, |row| {
        figure(row.changes.grown_bytes())
    });
    per_root(families, &names::FREED, rows, |row| {
        figure(row.changes.freed_bytes)
    });
    per_root(families, &names::CREATED, rows, |row| {
        figure(row.changes.files_created)
    });
    per_root(families, &names::DELETED, rows, |row| {
        figure(row.changes.files_deleted)
    });
    // A rename inside a root leaves the root as it was: not worth a series for each.
    families.add_single(
        &names::RENAMED,
        figure(rows.iter().map(|row| row.changes.files_renamed).sum()),
    );
}

/// Groups of tools with a series of their own; seldom verbs of go share one, to leave room for others.
const TOOL_GROUPS: [&str; 11] = [
    "go-build",
    "go-test",
    "go-run",
    "go-vet",
    "go-mod",
    "go-other",
    "gopls",
    "golangci-lint",
    "staticcheck",
    "other",
    "unattributed",
];

/// Name under which a group is exported.
fn exported(group: &str) -> &str {
    if TOOL_GROUPS.contains(&group) {
        group
    } else if group.starts_with("go-") {
        "go-other"
    } else {
        "other"
    }
}

fn add_groups(families: &mut Families, snapshot: &Snapshot) {
    let mut sums = [Changes::default(); TOOL_GROUPS.len()];
    for root in &snapshot.roots {
        for (group, changes) in GROUPS.iter().zip(&root.groups) {
            let name = exported(group);
            let slots = TOOL_GROUPS.iter().zip(&mut sums);
            slots
                .filter(|(slot, _)| **slot == name)
                .for_each(|(_, sum)| sum.add(changes));
        }
    }
    let rows = TOOL_GROUPS
        .iter()
        .zip(&sums)
        .map(|(group, sum)| ([("group", *group)], figure(sum.grown_bytes())));
    families.add(&names::GROUP_GROWTH, rows);
}

fn add_invocations(families: &mut Families, counts: &InvocationCounts) {
    let groups = || counts::GROUPS.iter().zip(&counts.groups);
    let label = |group: &'static str| [("group", group)];
    families.add(
        &names::INVOCATIONS,
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
    families.add_histograms(&names::INVOCATION_GROWTH, histograms);
    families.add(
        &names::LOOKUPS,
        groups().map(|(name, group)| (label(name), figure(group.lookups))),
    );
    families.add(
        &names::LOOKUP_HITS,
        groups().map(|(name, group)| (label(name), figure(group.hits))),
    );
}

/// Only the size limit has a series per root: the shares of a file system are crossed by all roots
/// on it at once, and three thresholds each would take ten roots beyond their 200 series.
fn add_limits(families: &mut Families, snapshot: &Snapshot, rows: &[Row]) {
    let limits = rows.iter().flat_map(size_limits);
    families.add(
        &names::LIMIT,
        limits
            .clone()
            .map(|(labels, threshold)| (labels, threshold.limit)),
    );
    families.add(
        &names::LIMIT_CROSSED,
        limits.map(|(labels, threshold)| (labels, flag(threshold.crossed))),
    );

    let of_level = |level: Level| {
        let all = snapshot.roots.iter().flat_map(|root| &root.thresholds);
        all.filter(move |threshold| threshold.level == level.as_str())
    };
    let crossed = |level: Level| {
        let number = of_level(level)
            .filter(|threshold| threshold.crossed)
            .count();
        ([("level", level.as_str())], count(number))
    };
    families.add(
        &names::FS_LIMIT_CROSSED,
        [Level::FreeSpace, Level::FreeInodes].map(crossed),
    );
    let crossings = |level: Level| {
        let number = of_level(level).map(|threshold| threshold.crossings).sum();
        ([("level", level.as_str())], figure(number))
    };
    families.add(&names::LIMIT_CROSSINGS, Level::ALL.map(crossings));
}

fn size_limits(row: &Row) -> impl Iterator<Item = ([(&str, &str); 3], &Threshold)> + Clone {
    let labels = |level| {
        [
            ("root", row.name.as_str()),
            ("kind", row.kind.as_str()),
            ("level", level),
        ]
    };
    let of_size = row
        .thresholds
        .iter()
        .filter(|threshold| threshold.level == Level::Warn.as_str());
    of_size.map(move |threshold| (labels(threshold.level), threshold))
}

fn add_file_systems(families: &mut Families, rows: &[Row]) {
    per_root(families, &names::FS_AVAIL, rows, |row| {
        figure(row.file_system.avail_bytes)
    });
    per_root(families, &names::FS_INODES_USED, rows, |row| {
        row.file_system.inodes_used_ratio
    });
    per_root(families, &names::DRIFT, rows, |row| signed(row.drift_bytes));
}

fn add_condition(families: &mut Families, snapshot: &Snapshot) {
    families.add_single(&names::READY, flag(snapshot.is_ready()));
    let sentences = |reason: Reason| {
        let found = snapshot.degraded.iter();
        let number = found.filter(|degraded| degraded.reason == reason).count();
        ([("reason", reason.as_str())], count(number))
    };
    families.add(&names::DEGRADED, Reason::ALL.map(sentences));
    let proved = snapshot.canary.iter().map(|proof| {
        let since = proof.proved_at.unwrap_or(SystemTime::UNIX_EPOCH);
        let since = since.duration_since(SystemTime::UNIX_EPOCH);
        ([], since.unwrap_or_default().as_secs_f64())
    });
    families.add(&names::CANARY, proved);
    let build = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("backend", snapshot.backend),
    ];
    families.add(&names::BUILD_INFO, [(build, 1.0)]);
    let operations = |observation: Observation| {
        let number = snapshot
            .coverage
            .iter()
            .filter(|(_, found)| *found == observation)
            .count();
        ([("observation", observation.as_str())], count(number))
    };
    let observations = [
        Observation::Observed,
        Observation::Unattributed,
        Observation::Unsupported,
    ];
    families.add(&names::COVERAGE, observations.map(operations));
    let absent = snapshot
        .roots
        .iter()
        .filter(|root| root.state == RootState::Absent)
        .count();
    families.add_single(&names::ROOTS_ABSENT, count(absent));
}

fn add_events(families: &mut Families, events: &EventCounts, process_events_dropped: u64) {
    let EventCounts {
        hits,
        delivered,
        dropped,
        faults,
    } = events;
    families.add_single(&names::EVENT_HITS, figure(*hits));
    families.add_single(&names::EVENTS_DELIVERED, figure(*delivered));
    families.add(
        &names::EVENTS_DROPPED,
        dropped
            .iter()
            .map(|(cause, number)| ([("cause", *cause)], figure(*number))),
    );
    families.add_single(
        &names::PROCESS_EVENTS_DROPPED,
        figure(process_events_dropped),
    );
    families.add(
        &names::FAULTS,
        faults
            .iter()
            .map(|(cause, number)| ([("cause", *cause)], figure(*number))),
    );
}

fn add_maps(families: &mut Families, snapshot: &Snapshot) {
    let maps = folded::maps(&snapshot.maps);
    families.add(
        &names::MAP_ENTRIES,
        maps.iter()
            .map(|map| ([("map", map.name)], figure(map.entries))),
    );
    families.add(
        &names::MAP_CAPACITY,
        maps.iter()
            .map(|map| ([("map", map.name)], figure(map.capacity))),
    );
}

fn add_processes(families: &mut Families, snapshot: &Snapshot, rows: &[Row]) {
    families.add_single(&names::PROCESSES_FOLDED, figure(snapshot.processes_folded));
    let longest = rows
        .iter()
        .map(|row| row.walk_duration)
        .max()
        .unwrap_or_default();
    families.add_single(&names::WALK_DURATION, longest.as_secs_f64());
}

fn add_history(families: &mut Families, history: HistoryCounts) {
    let HistoryCounts {
        lost_waiting,
        lost_writing,
        set_aside,
    } = history;
    let lost = [("waiting", lost_waiting), ("writing", lost_writing)];
    families.add(
        &names::HISTORY_LOST,
        lost.map(|(cause, number)| ([("cause", cause)], figure(number))),
    );
    families.add_single(&names::HISTORY_SET_ASIDE, figure(set_aside));
}

fn add_usage(families: &mut Families, usage: AgentUsage) {
    let AgentUsage {
        cpu_seconds,
        resident_bytes,
        kernel_map_bytes,
    } = usage;
    families.add_single(&names::CPU, cpu_seconds);
    families.add_single(&names::RESIDENT, figure(resident_bytes));
    families.add_single(&names::KERNEL_MAPS, figure(kernel_map_bytes));
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the format has only doubles: exact up to 8 PiB"
)]
fn figure(value: u64) -> f64 {
    value as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the format has only doubles: exact up to 8 PiB"
)]
fn signed(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "lengths of short lists")]
fn count(value: usize) -> f64 {
    value as f64
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

#[cfg(test)]
pub(crate) mod tests;
