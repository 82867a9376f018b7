//! The agent itself: condition, losses, maps, the history, what it costs.

use std::time::SystemTime;

use super::{
    families::{Families, count, figure, flag},
    folded::{self, Row},
    names::names,
};
use crate::{
    model::{operation::Observation, root::RootState},
    snapshot::{AgentUsage, EventCounts, Reason, Snapshot},
    store::writer::HistoryCounts,
};

names! {
    EVENT_LATENCY = HISTOGRAM "go_cache_event_latency_seconds" "Time from a change in the kernel to its appearance in what readers get.";
    READY = GAUGE "go_cache_agent_ready" "1 when the hooks are attached and every existing root was walked once, else 0.";
    DEGRADED = GAUGE "go_cache_agent_degraded" "Why the agent is degraded: sentences of /readyz, by what they come from; all 0 when it is whole.";
    CANARY = GAUGE "go_cache_agent_canary_timestamp_seconds" "When the canary last proved the agent's own figures right, to the byte; 0 if it has not.";
    BUILD_INFO = GAUGE "go_cache_agent_build_info" "Always 1; version of the agent and kernel hooks in use are in the labels.";
    COVERAGE = GAUGE "go_cache_agent_coverage_operations" "Kinds of file operations by how well the hooks in use observe them; the start page lists them.";
    ROOTS_ABSENT = GAUGE "go_cache_agent_roots_absent" "Roots whose directory does not exist at the moment.";
    ROOT_FAILURES = COUNTER "go_cache_agent_root_failures_total" "Times that a root could not be taken up, or not walked whole; /readyz tells which, and why.";
    EVENT_HITS = COUNTER "go_cache_agent_events_hits_total" "Ledger operations seen by the hooks under a root.";
    EVENTS_DELIVERED = COUNTER "go_cache_agent_events_delivered_total" "Detail events that reached the agent.";
    EVENTS_DROPPED = COUNTER "go_cache_agent_events_dropped_total" "Detail events lost; totals are not affected.";
    PROCESS_EVENTS_DROPPED = COUNTER "go_cache_agent_process_events_dropped_total" "Forks, execs, exits and names of look-ups lost: runs of tools, packages and hits may be incomplete; totals are not affected.";
    FAULTS = COUNTER "go_cache_agent_faults_total" "Faults on the kernel side that may have cost precision.";
    MAP_ENTRIES = GAUGE "go_cache_agent_map_entries" "Entries in use of a kernel map, or of those that share map=\"other\".";
    MAP_CAPACITY = GAUGE "go_cache_agent_map_capacity" "Entries that a kernel map can hold, or those that share map=\"other\".";
    PROCESSES_FOLDED = COUNTER "go_cache_agent_processes_folded_total" "Processes whose account was folded into their group.";
    WALK_DURATION = GAUGE "go_cache_agent_walk_duration_seconds" "Longest of the last walks of all roots.";
    HISTORY_LOST = COUNTER "go_cache_agent_history_lost_records_total" "Records that the history lacks: too many were waiting, or writing failed.";
    HISTORY_SET_ASIDE = COUNTER "go_cache_agent_history_set_aside_total" "Databases of the history set aside because they were damaged or could not grow.";
    CPU = COUNTER "go_cache_agent_cpu_seconds_total" "User and system time of the agent.";
    RESIDENT = GAUGE "go_cache_agent_resident_memory_bytes" "Resident memory of the agent.";
    KERNEL_MAPS = GAUGE "go_cache_agent_kernel_map_bytes" "Kernel memory of the agent's maps.";
}

pub(super) fn add(families: &mut Families, snapshot: &Snapshot, rows: &[Row]) {
    families.add_latency(
        &EVENT_LATENCY,
        &[("stage", "snapshot")],
        &snapshot.event_latency,
    );
    add_condition(families, snapshot);
    add_events(families, &snapshot.events, snapshot.process_events_dropped);
    add_maps(families, snapshot);
    add_processes(families, snapshot, rows);
    add_history(families, snapshot.history);
    add_usage(families, snapshot.usage);
}

