//! The thread that keeps the ledger: waits for the kernel side, looks, reconciles, and publishes a snapshot.
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
    invocations::Invocations, last_sizes::LastSizes, process_totals::ProcessTotals, publish,
    reconcile::Losses, root_watch::RootWatch, roots::RootTable, self_test::SelfTest,
    state_directory::StateDirectory, update_roots::Containers,
};
use crate::{
    config::{Config, difference::Difference},
    kernel::{file_events::Fact, kernel_side::KernelSide},
    ledger::Ledger,
    snapshot::{Latency, Snapshot},
    store::writer::{Condition, StoreWriter},
    sys::shortage::is_caused_by_shortage,
};

/// The event loop.
pub(super) struct EventLoop<K: KernelSide> {
    pub(super) ledger: Ledger<K>,
    pub(super) roots: RootTable,
    pub(super) process_totals: ProcessTotals,
    pub(super) invocations: Invocations<K::Processes>,
    pub(super) config: Config,
    pub(super) root_watch: RootWatch,
    pub(super) orders: std::sync::mpsc::Receiver<Order>,
    pub(super) bell: std::io::PipeReader,
    pub(super) latency: Latency,
    pub(super) quiet: u32,
    pub(super) losses: Losses,
    pub(super) containers: Containers,
    pub(super) map_bytes: u64,
    pub(super) history: Condition,
    pub(super) state: Option<StateDirectory>,
    pub(super) last_sizes: LastSizes,
    pub(super) self_test: SelfTest,
    /// Something besides events changed since the last snapshot.
    pub(super) has_news: bool,
    /// What the host lacks at the moment, which has been logged.
    shortage: Option<String>,
    is_stopping: bool,
}

/// Before the next try where the host lacks something.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(200);

impl<K: KernelSide> EventLoop<K> {
    /// Attaches the kernel side and takes up the roots that are there.
    pub(super) fn start(
        ledger: Ledger<K>,
        process_maps: K::Processes,
        config: Config,
        history: StoreWriter,
    ) -> Result<(Self, Orders)> {
        let (sender, orders) = std::sync::mpsc::channel();
        let (bell, bell_writer) = std::io::pipe().context("no descriptor left")?;
        let invocations = Invocations::start(process_maps, &config.invocations.commands, history)?;
        let state = StateDirectory::open_or_log(&config.state.directory);
        let last_sizes = LastSizes::open(state.as_ref());
        let mut event_loop = Self {
            ledger,
            invocations,
            roots: RootTable::default(),
            process_totals: ProcessTotals::default(),
            config,
            root_watch: RootWatch::new()?,
            orders,
            bell,
            latency: Latency::default(),
            quiet: 0,
            losses: Losses::new(Instant::now()),
            containers: Containers::default(),
            map_bytes: publish::map_bytes(),
            history: Condition::default(),
            state,
            last_sizes,
            self_test: SelfTest::new(),
            has_news: true,
            shortage: None,
            is_stopping: false,
        };
        // Before the roots: their walks leave out its directory, wherever that is.
        event_loop.configure_self_test();
        event_loop.apply();
        Ok((
            event_loop,
            Orders {
                sender,
                bell: bell_writer,
            },
        ))
    }

    /// A snapshot before the first walk.
    pub(super) fn first_snapshot(&mut self) -> Result<Snapshot> {
        self.publish()
    }

    /// Keeps the ledger until told to stop.
    ///
    /// What is one root's trouble was dealt with below. Of the rest, what the host lacks it may have later; all
    /// else means that the kernel side is gone.
    pub(super) fn run(mut self, snapshots: &watch::Sender<Arc<Snapshot>>) -> Result<()> {
        loop {
            match self.step(snapshots) {
                Ok(()) => self.shortage = None,
                Err(error) if is_caused_by_shortage(&error) => self.wait_out(&error),
                Err(error) => return Err(error),
            }
            self.last_sizes.write_if_due(self.state.as_ref());
            if self.is_stopping {
                self.last_sizes.write(self.state.as_ref());
                self.invocations.end(&mut self.process_totals);
                return Ok(());
            }
        }
    }

    fn step(&mut self, snapshots: &watch::Sender<Arc<Snapshot>>) -> Result<()> {
        let events = self.read_events()?;
        self.handle_orders()?;
        self.measure()?;
        self.take_found()?;
        self.update_roots()?;
        let walked = self.reconcile()?;
        let has_open = self.ledger.sweep_open()?;
        let settled = self.drain();
        self.run_self_test()?;
        let is_busy = events + settled > 0 || walked || has_open;
        self.quiet = if is_busy {
            0
        } else {
            self.quiet.saturating_add(1)
        };
        if self.is_settling() || self.has_news {
            snapshots.send_replace(Arc::new(self.publish()?));
            self.has_news = false;
        }
        Ok(())
    }

