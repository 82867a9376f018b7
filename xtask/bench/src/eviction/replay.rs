//! What a cache that is kept below a cap has to compile again.

use cache_agent::limits::policy::{self, Entry, Group, Moment, Policy};
use serde::Serialize;

use super::trace::{Action, Trace};

/// Eight invocations a day, so that what goes by the clock has one.
const SECONDS_PER_RUN: u32 = 3 * 3600;
/// Go trims what was not used for five days and an hour.
const TRIM_AGE_S: u32 = 5 * 86_400 + 3600;
/// Evicted down to this much of the cap, in percent.
const LOW_PERCENT: u64 = 90;

/// Who chooses what goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Chooser {
    /// The agent.
    Agent(Policy),
    /// Go, by age alone and whatever the cap.
    Trim,
    /// Belady's choice weighted by cost, which knows what comes.
    Reference,
}

impl Chooser {
    pub(super) const ALL: [Self; 6] = [
        Self::Agent(Policy::Value),
        Self::Agent(Policy::Gdsf),
        Self::Agent(Policy::Lru),
        Self::Agent(Policy::Age),
        Self::Trim,
        Self::Reference,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Agent(policy) => policy.as_str(),
            Self::Trim => "trim",
            Self::Reference => "reference",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Outcome {
    /// CPU seconds of what was compiled again.
    pub(super) lost_cpu_s: f64,
    /// Look-ups that found their entry.
    pub(super) hit_ratio: f64,
}

pub(super) fn replay(trace: &Trace, cap: u64, chooser: Chooser) -> Outcome {
    let mut cache = Cache::new(trace);
    let (mut lost_cpu_s, mut hits, mut lookups) = (0.0, 0u32, 0u32);
    for (invocation, run) in (1u32..).zip(&trace.runs) {
        let now = Moment {
            seconds: invocation.saturating_mul(SECONDS_PER_RUN),
            invocation,
        };
        for &index in run {
            lookups += 1;
            match cache.look_up(index, now) {
                Found::Hit => hits += 1,
                Found::Again(cpu_s) => lost_cpu_s += f64::from(cpu_s),
                Found::New => {}
            }
        }
        cache.evict(cap, chooser, now);
    }
    Outcome {
        lost_cpu_s,
        hit_ratio: f64::from(hits) / f64::from(lookups.max(1)),
    }
}

enum Found {
    Hit,
    /// It had been there; what compiling it again took.
    Again(f32),
    New,
}

/// What the history knows of all that ever was, and what of it is in the cache.
struct Cache {
    entries: Vec<Entry>,
    groups: Vec<Group>,
    present: Vec<bool>,
    bytes: u64,
    /// When each is looked up, the last time first.
    future: Vec<Vec<u32>>,
}

impl Cache {
    fn new(trace: &Trace) -> Self {
        let entry = |(key, action): (u64, &Action)| Entry {
            key,
            bytes: action.bytes,
            cost_s: action.cpu_s,
            group: action.group,
            ..Entry::default()
        };
        let mut future = vec![Vec::new(); trace.actions.len()];
        for (invocation, run) in (1u32..)
            .zip(&trace.runs)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            for &index in run {
                future[index].push(invocation);
            }
        }
        Self {
            entries: (0..).zip(&trace.actions).map(entry).collect(),
            groups: vec![Group::default(); trace.groups],
            present: vec![false; trace.actions.len()],
            bytes: 0,
            future,
        }
    }

    fn look_up(&mut self, index: usize, now: Moment) -> Found {
        let entry = &mut self.entries[index];
        let hit = self.present[index];
        let new = entry.last_use.invocation == 0;
        self.groups[entry.group as usize].used(entry, now, !hit);
        entry.used(now);
        self.future[index].pop();
        if hit {
            return Found::Hit;
        }
        self.present[index] = true;
        self.bytes += entry.bytes;
        if new {
            Found::New
        } else {
            Found::Again(entry.cost_s)
        }
    }

    fn evict(&mut self, cap: u64, chooser: Chooser, now: Moment) {
        let need = if self.bytes > cap {
            self.bytes.saturating_sub(cap / 100 * LOW_PERCENT)
        } else {
            0
        };
        let candidates: Vec<usize> = (0..self.entries.len())
            .filter(|&index| self.present[index])
            .collect();
        let victims = match chooser {
            Chooser::Agent(policy) => self.chosen_by_agent(&candidates, need, policy, now),
            Chooser::Trim => {
                let is_old = |index: &usize| {
                    now.seconds - self.entries[*index].last_use.seconds > TRIM_AGE_S
                };
                candidates.into_iter().filter(is_old).collect()
            }
            Chooser::Reference => self.chosen_by_reference(candidates, need, now),
        };
        for index in victims {
            self.present[index] = false;
            self.bytes -= self.entries[index].bytes;
        }
    }

    /// By the very function that the agent uses.
    fn chosen_by_agent(
        &self,
        candidates: &[usize],
        need: u64,
        policy: Policy,
        now: Moment,
    ) -> Vec<usize> {
        let entry = |&index: &usize| {
            let entry = self.entries[index];
            Entry {
                pinned: entry.last_use == now,
                ..entry
            }
        };
        let entries: Vec<Entry> = candidates.iter().map(entry).collect();
        policy::plan(&entries, &self.groups, need, policy, now)
            .into_iter()
            .map(|victim| candidates[victim.index as usize])
            .collect()
    }

    /// What is never looked up again, then what saves least for its bytes until it is.
    fn chosen_by_reference(&self, candidates: Vec<usize>, need: u64, now: Moment) -> Vec<usize> {
        let value = |index: usize| {
            let Entry { cost_s, bytes, .. } = self.entries[index];
            self.future[index].last().map_or(0.0, |next| {
                #[expect(clippy::cast_precision_loss, reason = "it only orders")]
                let bytes = bytes.max(1) as f64;
                f64::from(cost_s) / bytes / f64::from(next - now.invocation)
            })
        };
        let mut ranked: Vec<(f64, usize)> = candidates
            .into_iter()
            .filter(|&index| self.entries[index].last_use != now)
            .map(|index| (value(index), index))
            .collect();
        ranked.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        let mut freed = 0;
        ranked
            .into_iter()
            .map(|(_, index)| index)
            .take_while(|&index| {
                let goes = freed < need;
                freed += self.entries[index].bytes;
                goes
            })
            .collect()
    }
}
