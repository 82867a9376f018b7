//! What to do about a root, decided from values alone.
//!
//! Takes: configuration, earlier state, present readings. Gives: new state and events.
//! Never: touches a file, asks for the time, or acts.

pub mod thresholds;

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
