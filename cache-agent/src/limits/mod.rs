//! What to do about a root, decided from values alone.
//!
//! Takes: configuration, earlier state, present readings. Gives: new state and events.
//! Never: touches a file, asks for the time, or acts.

pub mod policy;
pub mod thresholds;

use self::thresholds::{Event, State, evaluate};
use crate::config::limits::Thresholds;

/// Free space of the file system that holds a root.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FileSystem {
    /// Bytes available to unprivileged users.
    pub avail_bytes: u64,
    /// Size of the file system in bytes.
    pub total_bytes: u64,
    /// Used share of the inodes, 0 to 1; 0 where the file system has no fixed number.
    pub inodes_used_ratio: f64,
}

/// One configured threshold and whether it is crossed now.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// `warn`, `free_space` or `free_inodes`.
    pub level: &'static str,
    /// Bytes for `warn`; for the others the ratio.
    pub limit: f64,
    /// Crossed now (with hysteresis).
    pub crossed: bool,
    /// Crossings since the start.
    pub crossings: u64,
}

/// What the owner of a root set, and how the root stands to that.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// When to notify.
    pub thresholds: Thresholds,
    state: State,
}

/// What is known of a root when its limits are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Apparent size in bytes.
    pub size_bytes: u64,
    /// The file system that holds it.
    pub file_system: FileSystem,
}

/// What is to be done about a root.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// A threshold was crossed, or is crossed no more: the owner is told.
    Notify(Event),
}

impl Limits {
    /// Nothing crossed yet.
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            state: State::default(),
        }
    }

    /// The same state under other thresholds.
    #[must_use]
    pub fn with(self, thresholds: Thresholds) -> Self {
        Self { thresholds, ..self }
    }

    /// Compares a reading with the limits; what is to be done now.
    pub fn decide(&mut self, reading: &Reading) -> Vec<Decision> {
        let (state, events) = evaluate(
            &self.thresholds,
            &self.state,
            reading.size_bytes,
            &reading.file_system,
        );
        self.state = state;
        events.into_iter().map(Decision::Notify).collect()
    }

    /// The thresholds as readers of the snapshot see them.
    pub fn rows(&self) -> Vec<Threshold> {
        self.state.snapshot(&self.thresholds)
    }
}
