//! The daemon's invocations: followed while they run, told once they are over.
//!
//! Takes: steps, facts, accounts that ended processes leave, what the history knows. Gives: records, explained,
//! to the history; figures for metrics. Never: waits for the history, or keeps a past of its own.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    os::fd::BorrowedFd,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use cache_ebpf::ProcessKey;

use super::{
    process_totals::{ExitedAccount, ProcessTotals},
    roots::RootTable,
};
use crate::{
    invocation::{cause, counts::InvocationCounts, observer::Observer},
    kernel::{file_events::Fact, kernel_side::FollowsProcesses, ledger_maps::LedgerMaps},
    ledger::{Ledger, accounts::Sums},
    model::{
        changes::Changes,
        compiled::{Compiled, Past},
        invocation::Finished,
        printable::printable,
        process::Identity,
    },
    process::caches_in_use::{CacheInUse, Sighting},
    store::{query::EarlierFilter, record::Record, writer::StoreWriter},
    sys::procfs::is_alive,
};

/// Earlier invocations that may explain one.
const EARLIER: u32 = 32;
/// Records that wait for the history's answer; of more, the first ones go without a cause.
const WAITING_MAX: usize = 1_024;
/// How long an invocation waits for the first walk of a root that it filled.
const FIRST_WALK_PATIENCE: Duration = Duration::from_secs(30);
/// How long the last ones wait for it when the agent ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// Between two looks for processes whose exit was lost.
const LOST_EXITS_INTERVAL: Duration = Duration::from_mins(1);

/// A process that is no build tool, and of none, is told if it moved so many bytes, or files.
const STRANGERS_BYTES: u64 = 1024 * 1024;
const STRANGERS_FILES: u64 = 100;

/// What ended processes of one invocation left.
#[derive(Debug, Default)]
struct ExitedSums {
    sums: HashMap<u32, Sums>,
    leader: Option<Identity>,
}

impl ExitedSums {
    /// A process of no invocation changed too little to be told.
    fn is_negligible(&self) -> bool {
        let is_stranger = |leader: &Identity| leader.invocation.is_none();
        let mut all = Changes::default();
        for sum in self.sums.values() {
            all.add(&sum.changes);
        }
        let moved_bytes = all.grown_bytes().saturating_add(all.freed_bytes);
        let files = all.files_created.saturating_add(all.files_deleted);
        self.leader.as_ref().is_some_and(is_stranger)
            && moved_bytes < STRANGERS_BYTES
            && files < STRANGERS_FILES
    }
}

/// A finished invocation that waits for what the history knows of its module.
#[derive(Debug)]
struct Waiting {
    finished: Finished,
    answer: Option<Receiver<Past>>,
}

/// Follows invocations for the daemon.
pub(super) struct Invocations<P: FollowsProcesses> {
    observer: Observer<P>,
    exited: HashMap<ProcessKey, ExitedSums>,
    waiting: VecDeque<Waiting>,
    /// Owners of what new roots held before, until when they are waited for.
    expecting: HashMap<ProcessKey, Instant>,
    history: StoreWriter,
    /// When exits that were lost are looked for again.
    next_check: Instant,
    /// Figures since the start.
    pub counts: InvocationCounts,
}

impl<P: FollowsProcesses> Invocations<P> {
    /// Follows these commands too, and the tools that run already.
    pub(super) fn start(
        process_maps: P,
        commands: &[String],
        history: StoreWriter,
    ) -> Result<Self> {
        let commands = commands.iter().map(String::as_str);
        let mut observer = Observer::start(process_maps, commands)?;
        observer.follow_running()?;
        Ok(Self {
            observer,
            exited: HashMap::new(),
            waiting: VecDeque::new(),
            expecting: HashMap::new(),
            history,
            next_check: Instant::now() + LOST_EXITS_INTERVAL,
            counts: InvocationCounts::default(),
        })
    }

    /// Follows these commands from now on.
    pub(super) fn follow(&mut self, commands: &[String]) -> Result<()> {
        let commands = commands.iter().map(String::as_str);
        self.observer.follow_tools(commands)
    }

    /// Takes what the kernel side tells of processes, and the facts that came before.
    ///
    /// How many steps there were.
    pub(super) fn look(&mut self) -> usize {
        self.observer.look()
    }

    /// Process events lost since the start.
    pub(super) fn lost(&self) -> Result<u64> {
        self.observer.lost()
    }

    /// A file changed; taken in with the next look.
    pub(super) fn fact(&mut self, fact: Fact) {
        self.observer.fact(fact);
    }

    /// Names of files come from the roots that are watched now.
    pub(super) fn follow_roots(&mut self, ledger: &Ledger<impl LedgerMaps>, roots: &RootTable) {
        for entry in &roots.all {
            let Some(root) = entry.index().and_then(|index| ledger.root(index)) else {
                continue;
            };
            if self.observer.watches(root.index) {
                continue;
            }
            let directory = Arc::clone(root.directory());
            let path = printable(entry.path.as_os_str().as_encoded_bytes());
            self.observer.watch(root.index, path, entry.kind, directory);
        }
    }

    /// A root is let go; another one may get its number.
    pub(super) fn leave_root(&mut self, index: Option<u32>) {
        if let Some(index) = index {
            self.observer.unwatch(index);
        }
    }

