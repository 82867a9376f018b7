//! When a root crosses a threshold, and when it is back: told once each, with hysteresis between.

use std::fmt;

use super::{FileSystem, Threshold};
use crate::config::checked::Thresholds;

/// How far a value must be back on the good side, relative to the threshold, before the crossing
/// ends: enough that a build which adds and trims a little does not ring twice.
pub const HYSTERESIS: f64 = 0.05;

/// The thresholds there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// Size of the root, in bytes.
    Warn,
    /// Available share of the file system's space.
    FreeSpace,
    /// Available share of the file system's inodes.
    FreeInodes,
}

impl Level {
    /// All of them, in the order of [`State`].
    pub const ALL: [Self; 3] = [Self::Warn, Self::FreeSpace, Self::FreeInodes];

    /// The word used in the configuration, in logs and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::FreeSpace => "free_space",
            Self::FreeInodes => "free_inodes",
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a limit of 2^53 bytes may be off by a byte"
    )]
    fn limit(self, thresholds: &Thresholds) -> Option<f64> {
        match self {
            Self::Warn => thresholds.warn.map(|bytes| bytes as f64),
            Self::FreeSpace => thresholds.free_space,
            Self::FreeInodes => thresholds.free_inodes,
        }
    }

    /// The value to compare; `None` when it is not known now.
    #[expect(
        clippy::cast_precision_loss,
        reason = "shares and sizes need no more than 53 bits here"
    )]
    pub(crate) fn value(self, size_bytes: u64, file_system: &FileSystem) -> Option<f64> {
        let FileSystem {
            avail_bytes,
            total_bytes,
            inodes_used_ratio,
        } = *file_system;
        match self {
            Self::Warn => Some(size_bytes as f64),
            Self::FreeSpace => (total_bytes > 0).then(|| avail_bytes as f64 / total_bytes as f64),
            Self::FreeInodes => (total_bytes > 0).then_some(1.0 - inodes_used_ratio),
        }
    }

    fn crosses(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Warn => value >= limit,
            Self::FreeSpace | Self::FreeInodes => value < limit,
        }
    }

    fn clears(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Warn => value <= limit * (1.0 - HYSTERESIS),
            // A share near 1 could otherwise never be back.
            Self::FreeSpace | Self::FreeInodes => value >= (limit * (1.0 + HYSTERESIS)).min(1.0),
        }
    }
}

/// What is remembered of one root between two readings.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct State {
    levels: [LevelState; Level::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct LevelState {
    crossed: bool,
    crossings: u64,
}

impl State {
    /// The configured thresholds as readers of the snapshot see them.
    pub fn snapshot(&self, thresholds: &Thresholds) -> Vec<Threshold> {
        let row = |(level, state): (Level, &LevelState)| {
            let LevelState { crossed, crossings } = *state;
            level.limit(thresholds).map(|limit| Threshold {
                level: level.as_str(),
                limit,
                crossed,
                crossings,
            })
        };
        Level::ALL
            .into_iter()
            .zip(&self.levels)
            .filter_map(row)
            .collect()
    }
}

/// Which way a threshold was passed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// To the bad side.
    Crossed,
    /// Back, and far enough.
    Cleared,
}

/// Something to tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// The threshold.
    pub level: Level,
    /// Which way.
    pub change: Change,
    /// Bytes or share found.
    pub value: f64,
    /// Bytes or share configured.
    pub limit: f64,
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            level,
            change,
            value,
            limit,
        } = self;
        let verb = match change {
            Change::Crossed => "crossed",
            Change::Cleared => "cleared",
        };
        match level {
            Level::Warn => write!(
                formatter,
                "{} {verb}: {value:.0} B, limit {limit:.0} B",
                level.as_str()
            ),
            Level::FreeSpace | Level::FreeInodes => {
                write!(
                    formatter,
                    "{} {verb}: {:.2} %, limit {:.2} %",
                    level.as_str(),
                    value * 100.0,
                    limit * 100.0
                )
            }
        }
    }
}

