//! What of a snapshot is worth remembering: sizes of roots by minute, thresholds that changed sides.
//!
//! Takes: snapshots, one after the other. Gives: records. Never: one for a root of which nothing changed.

use std::collections::HashMap;

use crate::{
    limits::{Threshold, thresholds::Level},
    model::root::RootState,
    snapshot::{RootSnapshot, Snapshot},
    store::record::{Crossing, MS_PER_MINUTE, Record, Root, RootSize},
    sys::clock::milliseconds,
};

/// What was told of each root last.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    roots: HashMap<String, Told>,
}

#[derive(Debug, Default)]
struct Told {
    size: Option<RootSize>,
    thresholds: Vec<Threshold>,
}

impl Minutes {
    /// Compares a snapshot with the one before.
    pub(super) fn look(&mut self, snapshot: &Snapshot) -> Vec<Record> {
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn root(name: &str, size_bytes: u64) -> RootSnapshot {
        RootSnapshot {
            name: name.to_owned(),
            state: RootState::Watched,
            size_bytes,
            ..RootSnapshot::default()
        }
    }

    fn snapshot(seconds: u64, roots: Vec<RootSnapshot>) -> Snapshot {
        Snapshot {
            taken_at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            roots,
            ..Snapshot::default()
        }
    }

    /// Records in short: `ci@1=20` is a size, `ci+warn` a crossing, `ci-warn` one back.
    fn told(records: &[Record]) -> String {
        let word = |record: &Record| match record {
            Record::RootSize(size) => {
                format!("{}@{}={}", size.root.name, size.minute, size.size_bytes)
            }
            Record::Crossing(crossing) => {
                let sign = if crossing.crossed { '+' } else { '-' };
                format!("{}{sign}{}", crossing.root.name, crossing.level)
            }
            Record::Invocation(..) => "invocation".to_owned(),
        };
        records.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut minutes = Minutes::default();
        let walking = RootSnapshot {
            state: RootState::Walking,
            ..root("new", 0)
        };
        for (seconds, roots, expected) in [
            (59, vec![root("ci", 10), walking], "ci@0=10"),
            (59, vec![root("ci", 10)], ""),
            (60, vec![root("ci", 10), root("new", 5)], "new@1=5"),
            (61, vec![root("ci", 11), root("new", 5)], "ci@1=11"),
            (62, vec![root("ci", 12), root("new", 5)], "ci@1=12"),
            (180, vec![root("new", 5)], ""),
            (240, vec![root("ci", 12), root("new", 5)], "ci@4=12"),
        ] {
            let records = minutes.look(&snapshot(seconds, roots));
            assert_eq!(told(&records), expected, "at {seconds} s");
        }
    }

    #[test]
    fn thresholds_are_told_when_they_change_sides() {
        let mut minutes = Minutes::default();
        let with = |crossed, crossings| RootSnapshot {
            thresholds: vec![Threshold {
                level: "warn",
                limit: 9.0,
                crossed,
                crossings,
            }],
            ..root("ci", 10)
        };
        for (crossed, crossings, expected) in [
            (false, 0, "ci@0=10"),
            (true, 1, "ci+warn"),
            (true, 1, ""),
            (false, 1, "ci-warn"),
            (false, 1, ""),
            // Between two snapshots.
            (false, 2, "ci+warn ci-warn"),
            (true, 3, "ci+warn"),
            (true, 4, "ci+warn"),
        ] {
            let records = minutes.look(&snapshot(0, vec![with(crossed, crossings)]));
            assert_eq!(told(&records), expected, "{crossed}, {crossings}");
        }
        let value = match minutes.look(&snapshot(0, vec![with(false, 4)])).as_slice() {
            [Record::Crossing(crossing)] => crossing.value,
            other => panic!("{other:?}"),
        };
        assert_eq!(value, Some(10.0));
    }
}
