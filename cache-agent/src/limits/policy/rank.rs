//! The place of an entry in the order, in 8 bytes: tier and value before its index.

use super::{
    Policy, Reason, Victim,
    facts::{Entry, Group, Kind, Moment, as_f32, exposure},
};

/// Within so many invocations a superseded entry keeps its place: a change is often taken back.
const GRACE_INVOCATIONS: f32 = 8.0;
/// Or a working day.
const GRACE_S: u32 = 8 * 3600;
/// A superseded entry is expected back when this many of a hundred look-ups are for it.
const EXPECTED_BACK: f32 = 0.01;
/// 99.9 % of reuses come within 5.8 days.
const REUSE_HORIZON_S: u32 = 501_120;
/// Bits of a rank that the value has; the others are the tier's.
const VALUE_BITS: u32 = 29;
/// A group is taken to change at every other look-up before it has shown whether it does.
const PRIOR_CHANGES: f32 = 0.5;
/// Neither never nor always: a group is known by a few look-ups only.
const MIN_CHANGE: f32 = 0.02;
const MAX_CHANGE: f32 = 0.95;
/// How much the returns of all groups weigh against those of one.
const PRIOR_EXPOSURE: f32 = 2.0;
/// A wait is known roughly, so that it counts for less than a chance or a cost does.
const WAIT_WEIGHT: f32 = 0.7;
/// Twice the share of entries used once that are not needed again.
const NEVER_AGAIN: f32 = 0.7;

/// An order of 32 bits, and the index that it belongs to.
#[derive(Clone, Copy)]
pub(super) struct Rank(u64);

impl Rank {
    fn new(order: u32, index: u32) -> Self {
        Self(u64::from(order) << 32 | u64::from(index))
    }

    pub(super) fn order(self) -> u64 {
        self.0 >> 32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    fn index_u32(self) -> u32 {
        self.0 as u32
    }

    pub(super) fn index(self) -> usize {
        usize::try_from(self.index_u32()).unwrap_or(usize::MAX)
    }
}

/// What all entries together tell of one.
pub(super) struct Ranking<'a> {
    groups: &'a [Group],
    policy: Policy,
    now: Moment,
    /// Mean number of invocations between look-ups, by cost.
    interval: f32,
    /// Returns of superseded entries over their exposure.
    returns: f32,
}

impl<'a> Ranking<'a> {
    pub(super) fn new(entries: &[Entry], groups: &'a [Group], policy: Policy, now: Moment) -> Self {
        let mut ranking = Self {
            groups,
            policy,
            now,
            interval: 0.0,
            returns: 0.0,
        };
        if policy == Policy::Value {
            ranking.learn(entries);
        }
        ranking
    }

    /// Sums of 64-bit integers, because a sum of floats depends on its order.
    fn learn(&mut self, entries: &[Entry]) {
        let (mut weight, mut intervals) = (0u128, 0u128);
        let (mut returns, mut exposed) = (fixed(0.05), fixed(1.0));
        for group in self.groups {
            returns += fixed(group.returns);
            exposed += fixed(group.exposure);
        }
        for entry in entries {
            if entry.interval > 0.0 {
                let cost = fixed(entry.cost_s);
                weight += cost;
                intervals += cost * fixed(entry.interval);
            }
            if let Some(group) = self.superseded_by(entry) {
                exposed += fixed(exposure(group.lookups_since(entry, self.now)));
            }
        }
        self.interval = ratio(intervals, weight * fixed(1.0));
        self.returns = ratio(returns, exposed);
    }

