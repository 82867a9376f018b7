use std::time::{Duration, SystemTime};

use super::*;
use crate::{
    invocation::counts::InvocationCounts,
    kernel::counters::{Cause, DROP_CAUSES, FAULT_CAUSES},
    limits::{FileSystem, Threshold},
    model::{
        changes::Changes,
        invocation::Invocation,
        operation::Observation,
        root::{RootKind, RootState},
        tool_group::GROUPS,
    },
    snapshot::{AgentUsage, Degraded, EventCounts, Latency, MapUsage, Proof, Reason, RootSnapshot},
    store::writer::HistoryCounts,
};

fn root(number: u64) -> RootSnapshot {
    let mut groups = [Changes::default(); GROUPS.len()];
    groups[0] = Changes {
        growth_bytes: 100,
        freed_bytes: 11,
        files_created: 3,
        files_deleted: 2,
        files_renamed: 1,
    };
    groups[15] = Changes {
        growth_bytes: -8,
        freed_bytes: 8,
        files_created: 0,
        files_deleted: 1,
        files_renamed: 0,
    };
    let threshold = |level, limit| Threshold {
        level,
        limit,
        crossed: number == 0,
        crossings: number,
    };
    RootSnapshot {
        name: format!("gobuild:user{number}"),
        path: format!("/home/user{number}/.cache/go-build").into(),
        kind: RootKind::GoBuild,
        state: RootState::Watched,
        size_bytes: 1000 + number,
        disk_bytes: 4096,
        files: 5,
        groups,
        drift_bytes: -3,
        walk_duration: Duration::from_millis(250),
        file_system: FileSystem {
            avail_bytes: 70 + number,
            total_bytes: 100,
            inodes_used_ratio: 0.25,
        },
        thresholds: vec![
            threshold("warn", 1000.0),
            threshold("free_space", 0.05),
            threshold("free_inodes", 0.05),
        ],
        trouble: None,
    }
}

fn counts() -> InvocationCounts {
    let mut counts = InvocationCounts::default();
    for growth_bytes in [5, 2_000_000] {
        counts.count(&Invocation {
            tool: "go".to_owned(),
            growth_bytes,
            lookups: 4,
            hits: 3,
            ..Invocation::default()
        });
    }
    counts.unknown_packages = 9;
    counts
}

/// As large as it gets: all thresholds, more maps than have rows, all causes.
pub(crate) fn snapshot(roots: u64) -> Snapshot {
    let mut event_latency = Latency::default();
    for seconds in [0.0005, 0.3, 20.0] {
        event_latency.observe(seconds);
    }
    let once = |(name, _): &Cause| (*name, 1);
    Snapshot {
        taken_at: SystemTime::UNIX_EPOCH,
        backend: "tracepoint",
        degraded: vec![Degraded::new(Reason::Canary, "reason".to_owned())],
        canary: Some(Proof {
            proved_at: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(77)),
            operations: vec!["open"],
        }),
        root_failures: 8,
        coverage: vec![
            ("open", Observation::Observed),
            ("io_uring", Observation::Unattributed),
        ],
        roots: (0..roots).map(root).collect(),
        events: EventCounts {
            hits: 10,
            delivered: 8,
            dropped: DROP_CAUSES.iter().map(once).collect(),
            faults: FAULT_CAUSES
                .iter()
                .map(once)
                .chain([("missed_run", 1)])
                .collect(),
        },
        process_events_dropped: 6,
        maps: ["m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"]
            .map(|name| MapUsage {
                name,
                entries: 1,
                capacity: 9,
            })
            .into(),
        processes_folded: 20_000,
        event_latency,
        invocations: counts(),
        history: HistoryCounts {
            lost_waiting: 4,
            lost_writing: 5,
            set_aside: 1,
        },
        usage: AgentUsage {
            cpu_seconds: 1.5,
            resident_bytes: 1 << 24,
            kernel_map_bytes: 1 << 20,
        },
    }
}

fn scrape(snapshot: &Snapshot) -> String {
    String::from_utf8(render(snapshot).unwrap()).unwrap()
}

fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

