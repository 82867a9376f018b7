//! The rows of a scrape, bounded: those beyond the bound are one.

use std::time::Duration;

use crate::{
    limits::{FileSystem, Threshold},
    model::{changes::Changes, root::RootKind, root_name::FOLDED_NAME},
    snapshot::{MapUsage, RootSnapshot},
};

/// Roots with series of their own; the rest share those of root `other`.
pub(super) const MAX_ROOTS: usize = 50;

/// Kernel maps with series of their own, the first of the snapshot; the rest share those of map `other`.
pub(super) const MAX_MAPS: usize = 2;

/// What the metrics tell of one root, or of several.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) kind: RootKind,
    pub(super) size_bytes: u64,
    pub(super) disk_bytes: u64,
    pub(super) files: u64,
    pub(super) changes: Changes,
    pub(super) drift_bytes: i64,
    pub(super) walk_duration: Duration,
    /// `None` while the root is absent, or where its file system tells no size.
    pub(super) file_system: Option<FileSystem>,
    pub(super) thresholds: Vec<Threshold>,
}

/// One row per root, the last one for all that are too many.
pub(super) fn rows(roots: &[RootSnapshot]) -> Vec<Row> {
    let (own, folded) = roots.split_at(roots.len().min(MAX_ROOTS));
    let mut rows: Vec<Row> = own.iter().map(Row::from).collect();
    let folded = folded.iter().map(Row::from).reduce(Row::merged);
    rows.extend(folded.map(|row| Row {
        name: FOLDED_NAME.to_owned(),
        kind: RootKind::Other,
        ..row
    }));
    rows
}

/// One row per map, the last one for all that are too many.
pub(super) fn maps(maps: &[MapUsage]) -> Vec<MapUsage> {
    let (own, folded) = maps.split_at(maps.len().min(MAX_MAPS));
    let mut rows = own.to_vec();
    if !folded.is_empty() {
        let entries = folded.iter().map(|map| map.entries).sum();
        let capacity = folded.iter().map(|map| map.capacity).sum();
        rows.push(MapUsage {
            name: FOLDED_NAME,
            entries,
            capacity,
        });
    }
    rows
}

impl From<&RootSnapshot> for Row {
    fn from(root: &RootSnapshot) -> Self {
        let mut changes = Changes::default();
        root.groups.iter().for_each(|group| changes.add(group));
        Self {
            name: root.name.clone(),
            kind: root.kind,
            size_bytes: root.size_bytes,
            disk_bytes: root.disk_bytes,
            files: root.files,
            changes,
            drift_bytes: root.drift_bytes,
            walk_duration: root.walk_duration,
            file_system: (root.file_system.total_bytes > 0).then_some(root.file_system),
            thresholds: root.thresholds.clone(),
        }
    }
}

impl Row {
    /// Sums where a sum means something, else the worse of the two.
    fn merged(mut self, other: Self) -> Self {
        let Self {
            name: _,
            kind: _,
            size_bytes,
            disk_bytes,
            files,
            changes,
            drift_bytes,
            walk_duration,
            file_system,
            thresholds,
        } = other;
        self.size_bytes = self.size_bytes.saturating_add(size_bytes);
        self.disk_bytes = self.disk_bytes.saturating_add(disk_bytes);
        self.files = self.files.saturating_add(files);
        self.changes.add(&changes);
        self.drift_bytes = self.drift_bytes.saturating_add(drift_bytes);
        self.walk_duration = self.walk_duration.max(walk_duration);
        self.file_system = match (self.file_system, file_system) {
            (Some(own), Some(other)) => Some(worse(own, other)),
            (own, other) => own.or(other),
        };
        for threshold in thresholds {
            merge_threshold(&mut self.thresholds, threshold);
        }
        self
    }
}

fn worse(own: FileSystem, other: FileSystem) -> FileSystem {
    FileSystem {
        avail_bytes: own.avail_bytes.min(other.avail_bytes),
        total_bytes: own.total_bytes.min(other.total_bytes),
        inodes_used_ratio: own.inodes_used_ratio.max(other.inodes_used_ratio),
    }
}

fn merge_threshold(thresholds: &mut Vec<Threshold>, other: Threshold) {
    match thresholds.iter_mut().find(|own| own.level == other.level) {
        Some(own) => {
            own.limit += other.limit;
            own.crossed |= other.crossed;
            own.crossings += other.crossings;
        }
        None => thresholds.push(other),
    }
}
