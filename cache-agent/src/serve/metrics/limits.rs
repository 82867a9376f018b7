//! Limits, the file systems below the roots, and drift.

use super::{
    families::{Families, count, figure, flag, signed},
    folded::Row,
    names::names,
    roots::{per_root, where_known},
};
use crate::{
    limits::{Threshold, thresholds::Level},
    snapshot::Snapshot,
};

names! {
    LIMIT = GAUGE "go_cache_limit_bytes" "Configured size limit of the root.";
    LIMIT_CROSSED = GAUGE "go_cache_limit_crossed" "1 while the size limit of the root is crossed, else 0.";
    FS_LIMIT_CROSSED = GAUGE "go_cache_fs_limit_crossed_roots" "Roots whose file system is below the configured share of free space or inodes.";
    LIMIT_CROSSINGS = COUNTER "go_cache_limit_crossings_total" "Times that any root crossed a limit.";
    FS_AVAIL = GAUGE "go_cache_fs_avail_bytes" "Bytes available to unprivileged users on the file system of the root; none while the root is absent.";
    FS_INODES_USED = GAUGE "go_cache_fs_inodes_used_ratio" "Used share of the inodes of the file system of the root, 0 where it has no fixed number; none while the root is absent.";
    DRIFT = GAUGE "go_cache_drift_bytes" "Ledger minus disk at the last walk of the root, before correction.";
}

/// Only the size limit has a series per root: the shares of a file system are crossed by all roots
/// on it at once, and three thresholds each would take ten roots beyond their 200 series.
pub(super) fn add(families: &mut Families, snapshot: &Snapshot, rows: &[Row]) {
    let limits = rows.iter().flat_map(size_limits);
    families.add(
        &LIMIT,
        limits
            .clone()
            .map(|(labels, threshold)| (labels, threshold.limit)),
    );
    families.add(
        &LIMIT_CROSSED,
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
        &FS_LIMIT_CROSSED,
        [Level::FreeSpace, Level::FreeInodes].map(crossed),
    );
    let crossings = |level: Level| {
        let number = of_level(level).map(|threshold| threshold.crossings).sum();
        ([("level", level.as_str())], figure(number))
    };
    families.add(&LIMIT_CROSSINGS, Level::ALL.map(crossings));
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

pub(super) fn add_file_systems(families: &mut Families, rows: &[Row]) {
    where_known(families, &FS_AVAIL, rows, |row| {
        row.file_system.map(|it| figure(it.avail_bytes))
    });
    where_known(families, &FS_INODES_USED, rows, |row| {
        row.file_system.map(|it| it.inodes_used_ratio)
    });
    per_root(families, &DRIFT, rows, |row| signed(row.drift_bytes));
}
