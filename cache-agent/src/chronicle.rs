//! The daemon's invocations: followed while they run, told once they are over.
//!
//! Takes: steps, facts, accounts that ended processes leave. Gives: records, explained; figures for metrics.
//! Never: keeps more than a bounded past, which is the store's.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use cache_ebpf::ProcessKey;

use crate::{
    aggregate::{Aggregate, Leaving},
    intake::ring::{Fact, printable},
    invocation::{observer::Observer, tally::Tally, tracker::Finished},
    ledger::{
        account::{Identity, Sums},
        book::Book,
    },
    process::seed,
    roster::Roster,
};

/// Finished invocations that grew a cache, remembered to explain later ones.
const REMEMBERED: usize = 128;
/// Packages kept of each of them.
const PACKAGES_REMEMBERED: usize = 2_000;
/// Records that wait for whoever takes them.
const WAITING_MAX: usize = 4_096;
/// Between two looks for processes whose exit was lost.
const BURIAL_INTERVAL: Duration = Duration::from_mins(1);

/// What ended processes of one invocation left.
#[derive(Debug, Default)]
struct Estate {
    sums: HashMap<u32, Sums>,
    leader: Option<Identity>,
}

/// Follows invocations for the daemon.
#[derive(Debug)]
pub struct Chronicle {
    observer: Observer,
    estates: HashMap<ProcessKey, Estate>,
    recent: VecDeque<Finished>,
    waiting: Vec<Finished>,
    burial: Instant,
    /// Figures since the start.
    pub tally: Tally,
}

impl Chronicle {
    /// Follows these commands too, and the tools that run already.
    pub fn start(book: &mut Book, commands: &[String]) -> Result<Self> {
        let commands = commands.iter().map(String::as_str);
        let mut observer = Observer::start(book.session(), commands)?;
        seed::seed(book.session(), observer.tracker())?;
        observer.ask_about_all();
        Ok(Self {
            observer,
            estates: HashMap::new(),
            recent: VecDeque::new(),
            waiting: Vec::new(),
            burial: Instant::now() + BURIAL_INTERVAL,
            tally: Tally::default(),
        })
    }

    /// Takes what the kernel side tells of processes. Comes before the facts of files.
    ///
    /// How many steps there were.
    pub fn look(&mut self, book: &mut Book) -> usize {
        self.observer.look(book.session())
    }

    /// A file changed.
    pub fn fact(&mut self, fact: &Fact) {
        self.observer.fact(fact);
    }

    /// Names of files come from the roots that are watched now.
    pub fn follow_roots(&mut self, book: &Book, roster: &Roster) -> Result<()> {
        for entry in &roster.entries {
            let Some(root) = entry.index.and_then(|index| book.root(index)) else {
                continue;
            };
            if self.observer.watches(root.index) {
                continue;
            }
            let directory = root.directory().as_fd().try_clone_to_owned();
            let directory = directory.context("no descriptor left")?;
            let path = printable(entry.path.as_os_str().as_encoded_bytes());
            self.observer.watch(root.index, path, entry.kind, directory);
        }
        Ok(())
    }

    /// A root is let go; another one may get its number.
    pub fn leave_root(&mut self, index: Option<u32>) {
        if let Some(index) = index {
            self.observer.unwatch(index);
        }
    }

    /// Takes over what ended processes left, and finishes what is over. `busy` still have accounts.
    pub fn settle(
        &mut self,
        aggregate: &mut Aggregate,
        busy: &HashSet<ProcessKey>,
    ) {
        for leaving in aggregate.take_leaving() {
            self.inherit(leaving);
        }
        if Instant::now() >= self.burial {
            self.burial = Instant::now() + BURIAL_INTERVAL;
            self.observer.tracker().bury(seed::is_alive);
        }
        let mut over = self.observer.tracker().over();
        let tracker = self.observer.tracker();
        over.extend(self.estates.keys().filter(|key| !tracker.knows(key)));
        for key in over.iter().filter(|key| !busy.contains(key)) {
            let Estate { sums, leader } = self.estates.remove(key).unwrap_or_default();
            let finished = self.observer.finish_one(key, &sums, leader.as_ref());
            self.tell(finished);
        }
    }

    fn inherit(&mut self, leaving: Leaving) {
        let Leaving {
            invocation,
            root,
            sums,
            leader,
        } = leaving;
        let estate = self.estates.entry(invocation).or_default();
        let sum = estate.sums.entry(root).or_default();
        sum.changes.add(&sums.changes);
        sum.hits += sums.hits;
        sum.misses += sums.misses;
        if leader.is_some() {
            estate.leader = leader;
        }
    }

    fn tell(&mut self, mut finished: Vec<Finished>) {
        Observer::explain(&mut finished, self.recent.make_contiguous());
        for one in finished {
            self.tally.count(&one.record);
            let is_worth_it = one.record.growth_bytes > 0 || one.record.freed_bytes > 0;
            if is_worth_it {
                let mut kept = one.clone();
                kept.packages.truncate(PACKAGES_REMEMBERED);
                self.recent.push_back(kept);
                if self.recent.len() > REMEMBERED {
                    self.recent.pop_front();
                }
            }
            if self.waiting.len() < WAITING_MAX {
                self.waiting.push(one);
            } else {
                self.tally.untold += 1;
            }
        }
    }

    /// Records finished since this was last asked.
    pub fn take_finished(&mut self) -> Vec<Finished> {
        std::mem::take(&mut self.waiting)
    }
}
