//! The thread that keeps the ledger: waits for the kernel side, looks, reconciles, and publishes a picture.
//!
//! Takes: events, orders. Gives: snapshots. Never: polls while nothing happens.

mod orders;
mod roots;

use std::{
    io::Read as _,
    os::fd::AsFd as _,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result};
use cache_ebpf::counter;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::watch;

pub use self::orders::{Order, Orders};
use crate::{
    aggregate::Aggregate,
    chronicle::Chronicle,
    config::checked::Config,
    intake::ring::Fact,
    ledger::book::{Book, Reconciliation},
    picture,
    policy::thresholds,
    roster::{Entry, Roster},
    snapshot::{Latency, Snapshot},
    store::writer::{Condition, StoreWriter},
    vantage::Vantage,
};

/// Between two pictures while something happens.
const TICK: Duration = Duration::from_secs(1);
/// Between two looks at the ring alone while something happens: a burst must not fill it.
const DRAIN_TICK: Duration = Duration::from_millis(200);
/// Between two looks while a walk is under way: the ring must not fill meanwhile.
const WALK_TICK: Duration = Duration::from_millis(20);
/// Quiet ticks before the thread goes to sleep.
const QUIET_TICKS: u32 = 3;
/// Between two looks at free space while thresholds ask for it and nothing else happens.
const SPACE_INTERVAL: Duration = Duration::from_secs(30);
/// After a counted loss all roots are walked, but not more often than this.
const LOSS_WALK_INTERVAL: Duration = Duration::from_mins(1);

/// The keeper.
pub struct Keeper {
    book: Book,
    roster: Roster,
    aggregate: Aggregate,
    chronicle: Chronicle,
    config: Config,
    vantage: Vantage,
    orders: std::sync::mpsc::Receiver<Order>,
    bell: std::io::PipeReader,
    latency: Latency,
    quiet: u32,
    losses: u64,
    loss_walk: Instant,
    map_bytes: u64,
    history: Condition,
    /// Something besides events changed since the last picture.
    has_news: bool,
}

impl Keeper {
    /// Attaches the kernel side and takes up the roots that are there.
    pub fn start(mut book: Book, config: Config, history: StoreWriter) -> Result<(Self, Orders)> {
        let (sender, orders) = std::sync::mpsc::channel();
        let (bell, bell_writer) = std::io::pipe().context("no descriptor left")?;
        let chronicle = Chronicle::start(&mut book, &config.following.commands, history)?;
        let mut keeper = Self {
            book,
            chronicle,
            roster: Roster::default(),
            aggregate: Aggregate::default(),
            config,
            vantage: Vantage::new()?,
            orders,
            bell,
            latency: Latency::default(),
            quiet: 0,
            losses: 0,
            loss_walk: Instant::now(),
            map_bytes: picture::map_bytes(),
            history: Condition::default(),
            has_news: true,
        };
        keeper.apply();
        Ok((
            keeper,
            Orders {
                sender,
                bell: bell_writer,
            },
        ))
    }

    /// A picture before the first walk.
    pub fn first_picture(&mut self) -> Result<Snapshot> {
        self.look()
    }

    /// Keeps the ledger until told to stop.
    pub fn run(mut self, pictures: &watch::Sender<Arc<Snapshot>>) -> Result<()> {
        loop {
            let events = self.wait()?;
            let stop = self.obey()?;
            let chronicle = &mut self.chronicle;
            self.book.measure(|fact| chronicle.fact(fact))?;
            self.take_sighted();
            self.look_after_roots()?;
            let walked = self.reconcile()?;
            let has_open = self.book.sweep_open()?;
            let settled = self.drain();
            let is_busy = events + settled > 0 || walked || has_open;
            self.quiet = if is_busy {
                0
            } else {
                self.quiet.saturating_add(1)
            };
            if is_busy || self.has_news || self.chronicle.is_waiting() {
                self.has_news = false;
                pictures.send_replace(Arc::new(self.look()?));
            }
            if stop {
                self.chronicle.end(&mut self.aggregate);
                return Ok(());
            }
        }
    }

