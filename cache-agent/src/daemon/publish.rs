//! From the state of the loop to figures, decisions and one snapshot.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, SystemTime},
};

use anyhow::Result;
use cache_ebpf::{ProcessKey, counter};

use super::{
    event_loop::EventLoop,
    process_totals::{Sums, complete},
    roots::Root,
    self_test::SelfTest,
};
use crate::{
    kernel::{
        counters::{Counters, DROP_CAUSES, FAULT_CAUSES, named},
        coverage::Coverage,
        kernel_side::KernelSide,
        ledger_maps::LedgerMaps,
    },
    ledger::{Ledger, root::WatchedRoot},
    limits::{Decision, FileSystem, Reading},
    model::{changes::Changes, root::RootState},
    snapshot::{AgentUsage, Degraded, EventCounts, MapUsage, Reason, RootSnapshot, Snapshot},
    store::writer::Condition,
    sys::{clock::event_clock, procfs::DescriptorInfo, usage},
};

/// The kernel's clock of event times, in nanoseconds.
pub(super) fn kernel_now_ns() -> u64 {
    u64::try_from(event_clock().as_nanos()).unwrap_or(u64::MAX)
}

/// What is read of the kernel side and the file systems once a tick.
pub(super) struct Figures {
    /// Kernel totals by number of the root.
    totals: HashMap<u32, Changes>,
    sums: Sums,
    /// By number of the root.
    readings: HashMap<u32, Reading>,
}

impl Figures {
    /// Leaders of invocations that have still accounts in the kernel.
    pub(super) fn busy(&self) -> HashSet<ProcessKey> {
        self.sums.busy()
    }
}

impl<K: KernelSide> EventLoop<K> {
    /// Reads totals, accounts and file systems; accounts of processes that ended are folded.
    pub(super) fn read_figures(&mut self) -> Result<Figures> {
        // Before the accounts that they are compared with.
        let total = |root: &WatchedRoot| Ok((root.index, self.ledger.total(root.index)?));
        let totals: HashMap<u32, Changes> =
            self.ledger.roots().map(total).collect::<Result<_>>()?;
        let sums = self
            .process_totals
            .read(&mut self.ledger, &mut self.roots)?;
        let reading = |(index, total): (&u32, &Changes)| {
            let root = self.ledger.root(*index)?;
            let reading = Reading {
                size_bytes: root.size(total),
                file_system: file_system(root),
            };
            Some((*index, reading))
        };
        Ok(Figures {
            readings: totals.iter().filter_map(reading).collect(),
            totals,
            sums,
        })
    }

    /// What the limits of each root ask for now, by number of the root.
    pub(super) fn decide(&mut self, figures: &Figures) -> Vec<(u32, Decision)> {
        let mut decisions = Vec::new();
        for root in &mut self.roots.all {
            let Some(index) = root.index() else { continue };
            root.live_users = figures.sums.live_users(index);
            if let Some(reading) = figures.readings.get(&index) {
                let decided = root.limits.decide(reading);
                decisions.extend(decided.into_iter().map(|decision| (index, decision)));
            }
        }
        decisions
    }

    /// Does what was decided.
    pub(super) fn act(&mut self, decisions: Vec<(u32, Decision)>) {
        for (index, decision) in decisions {
            let Some(root) = self.roots.by_index(index) else {
                continue;
            };
            match decision {
                Decision::Notify(event) => {
                    let users = root.live_users.len();
                    tracing::warn!(root = root.name, %event, "threshold");
                    tracing::debug!(root = root.name, users, "invocations that use it");
                }
            }
        }
    }

    /// One snapshot out of the state.
    pub(super) fn snapshot(&self, figures: &Figures) -> Result<Snapshot> {
        let Figures {
            totals,
            sums,
            readings,
        } = figures;
        let of_root = |root: &Root| {
            let index = root.index();
            let total = index.and_then(|index| totals.get(&index));
            let reading = index.and_then(|index| readings.get(&index));
            root_snapshot(root, &self.ledger, total.copied(), reading.copied(), sums)
        };
        let roots: Vec<RootSnapshot> = self.roots.all.iter().map(of_root).collect();
        let session = self.ledger.session();
        let counters = self.ledger.counters()?;
        let events = events(&counters, session.missed_runs());
        Ok(Snapshot {
            taken_at: SystemTime::now(),
            backend: session.backend().as_str(),
            degraded: degraded(session.coverage(), &events, &self.self_test, &self.history),
            canary: self.self_test.proof(),
            coverage: self.self_test.corrected(session.coverage().operations()),
            maps: maps(&self.ledger, sums, &roots),
            roots,
            root_failures: self.roots.failures,
            events,
            process_events_dropped: self.invocations.lost()?,
            processes_folded: self.process_totals.folded,
            event_latency: self.latency,
            history: self.history.counts,
            invocations: self.invocations.counts,
            usage: usage(self.map_bytes),
        })
    }
}