    fn group(&self, entry: &Entry) -> Option<&'a Group> {
        self.groups.get(usize::try_from(entry.group).ok()?)
    }

    fn superseded_by(&self, entry: &Entry) -> Option<&'a Group> {
        self.group(entry).filter(|group| group.supersedes(entry))
    }

    pub(super) fn rank(&self, index: u32, entry: &Entry) -> Rank {
        let order = match self.policy {
            Policy::Value => {
                let chance = self.chance(entry);
                let (tier, value) = match self.tier(entry, chance) {
                    Reason::LowValue => (Reason::LowValue, self.value(entry, chance)),
                    // Within the first tiers what saves most space for its cost goes first.
                    tier => (tier, density(entry)),
                };
                (tier as u32) << VALUE_BITS | value.to_bits() >> (32 - 1 - VALUE_BITS)
            }
            Policy::Gdsf => (density(entry) * entry.invocations_at(self.now)).to_bits(),
            Policy::Lru => entry.last_use.seconds,
            Policy::Age => entry.first_seen,
        };
        Rank::new(order, index)
    }

    pub(super) fn victim(&self, rank: Rank) -> Victim {
        let reason = match self.policy {
            Policy::Value => usize::try_from(rank.order() >> VALUE_BITS)
                .ok()
                .and_then(|tier| Reason::ALL.get(tier).copied())
                .unwrap_or(Reason::LowValue),
            Policy::Gdsf => Reason::LowValue,
            Policy::Lru => Reason::LeastRecent,
            Policy::Age => Reason::Oldest,
        };
        Victim {
            index: rank.index_u32(),
            reason,
        }
    }

    fn tier(&self, entry: &Entry, chance: f32) -> Reason {
        let idle_s = self.now.seconds_since(entry.last_use.seconds);
        let age = entry.age(self.now);
        if entry.unreachable {
            Reason::Unreachable
        } else if self.superseded_by(entry).is_some()
            && (age > GRACE_INVOCATIONS || idle_s > GRACE_S)
            && chance < EXPECTED_BACK
        {
            Reason::Superseded
        } else if entry.kind == Kind::Executable && age > 0.0 {
            Reason::Executable
        } else if entry.interval <= 0.0 && idle_s > REUSE_HORIZON_S && age > 2.0 * self.interval {
            Reason::Unused
        } else {
            Reason::LowValue
        }
    }

    /// That the next look-up of the group is for this entry.
    fn chance(&self, entry: &Entry) -> f32 {
        let Some(group) = self.group(entry) else {
            return 1.0 - PRIOR_CHANGES;
        };
        if group.supersedes(entry) {
            // Most come back soon or never: the chance falls with the root of the look-ups gone by.
            let since = group.lookups_since(entry, self.now);
            let returns = group.returns + PRIOR_EXPOSURE * self.returns;
            let exposed = group.exposure + exposure(since) + PRIOR_EXPOSURE;
            (returns / exposed / (1.0 + since).sqrt()).min(1.0)
        } else {
            let change = (group.changes + PRIOR_CHANGES) / group.lookups.max(1.0);
            1.0 - change.clamp(MIN_CHANGE, MAX_CHANGE)
        }
    }

    /// CPU seconds that a byte of it is expected to save an invocation.
    fn value(&self, entry: &Entry, chance: f32) -> f32 {
        let group = self.group(entry);
        let group_interval = group.map(|group| group.interval).filter(|it| *it > 0.0);
        let own = Some(entry.interval).filter(|it| *it > 0.0);
        let interval = own.or(group_interval).unwrap_or(self.interval);
        let quiet = match group {
            Some(group) if group.supersedes(entry) => {
                as_f32(self.now.invocation.saturating_sub(group.last_use))
            }
            _ => entry.age(self.now),
        };
        // What has been quiet for longer than its interval is quiet for as long again.
        let wait = quiet.max(interval).max(1.0);
        density(entry) * chance * familiarity(entry) / wait.powf(WAIT_WEIGHT)
    }
}

/// Rises to 1 with the invocations that used it: what was used once may have been needed once.
fn familiarity(entry: &Entry) -> f32 {
    1.0 - NEVER_AGAIN / (1.0 + sane(entry.invocations))
}

/// CPU seconds a byte; never negative, infinite or no number, so that its bits order it.
fn density(entry: &Entry) -> f32 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a size needs no more than 24 bits"
    )]
    let bytes = entry.bytes.max(1) as f32;
    sane(entry.cost_s) / bytes
}

fn sane(number: f32) -> f32 {
    if number.is_finite() {
        number.clamp(0.0, 1e9)
    } else {
        0.0
    }
}

/// In millionths.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is between 0 and 1e15"
)]
fn fixed(number: f32) -> u128 {
    (f64::from(sane(number)) * 1e6) as u128
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a ratio needs no more than 24 bits"
)]
fn ratio(above: u128, below: u128) -> f32 {
    if below == 0 {
        0.0
    } else {
        (above as f64 / below as f64) as f32
    }
}
