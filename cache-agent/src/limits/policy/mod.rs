//! Which entries of a build cache go first, and why.
//!
//! Takes: what the history knows of each entry and each group. Gives: victims in order, each with its reason.
//! Never: touches a file, asks for the time, or depends on the order of the entries.

mod facts;
mod rank;
#[cfg(test)]
mod tests;

use self::rank::{Rank, Ranking};

pub use self::facts::{Entry, Group, Kind, Moment};

/// In which order entries go.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Policy {
    /// By tier, then by the seconds that a byte is expected to save an invocation.
    #[default]
    Value,
    /// By invocations that looked it up, halved each day, times cost, over size.
    Gdsf,
    /// Longest not looked up first.
    Lru,
    /// First made first.
    Age,
}

impl Policy {
    /// All of them, the default first.
    pub const ALL: [Self; 4] = [Self::Value, Self::Gdsf, Self::Lru, Self::Age];

    /// The word used in the configuration and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Gdsf => "gdsf",
            Self::Lru => "lru",
            Self::Age => "age",
        }
    }
}

/// Why an entry goes; of [`Policy::Value`] the first five are the tiers, in their order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// No look-up can find it any more.
    Unreachable,
    /// Its group was compiled anew, and it is not expected back.
    Superseded,
    /// A program or test binary of a run that is over.
    Executable,
    /// Never looked up since it was made, for longer than reuse takes.
    Unused,
    /// Worth the least of what is left.
    LowValue,
    /// Longest not looked up.
    LeastRecent,
    /// First made.
    Oldest,
}

impl Reason {
    /// All of them, the tiers first.
    pub const ALL: [Self; 7] = [
        Self::Unreachable,
        Self::Superseded,
        Self::Executable,
        Self::Unused,
        Self::LowValue,
        Self::LeastRecent,
        Self::Oldest,
    ];

    /// The word used in metrics, logs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Superseded => "superseded",
            Self::Executable => "executable",
            Self::Unused => "unused",
            Self::LowValue => "low_value",
            Self::LeastRecent => "least_recent",
            Self::Oldest => "oldest",
        }
    }
}

/// An entry that is to go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Victim {
    /// Its place in the entries that were given.
    pub index: u32,
    /// Why it goes.
    pub reason: Reason,
}

/// The entries to evict so that `need` bytes come free, in order; all that may go when that is not enough.
///
/// An entry's group is an index into `groups`; without one its own history decides.
pub fn plan(
    entries: &[Entry],
    groups: &[Group],
    need: u64,
    policy: Policy,
    now: Moment,
) -> Vec<Victim> {
    if need == 0 {
        return Vec::new();
    }
    let ranking = Ranking::new(entries, groups, policy, now);
    let mut ranks: Vec<Rank> = (0u32..)
        .zip(entries)
        .filter(|(_, entry)| !entry.pinned)
        .map(|(index, entry)| ranking.rank(index, entry))
        .collect();
    // Keys decide between equals, so that the order of the entries does not.
    let key = |rank: &Rank| entries.get(rank.index()).map(|entry| entry.key);
    ranks.sort_unstable_by(|one, other| {
        (one.order().cmp(&other.order())).then_with(|| key(one).cmp(&key(other)))
    });
    let mut freed = 0u64;
    let mut count = 0;
    for rank in &ranks {
        if freed >= need {
            break;
        }
        let bytes = entries.get(rank.index()).map_or(0, |entry| entry.bytes);
        freed = freed.saturating_add(bytes);
        count += 1;
    }
    ranks.truncate(count);
    // What stays is most of it, and the victims need room.
    ranks.shrink_to_fit();
    ranks.iter().map(|rank| ranking.victim(*rank)).collect()
}