/// One root, whose kernel total is `now`.
fn root_snapshot(
    root: &Root,
    ledger: &Ledger<impl LedgerMaps>,
    now: Option<Changes>,
    reading: Option<Reading>,
    sums: &Sums,
) -> RootSnapshot {
    let watched = root.index().and_then(|index| ledger.root(index));
    let now = now.unwrap_or_default();
    let Reading {
        size_bytes,
        file_system,
    } = reading.unwrap_or_default();
    let (mut total, mut corrected) = (root.carried, root.corrected);
    if let Some(watched) = watched {
        total.add(&now);
        corrected.add(&watched.corrected);
    }
    let live = root.index().and_then(|index| sums.roots.get(&index));
    RootSnapshot {
        name: root.name.clone(),
        path: root.path.clone(),
        kind: root.kind,
        state: state(watched),
        size_bytes,
        disk_bytes: watched
            .and_then(|watched| watched.base)
            .map_or(0, |base| base.disk_bytes),
        files: watched.map_or(0, |watched| watched.files(&now)),
        groups: complete(&root.folded, live, &total, &corrected),
        drift_bytes: watched.map_or(0, |watched| watched.drift_bytes),
        walk_duration: watched.map_or(Duration::ZERO, |watched| watched.walk_duration),
        file_system,
        thresholds: root.limits.rows(),
        trouble: root.trouble().map(str::to_owned),
    }
}

fn state(root: Option<&WatchedRoot>) -> RootState {
    match root {
        None => RootState::Absent,
        Some(root) if root.base.is_none() => RootState::Walking,
        Some(_) => RootState::Watched,
    }
}

fn file_system(root: &WatchedRoot) -> FileSystem {
    let directory = root.directory().open();
    let Ok(found) = directory.and_then(rustix::fs::fstatvfs) else {
        return FileSystem::default();
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "a ratio for people; 53 bits are plenty"
    )]
    let used = if found.f_files == 0 {
        0.0
    } else {
        (found.f_files - found.f_ffree) as f64 / found.f_files as f64
    };
    FileSystem {
        avail_bytes: found.f_bavail * found.f_frsize,
        total_bytes: found.f_blocks * found.f_frsize,
        inodes_used_ratio: used,
    }
}

/// Why the agent is less than whole.
fn degraded(
    coverage: &Coverage,
    events: &EventCounts,
    self_test: &SelfTest,
    history: &Condition,
) -> Vec<Degraded> {
    let of = |reason| move |sentence| Degraded::new(reason, sentence);
    let faults = events.faults.iter().filter(|(_, count)| *count > 0);
    let faults =
        faults.map(|(cause, count)| format!("{count} faults of cause {cause} since the start"));
    let hooks = coverage.degraded().into_iter().map(of(Reason::Hooks));
    hooks
        .chain(faults.map(of(Reason::Faults)))
        .chain(self_test.degraded().map(of(Reason::Canary)))
        .chain(history.degraded().into_iter().map(of(Reason::History)))
        .collect()
}

/// Counters of events.
fn events(counters: &Counters, missed_runs: u64) -> EventCounts {
    let mut faults = named(&FAULT_CAUSES, counters);
    faults.push(("missed_run", missed_runs));
    EventCounts {
        hits: counters[counter::HITS as usize],
        delivered: counters[counter::DELIVERED as usize],
        dropped: named(&DROP_CAUSES, counters),
        faults,
    }
}

/// Maps that can fill up, the most telling ones first.
fn maps(ledger: &Ledger<impl KernelSide>, sums: &Sums, roots: &[RootSnapshot]) -> Vec<MapUsage> {
    let sizes = ledger.session().capacities();
    let row = |name, entries, capacity: u32| MapUsage {
        name,
        entries,
        capacity: u64::from(capacity),
    };
    let open = ledger.open_files() as u64;
    vec![
        row("credits", sums.accounts, sizes.accounts),
        row("processes", sums.tracked, sizes.processes),
        row("open", open, sizes.open_files),
        row(
            "sizes",
            roots.iter().map(|root| root.files).sum(),
            sizes.files,
        ),
        row(
            "roots",
            roots
                .iter()
                .filter(|root| root.state != RootState::Absent)
                .count() as u64,
            cache_ebpf::ROOTS_MAX,
        ),
    ]
}

/// Locked memory of this process' maps, in bytes, as the kernel tells it of each descriptor.
pub(super) fn map_bytes() -> u64 {
    let maps = DescriptorInfo::all().filter(|(_, info)| info.number("map_type").is_some());
    maps.filter_map(|(_, info)| info.number("memlock")).sum()
}