    /// Waits until something is to be done; how many events came meanwhile.
    fn wait(&mut self) -> Result<usize> {
        let until = Instant::now() + self.timeout();
        if self.quiet >= QUIET_TICKS && !self.is_walking() && !self.chronicle.is_waiting() {
            return self.sleep(until);
        }
        let mut events = 0;
        loop {
            let rest = until.saturating_duration_since(Instant::now());
            let is_told = self.rest(rest.min(DRAIN_TICK))?;
            events += self.drain();
            if is_told || Instant::now() >= until {
                return Ok(events);
            }
        }
    }

    /// Until the kernel side has something, or an order or a root comes.
    fn sleep(&mut self, until: Instant) -> Result<usize> {
        self.book.session().tables.sleep()?;
        let events = self.drain();
        if events > 0 {
            return Ok(events);
        }
        let mut ready = [
            PollFd::from_borrowed_fd(self.book.events_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.book.steps_fd(), PollFlags::IN),
            PollFd::new(&self.bell, PollFlags::IN),
            PollFd::from_borrowed_fd(self.vantage.as_fd(), PollFlags::IN),
        ];
        wait_for(&mut ready, until.saturating_duration_since(Instant::now()))?;
        Ok(self.drain())
    }

    /// Until an order or a root comes; true if one did. The ring is not waited for: it is looked at anyway.
    fn rest(&mut self, timeout: Duration) -> Result<bool> {
        let mut ready = [
            PollFd::new(&self.bell, PollFlags::IN),
            PollFd::from_borrowed_fd(self.vantage.as_fd(), PollFlags::IN),
        ];
        wait_for(&mut ready, timeout)?;
        let is_ordered = !ready[0].revents().is_empty();
        if !ready[1].revents().is_empty() {
            self.vantage.look();
        }
        Ok(is_ordered || self.vantage.is_alarmed())
    }

    fn is_walking(&self) -> bool {
        self.book.roots().any(|root| root.walk.is_some())
    }

    fn timeout(&self) -> Duration {
        if self.is_walking() {
            return WALK_TICK;
        }
        if self.quiet < QUIET_TICKS {
            return TICK;
        }
        let now = Instant::now();
        let walks = self
            .roster
            .entries
            .iter()
            .filter(|entry| entry.index.is_some())
            .map(|entry| entry.next_walk.saturating_duration_since(now));
        let next = walks.min().unwrap_or(Duration::from_hours(1));
        if self.watches_space() {
            next.min(SPACE_INTERVAL)
        } else {
            next
        }
    }

    fn watches_space(&self) -> bool {
        let asks = |entry: &Entry| {
            entry.thresholds.free_space.is_some() || entry.thresholds.free_inodes.is_some()
        };
        self.roster.entries.iter().any(asks)
    }

    fn drain(&mut self) -> usize {
        let now = picture::kernel_now_ns();
        let mut events = self.chronicle.look(&mut self.book);
        let (latency, chronicle) = (&mut self.latency, &mut self.chronicle);
        loop {
            let taken = self.book.drain(|fact| {
                observe(latency, now, fact);
                chronicle.fact(fact);
            });
            if taken == 0 {
                return events;
            }
            events += taken;
        }
    }

    /// True when told to stop.
    fn obey(&mut self) -> Result<bool> {
        let mut stop = false;
        while let Ok(order) = self.orders.try_recv() {
            self.bell
                .read_exact(&mut [0])
                .context("the keeper's pipe broke")?;
            match order {
                Order::Stop => stop = true,
                Order::Reload(config) => {
                    self.config = *config;
                    let commands = &self.config.following.commands;
                    self.chronicle.follow(&mut self.book, commands)?;
                    self.apply();
                    self.has_news = true;
                }
                Order::History(condition) => {
                    self.history = *condition;
                    self.has_news = true;
                }
            }
        }
        Ok(stop)
    }

