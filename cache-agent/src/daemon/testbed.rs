//! The event loop on a fake kernel side, with real directories below one of its own: tests call single steps.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cache_ebpf::ProcessKey;
use tempfile::TempDir;

use super::event_loop::{EventLoop, Orders};
use crate::{
    config::{Config, limits::Thresholds, roots::RootConfig},
    kernel::{fake::FakeKernel, hooks::Backend},
    ledger::Ledger,
    model::{changes::Changes, tool_group::GROUPS},
    snapshot::{RootSnapshot, Snapshot},
    store::{
        Settings, Store,
        query::{Filter, invocations},
        writer::Writing,
    },
};

/// Far longer than anything here takes.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// The loop and all that it works on.
pub(super) struct Testbed {
    pub(super) kernel: FakeKernel,
    pub(super) event_loop: EventLoop<FakeKernel>,
    pub(super) orders: Orders,
    history: Writing,
    /// Holds the directories of the roots, by their names, and `state`.
    pub(super) top: TempDir,
}

impl Testbed {
    /// Watches `cache`, which is there and was walked.
    pub(super) fn new() -> Self {
        Self::with(FakeKernel::new(Backend::Tracepoint), |_| {})
    }

    /// The same with another kernel side, or another configuration.
    pub(super) fn with(kernel: FakeKernel, configure: impl FnOnce(&mut Config)) -> Self {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join("cache")).unwrap();
        Self::beside(top, kernel, configure)
    }

    /// The same with what is there already.
    pub(super) fn beside(
        top: TempDir,
        kernel: FakeKernel,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config {
            roots: vec![root(top.path(), "cache")],
            ..Config::default()
        };
        config.discovery.enabled = false;
        config.self_test.interval = None;
        config.history.enabled = false;
        config.state.directory = top.path().join("state");
        configure(&mut config);
        let history = Writing::start(Settings::of(&config)).unwrap();
        let ledger = Ledger::with(kernel.clone()).unwrap();
        let process_maps = kernel.process_maps();
        let (event_loop, orders) =
            EventLoop::start(ledger, process_maps, config, history.writer()).unwrap();
        let mut testbed = Self {
            kernel,
            event_loop,
            orders,
            history,
            top,
        };
        // The first walks are under way.
        testbed.event_loop.update_roots().unwrap();
        testbed.walk();
        testbed
    }

    /// Where something is.
    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.top.path().join(below)
    }

    /// Lets the walks under way finish, and compares them.
    pub(super) fn walk(&mut self) {
        let until = Instant::now() + LIMIT;
        let is_walking = |roots: &EventLoop<FakeKernel>| {
            let mut roots = roots.ledger.roots();
            roots.any(|root| root.walk.is_some())
        };
        while is_walking(&self.event_loop) {
            assert!(Instant::now() < until, "a walk takes too long");
            self.event_loop.reconcile().unwrap();
        }
    }

    /// Walks the roots again, whatever the time.
    pub(super) fn walk_again(&mut self) {
        for root in &mut self.event_loop.roots.all {
            root.next_walk = Instant::now();
        }
        self.event_loop.update_roots().unwrap();
        self.walk();
    }

    /// Looks once, as the loop does after it was woken.
    pub(super) fn look(&mut self) -> Snapshot {
        self.event_loop.drain();
        self.event_loop.measure().unwrap();
        self.event_loop.publish().unwrap()
    }

    /// Net growth of a process' account in the first root.
    pub(super) fn growth(&self, process: ProcessKey) -> i64 {
        let accounts = self.event_loop.ledger.accounts().unwrap();
        let account = accounts.processes.get(&process);
        account.map_or(0, |account| account.total().growth_bytes)
    }

    /// Ends the history; what it was told of invocations.
    pub(super) fn told(self) -> Vec<crate::model::invocation::Invocation> {
        let state = self.path("state");
        let Self {
            event_loop,
            history,
            top,
            ..
        } = self;
        drop(event_loop);
        history.end();
        let filter = Filter {
            since_ms: None,
            module: None,
            root: None,
            limit: 100,
        };
        let store = Store::read(&state).unwrap();
        let told = invocations(&store, &filter).unwrap();
        drop(top);
        told
    }
}

/// A root named like its directory.
pub(super) fn root(top: &Path, name: &str) -> RootConfig {
    RootConfig {
        name: name.to_owned(),
        path: top.join(name),
        kind: None,
        thresholds: Thresholds::default(),
    }
}

/// Changes of one group of a root.
pub(super) fn group(root: &RootSnapshot, name: &str) -> Changes {
    let at = GROUPS.iter().position(|group| *group == name).unwrap();
    root.groups[at]
}