/// What the agent itself costs.
fn usage(kernel_map_bytes: u64) -> AgentUsage {
    let cpu = usage::own().map_or(0.0, |own| own.cpu_seconds);
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    AgentUsage {
        cpu_seconds: cpu,
        resident_bytes: pages.unwrap_or(0) * rustix::param::page_size() as u64,
        kernel_map_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::limits::Thresholds,
        daemon::testbed::{Testbed, group},
        kernel::{fake::FakeKernel, hooks::Backend},
        limits::thresholds::Change,
        model::operation::Observation,
    };

    fn warned_at(bytes: u64) -> Testbed {
        Testbed::with(FakeKernel::new(Backend::Tracepoint), |config| {
            config.roots[0].thresholds = Thresholds {
                warn: Some(bytes),
                ..Thresholds::default()
            };
        })
    }

    #[test]
    fn a_snapshot_shows_what_was_decided_on_its_own_figures() {
        let mut testbed = warned_at(100);
        let go = testbed.kernel.start("go build");
        for (size, crossed) in [(60, false), (60, true)] {
            testbed.kernel.write(go, &testbed.path("cache/a"), size);
            let root = testbed.look().roots.remove(0);
            assert_eq!(root.thresholds[0].crossed, crossed, "{}", root.size_bytes);
        }
        testbed.kernel.unlink(go, &testbed.path("cache/a"));
        let root = testbed.look().roots.remove(0);
        assert!(!root.thresholds[0].crossed);
        assert_eq!(root.thresholds[0].crossings, 1);
    }

    #[test]
    fn a_limit_that_stays_crossed_is_decided_once() {
        let mut testbed = warned_at(100);
        let go = testbed.kernel.start("go build");
        testbed.kernel.write(go, &testbed.path("cache/a"), 100);
        let figures = testbed.event_loop.read_figures().unwrap();
        let decisions = testbed.event_loop.decide(&figures);
        let [(0, Decision::Notify(event))] = decisions[..] else {
            panic!("{decisions:?}");
        };
        assert_eq!(event.change, Change::Crossed);
        assert!(testbed.event_loop.decide(&figures).is_empty());
    }

    #[test]
    fn who_uses_a_root_is_under_way_and_has_an_account_there() {
        let mut testbed = Testbed::new();
        let go = testbed.kernel.start("go build");
        let compile = testbed.kernel.start_child(go, "compile -o x");
        let idle = testbed.kernel.start("go test");
        testbed.kernel.write(compile, &testbed.path("cache/a"), 1);
        testbed.look();
        let users = |testbed: &Testbed| testbed.event_loop.roots.all[0].live_users.clone();
        assert_eq!(users(&testbed), [go].into());
        assert_ne!(go, idle);
        testbed.kernel.exit(compile);
        testbed.look();
        testbed.look();
        assert!(users(&testbed).is_empty());
    }

    #[test]
    fn groups_add_up_to_what_changed_and_what_no_process_explains_is_unattributed() {
        let mut testbed = Testbed::new();
        let go = testbed.kernel.start("go build");
        testbed.kernel.write(go, &testbed.path("cache/a"), 100);
        std::fs::write(testbed.path("cache/unseen"), "1234567").unwrap();
        testbed.walk_again();
        let root = testbed.look().roots.remove(0);
        assert_eq!((root.size_bytes, root.drift_bytes), (107, -7));
        assert_eq!(group(&root, "go-build").growth_bytes, 100);
        assert_eq!(group(&root, "unattributed").growth_bytes, 7);
        let all = root.groups.iter().map(|group| group.growth_bytes);
        assert_eq!(all.sum::<i64>(), 107);
    }

    #[test]
    fn faults_and_missed_runs_make_the_agent_degraded_and_lost_detail_does_not() {
        let mut testbed = Testbed::new();
        testbed.kernel.count(counter::DROPPED_RING_FULL);
        let snapshot = testbed.look();
        assert_eq!(snapshot.events.dropped, [("ring_full", 1)]);
        assert!(snapshot.degraded.is_empty());
        testbed.kernel.count(counter::FAULT_READ);
        testbed.kernel.miss_run();
        testbed.kernel.lose_steps(3);
        let snapshot = testbed.look();
        let reasons: Vec<_> = snapshot.degraded.iter().map(|one| one.reason).collect();
        assert_eq!(reasons, [Reason::Faults, Reason::Faults]);
        assert_eq!(snapshot.process_events_dropped, 3);
    }

    #[test]
    fn a_missing_hook_is_a_reason_to_be_degraded_and_shows_in_coverage() {
        let kernel = FakeKernel::without_hook(Backend::Tracepoint, "status_change");
        let snapshot = Testbed::with(kernel, |_| {}).look();
        assert_eq!(snapshot.degraded[0].reason, Reason::Hooks);
        let unlink = ("unlink", Observation::Unattributed);
        assert!(snapshot.coverage.contains(&unlink));
        assert_eq!(snapshot.backend, "tracepoint");
    }

    #[test]
    fn every_event_counts_as_delivered_or_dropped() {
        let mut testbed = Testbed::new();
        let go = testbed.kernel.start("go build");
        testbed.kernel.write(go, &testbed.path("cache/a"), 1);
        testbed.kernel.lose_events(true);
        testbed.kernel.write(go, &testbed.path("cache/b"), 1);
        let events = testbed.look().events;
        let dropped: u64 = events.dropped.iter().map(|(_, count)| count).sum();
        assert_eq!((events.hits, events.delivered, dropped), (4, 2, 2));
        // Each that was delivered was looked at once.
        let latency = testbed.look().event_latency;
        assert_eq!(latency.counts.iter().sum::<u64>() + latency.beyond, 2);
    }
}