    /// A loss of detail or a fault is followed by a walk.
    fn losses_since_last_walk(&mut self, now: Instant) -> Result<bool> {
        let counters = self.book.session().tables.counters()?;
        let counted: u64 = counters
            .iter()
            .skip(counter::DROPPED_RING_FULL as usize)
            .sum();
        let losses = counted + self.book.session().missed_runs();
        if losses == self.losses || now < self.loss_walk {
            return Ok(false);
        }
        tracing::warn!(
            losses = losses - self.losses,
            "events or precision were lost; walking all roots"
        );
        self.losses = losses;
        self.loss_walk = now + LOSS_WALK_INTERVAL;
        Ok(true)
    }

    /// True when a walk was finished.
    fn reconcile(&mut self) -> Result<bool> {
        let now = picture::kernel_now_ns();
        let (latency, chronicle) = (&mut self.latency, &mut self.chronicle);
        let done = self.book.reconcile(|fact| {
            observe(latency, now, fact);
            chronicle.fact(fact);
        })?;
        for Reconciliation {
            index,
            drift_bytes,
            base,
            moved,
        } in &done
        {
            let Some(entry) = self.roster.by_index(*index) else {
                continue;
            };
            if let Some(heir) = entry.heir.take() {
                self.book.bequeath(*index, heir)?;
            }
            if let Some((mover, changes)) = moved {
                tracing::info!(
                    root = entry.name,
                    pid = mover.tgid,
                    growth_bytes = changes.growth_bytes,
                    "a directory crossed the border of a root"
                );
            }
            if *drift_bytes != 0 {
                tracing::warn!(
                    root = entry.name,
                    drift_bytes,
                    "ledger and disk differed; corrected into unattributed"
                );
            }
            tracing::debug!(
                root = entry.name,
                bytes = base.bytes,
                files = base.files,
                "walked root"
            );
        }
        if !done.is_empty() {
            self.map_bytes = picture::map_bytes();
        }
        Ok(!done.is_empty())
    }

    /// One picture; tells thresholds on the way.
    fn look(&mut self) -> Result<Snapshot> {
        let totals = picture::totals(&self.book)?;
        let sums = self.aggregate.look(&mut self.book, &mut self.roster)?;
        self.chronicle
            .settle(&mut self.aggregate, &sums.invocations);
        let mut roots = Vec::with_capacity(self.roster.entries.len());
        for entry in &mut self.roster.entries {
            let total = entry.index.and_then(|index| totals.get(&index));
            let total = total.copied().unwrap_or_default();
            let mut root = picture::root(entry, &self.book, total, &sums);
            if entry.index.is_some() {
                let (state, events) = thresholds::evaluate(
                    &entry.thresholds,
                    &entry.state,
                    root.size_bytes,
                    &root.file_system,
                );
                entry.state = state;
                for event in events {
                    tracing::warn!(root = entry.name, %event, "threshold");
                }
            }
            root.thresholds = entry.state.snapshot(&entry.thresholds);
            roots.push(root);
        }
        let session = self.book.session();
        let counters = session.tables.counters()?;
        let events = picture::events(&counters, session.missed_runs());
        let mut degraded = picture::degraded(&session.coverage, &events);
        degraded.extend(self.history.degraded());
        Ok(Snapshot {
            taken_at: SystemTime::now(),
            attached: true,
            backend: session.backend.as_str(),
            degraded,
            coverage: session.coverage.operations(),
            maps: picture::maps(session, &sums, &roots),
            roots,
            events,
            processes_tracked: sums.tracked,
            processes_folded: self.aggregate.folded,
            users: sums.users,
            event_latency: self.latency,
            history: self.history.counts,
            invocations: self.chronicle.tally,
            usage: picture::usage(self.map_bytes),
        })
    }
}

/// Time from an event in the kernel to `now`, on the kernel's clock.
fn observe(latency: &mut Latency, now_ns: u64, fact: &Fact) {
    let age = Duration::from_nanos(now_ns.saturating_sub(fact.event.time_ns));
    latency.observe(age.as_secs_f64());
}

fn wait_for(ready: &mut [PollFd<'_>], timeout: Duration) -> Result<()> {
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    match poll(ready, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("cannot wait for events"),
    }
}
