//! The immutable snapshot of the agent that every reader gets.
//!
//! Takes: the aggregate, once per tick. Gives: one `Arc<Snapshot>` swapped in whole.
//! Never: a lock held by a reader, or a figure that changes while it is read.

use std::time::{Duration, SystemTime};

use crate::{
    invocation::counts::InvocationCounts,
    limits::{FileSystem, Threshold},
    model::{
        changes::Changes,
        operation::Observation,
        root::{RootKind, RootState},
        tool_group::GROUPS,
    },
    store::writer::HistoryCounts,
};

/// What makes the agent degraded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// Hooks that could not be attached.
    Hooks,
    /// Faults that may have cost precision.
    Faults,
    /// Figures of the self-test that were wrong.
    Canary,
    /// The history.
    History,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hooks, Self::Faults, Self::Canary, Self::History];

    /// The word used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hooks => "hooks",
            Self::Faults => "faults",
            Self::Canary => "canary",
            Self::History => "history",
        }
    }
}

/// Why the agent is less than whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Degraded {
    /// What it comes from.
    pub reason: Reason,
    /// One sentence.
    pub sentence: String,
}

impl Degraded {
    /// One of many.
    pub fn new(reason: Reason, sentence: String) -> Self {
        Self { reason, sentence }
    }
}

/// What the self-test proved.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Proof {
    /// When all its figures were right, the last time.
    pub proved_at: Option<SystemTime>,
    /// Operations whose figures were right in the last run.
    pub operations: Vec<&'static str>,
}

/// One root.
#[derive(Clone, Debug, Default)]
pub struct RootSnapshot {
    /// Its configured or derived name: the metric label, at most 64 bytes, unique.
    pub name: String,
    /// Absolute path as configured; never a metric label.
    pub path: std::path::PathBuf,
    /// What kind of cache it is.
    pub kind: RootKind,
    /// Whether it is watched.
    pub state: RootState,
    /// Apparent size of its regular files in bytes, hard links once.
    pub size_bytes: u64,
    /// Allocated size in bytes at the last walk.
    pub disk_bytes: u64,
    /// Regular files.
    pub files: u64,
    /// Changes by group, in the order of [`GROUPS`].
    pub groups: [Changes; GROUPS.len()],
    /// Drift found by the last reconciling walk, in bytes, before it was corrected.
    pub drift_bytes: i64,
    /// Duration of the last walk.
    pub walk_duration: Duration,
    /// The file system below it.
    pub file_system: FileSystem,
    /// Its thresholds.
    pub thresholds: Vec<Threshold>,
    /// What keeps it from being watched, or from being walked whole; one sentence without a subject.
    pub trouble: Option<String>,
}

impl RootSnapshot {
    /// Its first walk is under way. One that cannot be walked holds up nobody.
    pub fn is_waited_for(&self) -> bool {
        self.state == RootState::Walking && self.trouble.is_none()
    }
}

/// Counters of detail events: `hits = delivered + sum(dropped)` once the ring is drained.
#[derive(Clone, Debug, Default)]
pub struct EventCounts {
    /// Ledger operations under a root.
    pub hits: u64,
    /// Detail events that reached user space.
    pub delivered: u64,
    /// Detail events lost, by cause (all causes are always present).
    pub dropped: Vec<(&'static str, u64)>,
    /// Kernel-side faults that may have cost precision, by cause (all causes are always present).
    pub faults: Vec<(&'static str, u64)>,
}

/// One kernel map.
#[derive(Clone, Debug)]
pub struct MapUsage {
    /// Its name.
    pub name: &'static str,
    /// Entries in use.
    pub entries: u64,
    /// Entries it can hold.
    pub capacity: u64,
}

/// What the agent itself costs.
#[derive(Clone, Copy, Debug, Default)]
pub struct AgentUsage {
    /// User plus system time in seconds.
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Locked kernel memory of its maps in bytes.
    pub kernel_map_bytes: u64,
}

/// Upper bounds, in seconds, of the buckets of [`Latency`].
pub const LATENCY_BUCKETS: [f64; 5] = [0.001, 0.025, 0.5, 1.0, 2.5];

/// A histogram with fixed buckets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    /// Observations at most as large as the bucket's bound; not cumulative.
    pub counts: [u64; LATENCY_BUCKETS.len()],
    /// Observations beyond the last bound.
    pub beyond: u64,
    /// Sum of all observations in seconds.
    pub sum_seconds: f64,
}

impl Latency {
    /// Adds one observation, in seconds.
    pub fn observe(&mut self, seconds: f64) {
        self.sum_seconds += seconds;
        let bucket = LATENCY_BUCKETS
            .iter()
            .zip(&mut self.counts)
            .find(|(bound, _)| seconds <= **bound);
        match bucket {
            Some((_, count)) => *count += 1,
            None => self.beyond += 1,
        }
    }
}

/// Everything a reader may want to know, taken at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was taken.
    pub taken_at: SystemTime,
    /// Name of the backend: `tracepoint` or `fentry`.
    pub backend: &'static str,
    /// Why the agent is degraded; empty when it is whole.
    pub degraded: Vec<Degraded>,
    /// What the self-test proved; `None` where it is off.
    pub canary: Option<Proof>,
    /// Operations and how well they are observed.
    pub coverage: Vec<(&'static str, Observation)>,
    /// All roots, configured first, then discovered, each group by name.
    pub roots: Vec<RootSnapshot>,
    /// Times that a root could not be taken up or walked whole.
    pub root_failures: u64,
    /// Detail events.
    pub events: EventCounts,
    /// Forks, execs and exits that were lost, and processes that nobody followed.
    pub process_events_dropped: u64,
    /// Kernel maps.
    pub maps: Vec<MapUsage>,
    /// Processes folded into their group since the start.
    pub processes_folded: u64,
    /// Time from a change in the kernel to its appearance in a snapshot.
    pub event_latency: Latency,
    /// Losses of the history.
    pub history: HistoryCounts,
    /// Invocations that ended.
    pub invocations: InvocationCounts,
    /// The agent's own cost.
    pub usage: AgentUsage,
}

impl Snapshot {
    /// Ready = every root that exists and can be walked was walked once; there is no snapshot before the hooks are
    /// attached.
    pub fn is_ready(&self) -> bool {
        !self.roots.iter().any(RootSnapshot::is_waited_for)
    }
}

impl Default for Snapshot {
    /// Of an agent that has no root and has seen nothing.
    fn default() -> Self {
        Self {
            taken_at: SystemTime::UNIX_EPOCH,
            backend: "",
            degraded: Vec::new(),
            canary: None,
            coverage: Vec::new(),
            roots: Vec::new(),
            root_failures: 0,
            events: EventCounts::default(),
            process_events_dropped: 0,
            maps: Vec::new(),
            processes_folded: 0,
            event_latency: Latency::default(),
            history: HistoryCounts::default(),
            invocations: InvocationCounts::default(),
            usage: AgentUsage::default(),
        }
    }
}