#[test]
fn values_arrive() {
    let text = scrape(&snapshot(2));
    for line in [
        "go_cache_size_bytes{root=\"gobuild:user1\",kind=\"gobuild\"} 1001",
        "go_cache_growth_bytes_total{root=\"gobuild:user0\",kind=\"gobuild\"} 111",
        "go_cache_freed_bytes_total{root=\"gobuild:user0\",kind=\"gobuild\"} 19",
        "go_cache_files_deleted_total{root=\"gobuild:user0\",kind=\"gobuild\"} 3",
        "go_cache_group_growth_bytes_total{group=\"go-build\"} 222",
        "go_cache_group_growth_bytes_total{group=\"unattributed\"} 0",
        "go_cache_invocations_total{group=\"go\"} 2",
        "go_cache_invocation_growth_bytes_bucket{group=\"go\",le=\"1048576\"} 1",
        "go_cache_invocation_growth_bytes_sum{group=\"go\"} 2000005",
        "go_cache_lookups_total{group=\"go\"} 8",
        "go_cache_lookup_hits_total{group=\"go\"} 6",
        "go_cache_unknown_cause_packages_total 9",
        "go_cache_limit_bytes{root=\"gobuild:user0\",kind=\"gobuild\",level=\"warn\"} 1000",
        "go_cache_limit_crossed{root=\"gobuild:user0\",kind=\"gobuild\",level=\"warn\"} 1",
        "go_cache_limit_crossed{root=\"gobuild:user1\",kind=\"gobuild\",level=\"warn\"} 0",
        "go_cache_fs_limit_crossed_roots{level=\"free_space\"} 1",
        "go_cache_limit_crossings_total{level=\"free_inodes\"} 1",
        "go_cache_drift_bytes{root=\"gobuild:user0\",kind=\"gobuild\"} -3",
        "go_cache_event_latency_seconds_bucket{stage=\"snapshot\",le=\"0.001\"} 1",
        "go_cache_event_latency_seconds_bucket{stage=\"snapshot\",le=\"0.5\"} 2",
        "go_cache_event_latency_seconds_bucket{stage=\"snapshot\",le=\"+Inf\"} 3",
        "go_cache_event_latency_seconds_count{stage=\"snapshot\"} 3",
        "go_cache_agent_ready 1",
        "go_cache_agent_degraded{reason=\"canary\"} 1",
        "go_cache_agent_degraded{reason=\"hooks\"} 0",
        "go_cache_agent_canary_timestamp_seconds 77",
        concat!(
            "go_cache_agent_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\",backend=\"tracepoint\"} 1"
        ),
        "go_cache_agent_process_events_dropped_total 6",
        "go_cache_agent_coverage_operations{observation=\"unattributed\"} 1",
        "go_cache_agent_root_failures_total 8",
        "go_cache_agent_events_dropped_total{cause=\"ring_full\"} 1",
        "go_cache_agent_map_capacity{map=\"m1\"} 9",
        "go_cache_agent_map_capacity{map=\"other\"} 54",
        "go_cache_files_renamed_total 2",
        "go_cache_agent_walk_duration_seconds 0.25",
        "go_cache_agent_history_lost_records_total{cause=\"writing\"} 5",
        "go_cache_agent_history_set_aside_total 1",
        "go_cache_agent_cpu_seconds_total 1.5",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} not in\n{text}"
        );
    }
}

#[test]
fn no_more_than_200_series_for_ten_roots() {
    for (roots, expected) in [(0, 79), (1, 91), (10, 199)] {
        assert_eq!(series(&scrape(&snapshot(roots))), expected, "{roots} roots");
    }
}

#[test]
fn roots_beyond_the_bound_are_one() {
    let text = scrape(&snapshot(1000));
    assert_eq!(series(&text), series(&scrape(&snapshot(51))));
    let folded: u64 = (50..1000).map(|number| 1000 + number).sum();
    for line in [
        format!("go_cache_size_bytes{{root=\"other\",kind=\"other\"}} {folded}"),
        "go_cache_fs_avail_bytes{root=\"other\",kind=\"other\"} 120".to_owned(),
        "go_cache_limit_crossed{root=\"other\",kind=\"other\",level=\"warn\"} 0".to_owned(),
        "go_cache_group_growth_bytes_total{group=\"go-build\"} 111000".to_owned(),
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} not in\n{text}"
        );
    }
}

/// A full disk that there is not would fire everybody's alert.
#[test]
fn absent_roots_have_no_file_system() {
    let mut snapshot = snapshot(52);
    for number in [0, 51] {
        snapshot.roots[number].file_system = FileSystem::default();
    }
    let text = scrape(&snapshot);
    for name in ["go_cache_fs_avail_bytes", "go_cache_fs_inodes_used_ratio"] {
        let of_name = |line: &&str| line.starts_with(&format!("{name}{{"));
        let found: Vec<_> = text.lines().filter(of_name).collect();
        assert_eq!(found.len(), 50, "{found:#?}");
        assert!(!found.iter().any(|line| line.contains("user0\"")));
    }
    let other = "go_cache_fs_avail_bytes{root=\"other\",kind=\"other\"} 120";
    assert!(text.lines().any(|line| line == other), "{text}");
}

#[test]
fn every_name_is_exported_in_its_order() {
    let exported: Vec<String> = families(&snapshot(1))
        .iter()
        .map(|family| family.name().to_owned())
        .collect();
    let names: Vec<&str> = [roots::ALL, invocations::ALL, limits::ALL, agent::ALL]
        .concat()
        .iter()
        .map(|name| name.name)
        .collect();
    assert_eq!(exported, names);
}

#[test]
fn scrape_of_ten_roots_takes_less_than_five_milliseconds() {
    let snapshot = snapshot(10);
    let fastest = (0..20)
        .map(|_| {
            let start = std::time::Instant::now();
            scrape(&snapshot);
            start.elapsed()
        })
        .min();
    assert!(fastest < Some(Duration::from_millis(5)), "{fastest:?}");
}