    /// Caches that go commands use, found since this was last asked.
    pub(super) fn take_found(&mut self) -> Vec<(Sighting, Vec<CacheInUse>)> {
        self.observer.take_found()
    }

    /// Nobody but this command can have written to the caches that it named since it began.
    pub(super) fn is_alone(&mut self, sighting: &Sighting) -> bool {
        self.observer.tracker().is_alone(sighting)
    }

    /// Readable when the ring of process events wants to be looked at.
    pub(super) fn events_fd(&self) -> BorrowedFd<'_> {
        self.observer.events_fd()
    }

    /// Readable once such caches were found.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.observer.bell()
    }

    /// True where such caches wait.
    pub(super) fn has_found(&self) -> bool {
        self.observer.has_found()
    }

    /// An invocation that alone can have written what a new root holds is told only once that is measured.
    pub(super) fn expect(&mut self, initial_owner: ProcessKey) {
        self.expecting
            .insert(initial_owner, Instant::now() + FIRST_WALK_PATIENCE);
    }

    /// Takes over what ended processes left, and finishes what is over. `busy` still have accounts.
    pub(super) fn settle(
        &mut self,
        process_totals: &mut ProcessTotals,
        busy: &HashSet<ProcessKey>,
    ) {
        self.explain(Duration::ZERO);
        for exited in process_totals.take_exited() {
            self.add_exited(exited);
        }
        if Instant::now() >= self.next_check {
            self.next_check = Instant::now() + LOST_EXITS_INTERVAL;
            self.observer.tracker().end_vanished(is_alive);
        }
        let mut over = self.observer.tracker().over();
        let tracker = self.observer.tracker();
        over.extend(self.exited.keys().filter(|key| !tracker.knows(key)));
        let now = Instant::now();
        self.expecting.retain(|_, until| *until > now);
        let rests = |key: &&ProcessKey| !busy.contains(key) && !self.expecting.contains_key(key);
        over.retain(|key| rests(&key));
        for key in &over {
            let exited = self.exited.remove(key).unwrap_or_default();
            if exited.is_negligible() {
                continue;
            }
            let ExitedSums { sums, leader } = exited;
            let finished = self.observer.finish_one(key, &sums, leader.as_ref());
            self.tell(finished);
        }
    }

    /// What a new root held has been credited to its owner of initial content.
    pub(super) fn fulfil(&mut self, initial_owner: &ProcessKey) {
        self.expecting.remove(initial_owner);
    }

    fn add_exited(&mut self, exited: ExitedAccount) {
        let ExitedAccount {
            invocation,
            root,
            sums,
            leader,
        } = exited;
        let whole = self.exited.entry(invocation).or_default();
        let sum = whole.sums.entry(root).or_default();
        sum.changes.add(&sums.changes);
        sum.hits += sums.hits;
        sum.misses += sums.misses;
        if leader.is_some() {
            whole.leader = leader;
        }
    }

    fn tell(&mut self, finished: Vec<Finished>) {
        for one in finished {
            self.counts.count(&one.record);
            let answer = cause::wants_past(&one).then(|| self.ask(&one));
            self.waiting.push_back(Waiting {
                finished: one,
                answer,
            });
        }
        self.explain(Duration::ZERO);
    }

    fn ask(&self, finished: &Finished) -> Receiver<Past> {
        let record = &finished.record;
        let keys = finished.compiled.iter().flat_map(Compiled::wanted);
        let filter = EarlierFilter {
            module: &record.module,
            cwd: record.module.is_empty().then_some(record.cwd.as_str()),
            before_ms: record.start_ms,
            limit: EARLIER,
        };
        self.history.past(&filter, keys.collect())
    }

    /// Explains what can be explained by now, in the order in which it was over, and hands it to the history.
    fn explain(&mut self, patience: Duration) {
        while let Some(Waiting {
            mut finished,
            answer,
        }) = self.waiting.pop_front()
        {
            let past = match answer.as_ref().map(|answer| answer.recv_timeout(patience)) {
                Some(Ok(past)) => past,
                Some(Err(RecvTimeoutError::Timeout)) if self.may_wait(patience) => {
                    self.waiting.push_front(Waiting { finished, answer });
                    return;
                }
                _ => Past::default(),
            };
            cause::explain(&mut finished, &past);
            self.counts.count_unknown(&finished.record);
            let Finished {
                record, packages, ..
            } = finished;
            self.history
                .record(Record::Invocation(Box::new(record), packages));
        }
    }

    fn may_wait(&self, patience: Duration) -> bool {
        patience.is_zero() && self.waiting.len() < WAITING_MAX
    }

    /// True while something that is over has still to be told: its accounts must come to rest, or the history
    /// must answer.
    pub(super) fn is_waiting(&mut self) -> bool {
        let tracker = self.observer.tracker();
        !self.waiting.is_empty()
            || tracker.has_over()
            || self.exited.keys().any(|key| !tracker.knows(key))
    }

    /// The agent ends: what is over is told.
    pub(super) fn end(&mut self, process_totals: &mut ProcessTotals) {
        self.settle(process_totals, &HashSet::new());
        self.explain(LAST_ANSWERS);
    }
}

#[cfg(test)]
mod tests;