    fn wait_out(&mut self, error: &anyhow::Error) {
        let error = format!("{error:#}");
        if self.shortage.as_ref() != Some(&error) {
            tracing::warn!(error, "the host lacks something; trying again");
            self.shortage = Some(error);
        }
        self.has_news = true;
        std::thread::sleep(SHORTAGE_PAUSE);
    }

    /// Figures, decisions, acts, and the snapshot that shows all of them.
    pub(super) fn publish(&mut self) -> Result<Snapshot> {
        let figures = self.read_figures()?;
        self.invocations
            .settle(&mut self.process_totals, &figures.busy());
        let decisions = self.decide(&figures);
        self.act(decisions);
        self.note_sizes();
        self.snapshot(&figures)
    }

    /// Measures directories that crossed a border.
    pub(super) fn measure(&mut self) -> Result<()> {
        let invocations = &mut self.invocations;
        self.ledger.measure(|fact| invocations.fact(fact))
    }

    /// Lets the self-test run if it is time. Its own events make nobody busy.
    pub(super) fn run_self_test(&mut self) -> Result<()> {
        if self.self_test.run_if_due(&mut self.ledger)? {
            self.drain();
            self.has_news = true;
        }
        Ok(())
    }

    pub(super) fn drain(&mut self) -> usize {
        let now = publish::kernel_now_ns();
        let (latency, invocations) = (&mut self.latency, &mut self.invocations);
        let mut events = 0;
        loop {
            let facts = self.ledger.drain(|fact| {
                observe(latency, now, &fact);
                invocations.fact(fact);
            });
            let steps = invocations.look();
            if facts + steps == 0 {
                return events;
            }
            events += facts + steps;
        }
    }

    fn handle_orders(&mut self) -> Result<()> {
        while let Ok(order) = self.orders.try_recv() {
            self.bell
                .read_exact(&mut [0])
                .context("the pipe of orders broke")?;
            match order {
                Order::Stop => self.is_stopping = true,
                Order::Reload(reload) => {
                    let (config, difference) = *reload;
                    self.reload(config, &difference);
                }
                Order::History(condition) => {
                    self.history = *condition;
                    self.has_news = true;
                }
            }
        }
        Ok(())
    }

    pub(super) fn configure_self_test(&mut self) {
        let interval = self.config.self_test.interval;
        self.self_test
            .set(interval, self.state.as_ref(), &mut self.ledger);
    }

    /// Acts on what differs; the rest goes on as it is.
    fn reload(&mut self, config: Config, difference: &Difference) {
        if !difference.state.is_empty() {
            // The old one first: the new one may be the same by another name.
            self.last_sizes.write(self.state.as_ref());
            self.self_test.free(&mut self.ledger);
            self.state = None;
            self.state = StateDirectory::open_or_log(&config.state.directory);
        }
        self.config = config;
        if !difference.self_test.is_empty() || self.self_test.lacks_directory() {
            self.configure_self_test();
        }
        if !difference.invocations.is_empty()
            && let Err(error) = self.invocations.follow(&self.config.invocations.commands)
        {
            let error = format!("{error:#}");
            tracing::error!(error, "commands of the configuration are not followed");
        }
        // Whatever differs: users are listed anew, and roots that were refused are tried again.
        self.apply();
        self.has_news = true;
    }
}

