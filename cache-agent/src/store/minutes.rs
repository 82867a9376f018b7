//! What of a snapshot is worth remembering: sizes of roots by minute, thresholds that changed sides.
//!
//! Takes: snapshots, one after the other. Gives: records. Never: one for a root of which nothing changed.

use std::collections::HashMap;

use super::{
    clock::{MS_PER_MINUTE, milliseconds},
    record::{Crossing, Record, Root, RootSize},
};
use crate::{
    policy::thresholds::Level,
    snapshot::{RootSnapshot, RootState, Snapshot, Threshold},
};

/// What was told of each root last.
#[derive(Debug, Default)]
pub struct Minutes {
    roots: HashMap<String, Told>,
}

#[derive(Debug, Default)]
struct Told {
    size: Option<RootSize>,
    thresholds: Vec<Threshold>,
}

impl Minutes {
    /// Compares a snapshot with the one before.
    pub fn look(&mut self, snapshot: &Snapshot) -> Vec<Record> {
        let now_ms = milliseconds(snapshot.taken_at);
        let mut told = HashMap::with_capacity(snapshot.roots.len());
        let mut records = Vec::new();
        for root in &snapshot.roots {
            let before = self.roots.remove(&root.name).unwrap_or_default();
            // A size is not known before the first walk.
            let size = (root.state != RootState::Walking).then(|| size(root, now_ms));
            if let Some(size) = &size
                && before
                    .size
                    .as_ref()
                    .is_none_or(|before| differ(before, size))
            {
                records.push(Record::RootSize(size.clone()));
            }
            records.extend(crossings(root, &before.thresholds, now_ms));
            let now = Told {
                size: size.or(before.size),
                thresholds: root.thresholds.clone(),
            };
            told.insert(root.name.clone(), now);
        }
        self.roots = told;
        records
    }
}

fn size(root: &RootSnapshot, now_ms: i64) -> RootSize {
    RootSize {
        root: named(root),
        minute: now_ms.div_euclid(MS_PER_MINUTE),
        size_bytes: root.size_bytes,
        disk_bytes: root.disk_bytes,
        files: root.files,
    }
}

/// Whether anything but the minute is another.
fn differ(before: &RootSize, now: &RootSize) -> bool {
    let RootSize {
        root,
        minute: _,
        size_bytes,
        disk_bytes,
        files,
    } = now;
    (
        &before.root,
        before.size_bytes,
        before.disk_bytes,
        before.files,
    ) != (root, *size_bytes, *disk_bytes, *files)
}

/// A threshold that is new was not crossed before. One that was crossed and back since is told both ways.
fn crossings(root: &RootSnapshot, before: &[Threshold], now_ms: i64) -> Vec<Record> {
    let mut records = Vec::new();
    for now in &root.thresholds {
        let before = before.iter().find(|before| before.level == now.level);
        let was_crossed = before.is_some_and(|before| before.crossed);
        let has_crossed = now.crossings > before.map_or(0, |before| before.crossings);
        let has_cleared = !now.crossed && (was_crossed || has_crossed);
        for crossed in [has_crossed.then_some(true), has_cleared.then_some(false)] {
            records.extend(crossed.map(|crossed| {
                Record::Crossing(Crossing {
                    at_ms: now_ms,
                    root: named(root),
                    level: now.level,
                    crossed,
                    value: value(root, now.level),
                    limit: now.limit,
                })
            }));
        }
    }
    records
}

fn value(root: &RootSnapshot, level: &str) -> Option<f64> {
    Level::ALL
        .into_iter()
        .find(|known| known.as_str() == level)?
        .value(root.size_bytes, &root.file_system)
}

fn named(root: &RootSnapshot) -> Root {
    Root {
        name: root.name.clone(),
        path: root.path.to_string_lossy().into_owned(),
        kind: root.kind.as_str(),
    }
}
