//! What the history keeps of an entry and of its group, and how one look-up changes it.

/// How much of a group's past a look-up leaves: half after seven.
const KEPT_PER_LOOKUP: f32 = 0.9;
/// Returns are rarer than look-ups, so they are remembered longer.
const RETURNS_KEPT_PER_LOOKUP: f32 = 0.98;
/// How much of the mean interval the latest one makes.
const LATEST_INTERVAL: f32 = 0.4;
/// Invocations count half after this long.
const HALF_LIFE_S: f32 = 86_400.0;

/// When: by the clock, and by the invocations that used the cache.
///
/// A cache that nobody used over a week-end has not aged, so values go by invocations.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment {
    /// Seconds since 1970.
    pub seconds: u32,
    /// Invocations that used the cache until then, this one included: 0 is never.
    pub invocation: u32,
}

impl Moment {
    /// Seconds since `earlier`; none where that is in the future.
    pub(super) fn seconds_since(self, earlier: u32) -> u32 {
        self.seconds.saturating_sub(earlier)
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Kind {
    /// What a compiler, assembler or vet made.
    #[default]
    Compiled,
    /// A program or test binary.
    Executable,
    /// Index, list of sources, output or result of a test.
    Other,
}

/// One entry of a build cache. A million of them are held at once: 48 bytes each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entry {
    /// Start of the action's name.
    pub key: u64,
    /// Blocks that come free when it goes, in bytes.
    pub bytes: u64,
    /// CPU seconds of the child that made it.
    pub cost_s: f32,
    /// Index of its group: import path, test variant, build variant and directory.
    pub group: u32,
    /// When it was first made, in seconds since 1970.
    pub first_seen: u32,
    /// When it was last looked up or made.
    pub last_use: Moment,
    /// Mean number of invocations between its look-ups; 0 where there was one only.
    pub interval: f32,
    /// Distinct invocations that used it, halved each day, as of its last use.
    pub invocations: f32,
    /// What it is.
    pub kind: Kind,
    /// The cost was not seen but estimated from the size.
    pub estimated: bool,
    /// No look-up can find it: its Go version or checkout is gone, or its other half.
    pub unreachable: bool,
    /// A live invocation may need it, or the owner keeps it.
    pub pinned: bool,
}

impl Entry {
    /// It was looked up, or made, by the invocation of `now`; once for each invocation.
    pub fn used(&mut self, now: Moment) {
        if self.last_use.invocation == 0 {
            self.first_seen = now.seconds;
        } else {
            let since = now.invocation.saturating_sub(self.last_use.invocation);
            self.interval = mean_interval(self.interval, since);
        }
        self.invocations = self.invocations_at(now) + 1.0;
        self.last_use = now;
    }

    /// Distinct invocations, halved each day until `now`.
    pub(super) fn invocations_at(&self, now: Moment) -> f32 {
        let days = as_f32(now.seconds_since(self.last_use.seconds)) / HALF_LIFE_S;
        self.invocations * (-days).exp2()
    }

    /// Invocations since its last use.
    pub(super) fn age(&self, now: Moment) -> f32 {
        as_f32(now.invocation.saturating_sub(self.last_use.invocation))
    }
}

/// What is made of one package, test variant, build variant and directory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Group {
    /// Invocation that last looked up any of its entries; 0 is never.
    pub last_use: u32,
    /// Invocation that last compiled it.
    pub compiled: u32,
    /// Mean number of invocations between its look-ups; 0 where there was one only.
    pub interval: f32,
    /// Look-ups, the recent ones counting most.
    pub lookups: f32,
    /// Look-ups that needed an entry which had never been, in the same measure.
    pub changes: f32,
    /// Look-ups that came back to a superseded entry.
    pub returns: f32,
    /// How many returns there would have been had each been as likely as the next.
    pub exposure: f32,
}

impl Group {
    /// The invocation of `now` looked up `entry`, as it was before that; `compiled` where it was not in the cache.
    pub fn used(&mut self, entry: &Entry, now: Moment, compiled: bool) {
        let new = entry.last_use.invocation == 0;
        if self.last_use != now.invocation {
            let first = self.last_use == 0;
            if !first {
                let since = now.invocation.saturating_sub(self.last_use);
                self.interval = mean_interval(self.interval, since);
            }
            let changed = if new && !first { 1.0 } else { 0.0 };
            self.lookups = self.lookups * KEPT_PER_LOOKUP + 1.0;
            self.changes = self.changes * KEPT_PER_LOOKUP + changed;
            self.returns *= RETURNS_KEPT_PER_LOOKUP;
            self.exposure *= RETURNS_KEPT_PER_LOOKUP;
            if !new && self.supersedes(entry) {
                self.returns += 1.0;
                self.exposure += exposure(self.lookups_since(entry, now));
            }
            self.last_use = now.invocation;
        }
        if compiled {
            self.compiled = now.invocation;
        }
    }

    /// It was compiled anew since `entry` was last used.
    pub(super) fn supersedes(&self, entry: &Entry) -> bool {
        self.compiled > entry.last_use.invocation
    }

    /// About how many look-ups of the group there were since `entry` was last used.
    pub(super) fn lookups_since(&self, entry: &Entry, now: Moment) -> f32 {
        entry.age(now) / self.interval.max(1.0)
    }
}

/// The sum of a chance that falls as one over the root of 1 + n, over n look-ups.
pub(super) fn exposure(lookups: f32) -> f32 {
    2.0 * ((1.0 + lookups).sqrt() - 1.0)
}

fn mean_interval(mean: f32, latest: u32) -> f32 {
    let latest = as_f32(latest);
    if mean > 0.0 {
        mean + (latest - mean) * LATEST_INTERVAL
    } else {
        latest
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a difference of times needs no more than 24 bits"
)]
pub(super) fn as_f32(number: u32) -> f32 {
    number as f32
}
