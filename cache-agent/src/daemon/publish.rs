//! The parts of a snapshot, each from its source.

use std::{collections::HashMap, time::Duration};

use anyhow::Result;
use cache_ebpf::counter;
use nix::time::{ClockId, clock_gettime};

use super::{
    process_totals::{Sums, complete},
    roots::Entry,
    self_test::Canary,
};
use crate::{
    kernel::{
        counters::{Counters, DROP_CAUSES, FAULT_CAUSES, named},
        coverage::Coverage,
        session::Session,
    },
    ledger::{Book, root::WatchedRoot},
    limits::FileSystem,
    model::{changes::Changes, root::RootState},
    snapshot::{AgentUsage, Degraded, EventCounts, MapUsage, Reason, RootSnapshot},
    store::writer::Condition,
    sys::{procfs::DescriptorInfo, usage},
};

/// The kernel's clock of event times, in nanoseconds.
pub(super) fn kernel_now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Totals by number of the root; to be read before the accounts they are compared with.
pub(super) fn totals(book: &Book) -> Result<HashMap<u32, Changes>> {
    let total = |root: &WatchedRoot| Ok((root.index, book.total(root.index)?));
    book.roots().map(total).collect()
}

/// One root, whose kernel total is `now`.
pub(super) fn root(entry: &Entry, book: &Book, now: Changes, sums: &Sums) -> RootSnapshot {
    let watched = entry.index.and_then(|index| book.root(index));
    let (mut total, mut corrected) = (entry.carried, entry.corrected);
    if let Some(root) = watched {
        total.add(&now);
        corrected.add(&root.corrected);
    }
    let live = entry.index.and_then(|index| sums.roots.get(&index));
    RootSnapshot {
        name: entry.name.clone(),
        path: entry.path.clone(),
        kind: entry.kind,
        state: state(watched),
        size_bytes: watched.map_or(0, |root| root.size(&now)),
        disk_bytes: watched
            .and_then(|root| root.base)
            .map_or(0, |base| base.disk_bytes),
        files: watched.map_or(0, |root| root.files(&now)),
        groups: complete(&entry.folded, live, &total, &corrected),
        drift_bytes: watched.map_or(0, |root| root.drift_bytes),
        walk_duration: watched.map_or(Duration::ZERO, |root| root.walk_duration),
        file_system: watched.map_or_else(FileSystem::default, file_system),
        thresholds: Vec::new(),
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
    let Ok(found) = rustix::fs::fstatvfs(root.directory()) else {
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
pub(super) fn degraded(
    coverage: &Coverage,
    events: &EventCounts,
    canary: &Canary,
    history: &Condition,
) -> Vec<Degraded> {
    let of = |reason| move |sentence| Degraded::new(reason, sentence);
    let faults = events.faults.iter().filter(|(_, count)| *count > 0);
    let faults =
        faults.map(|(cause, count)| format!("{count} faults of cause {cause} since the start"));
    let hooks = coverage.degraded().into_iter().map(of(Reason::Hooks));
    hooks
        .chain(faults.map(of(Reason::Faults)))
        .chain(canary.degraded().map(of(Reason::Canary)))
        .chain(history.degraded().into_iter().map(of(Reason::History)))
        .collect()
}

/// Counters of events.
pub(super) fn events(counters: &Counters, missed_runs: u64) -> EventCounts {
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
pub(super) fn maps(session: &Session, sums: &Sums, roots: &[RootSnapshot]) -> Vec<MapUsage> {
    let sizes = &session.maps;
    let row = |name, entries, capacity: u32| MapUsage {
        name,
        entries,
        capacity: u64::from(capacity),
    };
    let open = session.tables.open_files(usize::MAX) as u64;
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
pub(super) fn usage(kernel_map_bytes: u64) -> AgentUsage {
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