/// Compares a reading with the thresholds of its root.
///
/// A threshold that is not configured is neither crossed nor told; a value that is not known
/// (a file system without a size) leaves its threshold as it was.
pub fn evaluate(
    thresholds: &Thresholds,
    previous: &State,
    size_bytes: u64,
    file_system: &FileSystem,
) -> (State, Vec<Event>) {
    let mut state = *previous;
    let mut events = Vec::new();
    for (level, entry) in Level::ALL.into_iter().zip(&mut state.levels) {
        let Some(limit) = level.limit(thresholds) else {
            entry.crossed = false;
            continue;
        };
        let Some(value) = level.value(size_bytes, file_system) else {
            continue;
        };
        let change = if entry.crossed {
            level.clears(value, limit).then_some(Change::Cleared)
        } else {
            level.crosses(value, limit).then_some(Change::Crossed)
        };
        if let Some(change) = change {
            entry.crossed = change == Change::Crossed;
            entry.crossings += u64::from(entry.crossed);
            events.push(Event {
                level,
                change,
                value,
                limit,
            });
        }
    }
    (state, events)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMY: FileSystem = FileSystem {
        avail_bytes: 90,
        total_bytes: 100,
        inodes_used_ratio: 0.0,
    };

    /// Feeds readings one after the other; each answer is the words told at that reading.
    fn check(thresholds: Thresholds, readings: &[(u64, FileSystem, &str)]) -> State {
        let mut state = State::default();
        for (number, (size_bytes, file_system, expected)) in readings.iter().enumerate() {
            let (next, events) = evaluate(&thresholds, &state, *size_bytes, file_system);
            let told: Vec<String> = events.iter().map(ToString::to_string).collect();
            assert_eq!(told.join("; "), *expected, "reading {number}");
            state = next;
        }
        state
    }

    #[test]
    fn size_crosses_once_and_clears_below_the_hysteresis() {
        let thresholds = Thresholds {
            warn: Some(1000),
            ..Thresholds::default()
        };
        let state = check(
            thresholds,
            &[
                (999, ROOMY, ""),
                (1000, ROOMY, "warn crossed: 1000 B, limit 1000 B"),
                (5000, ROOMY, ""),
                (951, ROOMY, ""),
                (1001, ROOMY, ""),
                (950, ROOMY, "warn cleared: 950 B, limit 1000 B"),
                (999, ROOMY, ""),
                (1000, ROOMY, "warn crossed: 1000 B, limit 1000 B"),
            ],
        );
        let expected = Threshold {
            level: "warn",
            limit: 1000.0,
            crossed: true,
            crossings: 2,
        };
        assert_eq!(state.snapshot(&thresholds), [expected]);
    }

    #[test]
    fn shares_cross_below_and_clear_above() {
        let space = |avail_bytes| FileSystem {
            avail_bytes,
            total_bytes: 1000,
            inodes_used_ratio: 0.0,
        };
        let unknown = FileSystem::default();
        check(
            Thresholds {
                free_space: Some(0.1),
                ..Thresholds::default()
            },
            &[
                (0, unknown, ""),
                (0, space(100), ""),
                (0, space(99), "free_space crossed: 9.90 %, limit 10.00 %"),
                (0, unknown, ""),
                (0, space(104), ""),
                (0, space(106), "free_space cleared: 10.60 %, limit 10.00 %"),
            ],
        );
        let inodes = |inodes_used_ratio| FileSystem {
            inodes_used_ratio,
            ..ROOMY
        };
        check(
            Thresholds {
                free_inodes: Some(0.99),
                ..Thresholds::default()
            },
            &[
                (0, inodes(0.0), ""),
                (
                    0,
                    inodes(0.5),
                    "free_inodes crossed: 50.00 %, limit 99.00 %",
                ),
                (0, inodes(0.001), ""),
                (
                    0,
                    inodes(0.0),
                    "free_inodes cleared: 100.00 %, limit 99.00 %",
                ),
            ],
        );
    }

    #[test]
    fn thresholds_are_independent_and_vanish_with_their_configuration() {
        let full = FileSystem {
            avail_bytes: 1,
            total_bytes: 100,
            inodes_used_ratio: 0.99,
        };
        let all = Thresholds {
            warn: Some(10),
            free_space: Some(0.05),
            free_inodes: Some(0.05),
        };
        let (state, events) = evaluate(&all, &State::default(), 10, &full);
        assert_eq!(events.len(), 3);
        let (state, events) = evaluate(&Thresholds::default(), &state, 10, &full);
        assert!(events.is_empty() && state.snapshot(&Thresholds::default()).is_empty());
        assert!(
            state
                .snapshot(&all)
                .iter()
                .all(|threshold| !threshold.crossed && threshold.crossings == 1)
        );
    }

    /// Whatever the readings: events alternate, crossings count the crossed ones, and equal readings tell nothing new.
    #[test]
    fn events_alternate_for_any_sequence() {
        let thresholds = Thresholds {
            warn: Some(500),
            free_space: Some(0.3),
            free_inodes: Some(0.5),
        };
        let mut seed = 0x2545_F491_4F6C_DD1D_u64;
        let mut next = |bound: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % bound
        };
        let mut state = State::default();
        let mut told: [Vec<Change>; 3] = Default::default();
        for _ in 0..10_000 {
            let share = u32::try_from(next(101)).unwrap();
            let file_system = FileSystem {
                avail_bytes: next(101),
                total_bytes: 100,
                inodes_used_ratio: f64::from(share) / 100.0,
            };
            let size_bytes = next(1000);
            let (after, events) = evaluate(&thresholds, &state, size_bytes, &file_system);
            assert_eq!(
                evaluate(&thresholds, &after, size_bytes, &file_system),
                (after, Vec::new())
            );
            for event in events {
                told[event.level as usize].push(event.change);
            }
            state = after;
        }
        for (changes, threshold) in told.iter().zip(state.snapshot(&thresholds)) {
            assert!(changes.chunks(2).all(|pair| pair[0] == Change::Crossed && pair.get(1) != Some(&Change::Crossed)));
            let crossings = changes
                .iter()
                .filter(|change| **change == Change::Crossed)
                .count();
            assert_eq!(u64::try_from(crossings).unwrap(), threshold.crossings);
            assert!(crossings > 10);
        }
    }
}