/// Time from an event in the kernel to `now`, on the kernel's clock.
pub(super) fn observe(latency: &mut Latency, now_ns: u64, fact: &Fact) {
    let age = Duration::from_nanos(now_ns.saturating_sub(fact.event.time_ns));
    latency.observe(age.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::limits::Thresholds,
        daemon::testbed::{LIMIT, Testbed, group, root},
        kernel::{fake::FakeKernel, hooks::Backend},
        model::root::RootState,
    };

    /// Quiet for so long that nothing but a bell or the next walk, in an hour, wakes it.
    fn asleep(testbed: &mut Testbed) -> Instant {
        testbed.event_loop.quiet = u32::MAX;
        Instant::now()
    }

    fn reload(testbed: &mut Testbed, config: Config) {
        let event_loop = &mut testbed.event_loop;
        let difference = Difference::between(&event_loop.config, &config);
        event_loop.reload(config, &difference);
    }

    #[test]
    fn what_came_before_the_sleep_is_not_slept_over() {
        let mut testbed = Testbed::new();
        let go = testbed.kernel.start("go build");
        let started = asleep(&mut testbed);
        testbed.kernel.write(go, &testbed.path("cache/a"), 10);
        // The exec, the file, its bytes.
        assert_eq!(testbed.event_loop.read_events().unwrap(), 3);
        assert!(started.elapsed() < LIMIT);
    }

    #[test]
    fn an_order_ends_the_sleep() {
        let mut testbed = Testbed::new();
        let started = asleep(&mut testbed);
        testbed.orders.give(Order::Stop);
        assert_eq!(testbed.event_loop.read_events().unwrap(), 0);
        testbed.event_loop.handle_orders().unwrap();
        assert!(testbed.event_loop.is_stopping);
        assert!(started.elapsed() < LIMIT);
    }

    #[test]
    fn a_root_that_appears_ends_the_sleep() {
        let kernel = FakeKernel::new(Backend::Tracepoint);
        let mut testbed = Testbed::with(kernel, |config| {
            let top = config.roots[0].path.with_file_name("");
            config.roots.push(root(&top, "later"));
        });
        let started = asleep(&mut testbed);
        std::fs::create_dir(testbed.path("later")).unwrap();
        testbed.event_loop.read_events().unwrap();
        assert!(started.elapsed() < LIMIT);
        testbed.event_loop.update_roots().unwrap();
        assert_eq!(testbed.look().roots[1].state, RootState::Walking);
    }

    #[test]
    fn the_last_snapshot_has_what_happened_before_the_end() {
        let mut testbed = Testbed::new();
        let (snapshots, reader) = watch::channel(Arc::new(testbed.look()));
        let go = testbed.kernel.start("go build");
        testbed.kernel.write(go, &testbed.path("cache/a"), 1323);
        testbed.orders.give(Order::Stop);
        testbed.event_loop.run(&snapshots).unwrap();
        let last = reader.borrow();
        assert_eq!((last.roots[0].size_bytes, last.roots[0].files), (1323, 1));
        assert_eq!(group(&last.roots[0], "go-build").growth_bytes, 1323);
        assert!(last.is_ready());
    }

    #[test]
    fn a_reload_takes_up_what_is_new_and_lets_go_of_what_is_gone() {
        let mut testbed = Testbed::new();
        std::fs::create_dir(testbed.path("other")).unwrap();
        std::fs::write(testbed.path("other/a"), "12345").unwrap();
        let mut config = testbed.event_loop.config.clone();
        config.roots = vec![root(testbed.top.path(), "other")];
        let difference = Difference::between(&testbed.event_loop.config, &config);
        let order = Order::Reload(Box::new((config, difference)));
        testbed.orders.give(order);
        testbed.event_loop.handle_orders().unwrap();
        testbed.walk();
        let snapshot = testbed.look();
        let roots: Vec<_> = snapshot.roots.iter().collect();
        assert_eq!(roots.len(), 1);
        assert_eq!((roots[0].name.as_str(), roots[0].size_bytes), ("other", 5));
        let go = testbed.kernel.start("go build");
        testbed.kernel.write(go, &testbed.path("other/b"), 1);
        assert_eq!(testbed.look().roots[0].size_bytes, 6);
    }

    #[test]
    fn a_root_that_stays_keeps_its_accounts_and_gets_its_new_limits() {
        let mut testbed = Testbed::new();
        let go = testbed.kernel.start("go build");
        testbed.kernel.write(go, &testbed.path("cache/a"), 100);
        let before = testbed.look();
        assert!(before.roots[0].thresholds.is_empty());
        let mut config = testbed.event_loop.config.clone();
        config.roots[0].thresholds = Thresholds {
            warn: Some(50),
            ..Thresholds::default()
        };
        reload(&mut testbed, config);
        let after = testbed.look();
        assert_eq!(after.roots[0].groups, before.roots[0].groups);
        assert!(after.roots[0].thresholds[0].crossed);
    }

    #[test]
    fn a_command_that_is_taken_out_is_followed_no_more() {
        let mut testbed = Testbed::new();
        for commands in [vec!["please".to_owned()], Vec::new()] {
            let mut config = testbed.event_loop.config.clone();
            config.invocations.commands.clone_from(&commands);
            reload(&mut testbed, config);
            let tools = testbed.kernel.tools();
            assert_eq!(tools.contains(&"please".to_owned()), !commands.is_empty());
            assert!(tools.contains(&"go".to_owned()));
        }
    }

    #[test]
    fn what_is_quiet_and_has_no_news_makes_no_snapshot_due() {
        let mut testbed = Testbed::new();
        testbed.event_loop.has_news = false;
        testbed.event_loop.update_roots().unwrap();
        assert!(!testbed.event_loop.reconcile().unwrap());
        assert!(!testbed.event_loop.ledger.sweep_open().unwrap());
        assert!(!testbed.event_loop.has_news);
        assert_eq!(testbed.event_loop.drain(), 0);
    }
}
