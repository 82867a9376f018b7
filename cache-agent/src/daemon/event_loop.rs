//! The thread that keeps the ledger: waits for the kernel side, looks, reconciles, and publishes a picture.
//!
//! Takes: events, orders. Gives: snapshots. Never: polls while nothing happens.

use std::{
    io::Read as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::sync::watch;

pub(super) use super::orders::{Order, Orders};
use super::{
    invocations::Chronicle,
    last_sizes::{Memory, StateDirectory},
    process_totals::Aggregate,
    publish,
    reconcile::Losses,
    root_watch::Vantage,
    roots::Roster,
    self_test::Canary,
    update_roots::Containers,
};
use crate::{
    config::checked::Config,
    kernel::file_events::Fact,
    ledger::Book,
    snapshot::{Latency, Snapshot},
    store::writer::{Condition, StoreWriter},
};

/// The keeper.
pub(super) struct Keeper {
    pub(super) book: Book,
    pub(super) roster: Roster,
    pub(super) aggregate: Aggregate,
    pub(super) chronicle: Chronicle,
    pub(super) config: Config,
    pub(super) vantage: Vantage,
    pub(super) orders: std::sync::mpsc::Receiver<Order>,
    pub(super) bell: std::io::PipeReader,
    pub(super) latency: Latency,
    pub(super) quiet: u32,
    pub(super) losses: Losses,
    pub(super) containers: Containers,
    pub(super) map_bytes: u64,
    pub(super) history: Condition,
    pub(super) state: Option<StateDirectory>,
    pub(super) memory: Memory,
    pub(super) canary: Canary,
    /// Something besides events changed since the last picture.
    pub(super) has_news: bool,
}

impl Keeper {
    /// Attaches the kernel side and takes up the roots that are there.
    pub(super) fn start(
        mut book: Book,
        config: Config,
        history: StoreWriter,
    ) -> Result<(Self, Orders)> {
        let (sender, orders) = std::sync::mpsc::channel();
        let (bell, bell_writer) = std::io::pipe().context("no descriptor left")?;
        let chronicle = Chronicle::start(&mut book, &config.following.commands, history)?;
        let state = StateDirectory::open_or_tell(&config.state_dir);
        let memory = Memory::open(state.as_ref());
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
            losses: Losses::new(Instant::now()),
            containers: Containers::default(),
            map_bytes: publish::map_bytes(),
            history: Condition::default(),
            state,
            memory,
            canary: Canary::new(),
            has_news: true,
        };
        // Before the roots: their walks leave out its directory, wherever that is.
        keeper.set_canary();
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
    pub(super) fn first_picture(&mut self) -> Result<Snapshot> {
        self.look()
    }

    /// Keeps the ledger until told to stop.
    pub(super) fn run(mut self, pictures: &watch::Sender<Arc<Snapshot>>) -> Result<()> {
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
            self.prove()?;
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
            self.memory.write_if_due(self.state.as_ref());
            if stop {
                self.memory.write(self.state.as_ref());
                self.chronicle.end(&mut self.aggregate);
                return Ok(());
            }
        }
    }

    /// Lets the canary run if it is time. Its own events make nobody busy.
    fn prove(&mut self) -> Result<()> {
        if self.canary.run_if_due(&mut self.book)? {
            self.drain();
            self.has_news = true;
        }
        Ok(())
    }

    pub(super) fn drain(&mut self) -> usize {
        let now = publish::kernel_now_ns();
        let (latency, chronicle) = (&mut self.latency, &mut self.chronicle);
        let mut events = 0;
        loop {
            let facts = self.book.drain(|fact| {
                observe(latency, now, &fact);
                chronicle.fact(fact);
            });
            let steps = chronicle.look(&mut self.book);
            if facts + steps == 0 {
                return events;
            }
            events += facts + steps;
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
                Order::Reload(config) => self.reload(*config)?,
                Order::History(condition) => {
                    self.history = *condition;
                    self.has_news = true;
                }
            }
        }
        Ok(stop)
    }

    pub(super) fn set_canary(&mut self) {
        let interval = self.config.canary_interval;
        self.canary
            .set(interval, self.state.as_ref(), &mut self.book);
    }

    fn reload(&mut self, config: Config) -> Result<()> {
        if config.state_dir != self.config.state_dir {
            // The old one first: the new one may be the same by another name.
            self.memory.write(self.state.as_ref());
            self.canary.free(&mut self.book);
            self.state = None;
            self.state = StateDirectory::open_or_tell(&config.state_dir);
        }
        self.config = config;
        self.set_canary();
        let commands = &self.config.following.commands;
        self.chronicle.follow(&mut self.book, commands)?;
        self.apply();
        self.has_news = true;
        Ok(())
    }
}

/// Time from an event in the kernel to `now`, on the kernel's clock.
pub(super) fn observe(latency: &mut Latency, now_ns: u64, fact: &Fact) {
    let age = Duration::from_nanos(now_ns.saturating_sub(fact.event.time_ns));
    latency.observe(age.as_secs_f64());
}