fn add_condition(families: &mut Families, snapshot: &Snapshot) {
    families.add_single(&READY, flag(snapshot.is_ready()));
    let sentences = |reason: Reason| {
        let found = snapshot.degraded.iter();
        let number = found.filter(|degraded| degraded.reason == reason).count();
        ([("reason", reason.as_str())], count(number))
    };
    families.add(&DEGRADED, Reason::ALL.map(sentences));
    let proved = snapshot.canary.iter().map(|proof| {
        let since = proof.proved_at.unwrap_or(SystemTime::UNIX_EPOCH);
        let since = since.duration_since(SystemTime::UNIX_EPOCH);
        ([], since.unwrap_or_default().as_secs_f64())
    });
    families.add(&CANARY, proved);
    let build = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("backend", snapshot.backend),
    ];
    families.add(&BUILD_INFO, [(build, 1.0)]);
    let operations = |observation: Observation| {
        let number = snapshot
            .coverage
            .iter()
            .filter(|(_, found)| *found == observation)
            .count();
        ([("observation", observation.as_str())], count(number))
    };
    let observations = [Observation::Observed, Observation::Unattributed];
    families.add(&COVERAGE, observations.map(operations));
    let absent = snapshot
        .roots
        .iter()
        .filter(|root| root.state == RootState::Absent)
        .count();
    families.add_single(&ROOTS_ABSENT, count(absent));
    families.add_single(&ROOT_FAILURES, figure(snapshot.root_failures));
}

fn add_events(families: &mut Families, events: &EventCounts, process_events_dropped: u64) {
    let EventCounts {
        hits,
        delivered,
        dropped,
        faults,
    } = events;
    families.add_single(&EVENT_HITS, figure(*hits));
    families.add_single(&EVENTS_DELIVERED, figure(*delivered));
    families.add(
        &EVENTS_DROPPED,
        dropped
            .iter()
            .map(|(cause, number)| ([("cause", *cause)], figure(*number))),
    );
    families.add_single(&PROCESS_EVENTS_DROPPED, figure(process_events_dropped));
    families.add(
        &FAULTS,
        faults
            .iter()
            .map(|(cause, number)| ([("cause", *cause)], figure(*number))),
    );
}

fn add_maps(families: &mut Families, snapshot: &Snapshot) {
    let maps = folded::maps(&snapshot.maps);
    families.add(
        &MAP_ENTRIES,
        maps.iter()
            .map(|map| ([("map", map.name)], figure(map.entries))),
    );
    families.add(
        &MAP_CAPACITY,
        maps.iter()
            .map(|map| ([("map", map.name)], figure(map.capacity))),
    );
}

fn add_processes(families: &mut Families, snapshot: &Snapshot, rows: &[Row]) {
    families.add_single(&PROCESSES_FOLDED, figure(snapshot.processes_folded));
    let longest = rows
        .iter()
        .map(|row| row.walk_duration)
        .max()
        .unwrap_or_default();
    families.add_single(&WALK_DURATION, longest.as_secs_f64());
}

fn add_history(families: &mut Families, history: HistoryCounts) {
    let HistoryCounts {
        lost_waiting,
        lost_writing,
        set_aside,
    } = history;
    let lost = [("waiting", lost_waiting), ("writing", lost_writing)];
    families.add(
        &HISTORY_LOST,
        lost.map(|(cause, number)| ([("cause", cause)], figure(number))),
    );
    families.add_single(&HISTORY_SET_ASIDE, figure(set_aside));
}

fn add_usage(families: &mut Families, usage: AgentUsage) {
    let AgentUsage {
        cpu_seconds,
        resident_bytes,
        kernel_map_bytes,
    } = usage;
    families.add_single(&CPU, cpu_seconds);
    families.add_single(&RESIDENT, figure(resident_bytes));
    families.add_single(&KERNEL_MAPS, figure(kernel_map_bytes));
}
