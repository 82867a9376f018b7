//! The settling of files that are open for write, in every interleaving that loom finds.
//!
//! The settlement itself is the kernel side's own code. What the hooks make of it (`ledger.rs`, `ledger/opening.rs`,
//! `ledger/release.rs`, `ledger/moves.rs`) is modelled here, step by step, as the `fentry` backend does it.
#![expect(clippy::unwrap_used, reason = "a poisoned lock ends the test")]

use std::convert::Infallible;

use cache_ebpf::settling::{self, Followed, GONE};
use loom::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    thread,
};

/// One file, its place in `OPEN`, and the root's total.
struct World {
    size: AtomicU64,
    writers: AtomicI64,
    is_linked: AtomicBool,
    open: Mutex<Option<Arc<AtomicU64>>>,
    total: AtomicI64,
}

struct Pair<'w>(&'w World, Arc<AtomicU64>);

impl Followed for Pair<'_> {
    type Fault = Infallible;

    fn known(&self) -> u64 {
        self.1.load(SeqCst)
    }

    fn replace_known(&self, known: u64, by: u64) -> u64 {
        match self.1.compare_exchange(known, by, SeqCst, SeqCst) {
            Ok(found) | Err(found) => found,
        }
    }

    fn size(&self) -> Result<u64, Infallible> {
        Ok(self.0.size.load(SeqCst))
    }
}

impl World {
    /// A file of 5 bytes, counted; `writers` have it open, and it is followed then.
    fn with_writers(writers: i64) -> Arc<Self> {
        let open = (writers > 0).then(|| Arc::new(AtomicU64::new(5)));
        Arc::new(Self {
            size: AtomicU64::new(5),
            writers: AtomicI64::new(writers),
            is_linked: AtomicBool::new(true),
            open: Mutex::new(open),
            total: AtomicI64::new(5),
        })
    }

    fn find(&self) -> Option<Arc<AtomicU64>> {
        self.open.lock().unwrap().clone()
    }

    /// `BPF_NOEXIST`.
    fn insert(&self, known: u64) {
        let mut open = self.open.lock().unwrap();
        if open.is_none() {
            *open = Some(Arc::new(AtomicU64::new(known)));
        }
    }

    fn unfollow(&self) {
        *self.open.lock().unwrap() = None;
    }

    fn settle(&self, entry: Arc<AtomicU64>, is_last: bool) -> Option<u64> {
        let Ok(settled) = settling::settle(&Pair(self, entry), is_last);
        self.total.fetch_add(settled.growth.cast_signed(), SeqCst);
        settled.is_last.then_some(settled.size)
    }

    fn forget(&self, last: u64, own_writers: i64) {
        self.unfollow();
        if self.writers.load(SeqCst) > own_writers || self.size.load(SeqCst) != last {
            self.insert(last);
            if !self.is_linked.load(SeqCst) {
                self.unfollow();
            }
        }
    }

    fn opens(&self) {
        self.writers.fetch_add(1, SeqCst);
        if !self.is_linked.load(SeqCst) {
            return;
        }
        if let Some(entry) = self.find() {
            self.settle(entry, false);
            return;
        }
        self.insert(self.size.load(SeqCst));
        if !self.is_linked.load(SeqCst) {
            self.unfollow();
        }
    }

    fn writes(&self, bytes: u64) {
        self.size.fetch_add(bytes, SeqCst);
    }

    fn closes(&self) {
        if let Some(entry) = self.find()
            && self.is_linked.load(SeqCst)
            && let Some(last) = self.settle(entry, self.writers.load(SeqCst) <= 1)
        {
            self.forget(last, 1);
        }
        self.writers.fetch_sub(1, SeqCst);
    }

    fn is_swept(&self) {
        if let Some(entry) = self.find()
            && let Some(last) = self.settle(entry, self.writers.load(SeqCst) <= 0)
        {
            self.forget(last, 0);
        }
    }

    fn is_unlinked(&self) {
        self.is_linked.store(false, SeqCst);
        if let Some(entry) = self.find() {
            let size = self.size.load(SeqCst);
            let known = entry.swap(GONE, SeqCst);
            if known != GONE {
                let growth = size.wrapping_sub(known).cast_signed();
                self.total.fetch_add(growth, SeqCst);
                self.unfollow();
                self.total.fetch_sub(size.cast_signed(), SeqCst);
                return;
            }
        }
        let size = self.size.load(SeqCst);
        self.unfollow();
        self.total.fetch_sub(size.cast_signed(), SeqCst);
    }

    /// All is over: the next sweep finds the rest.
    fn check(&self) {
        if self.is_linked.load(SeqCst) {
            self.is_swept();
        }
        let counts = self.is_linked.load(SeqCst);
        let size = if counts { self.size.load(SeqCst) } else { 0 };
        assert_eq!(self.total.load(SeqCst), size.cast_signed());
    }
}

/// Runs the parts at once, in every order.
fn at_once(writers: i64, parts: &'static [fn(&World)]) {
    let mut builder = loom::model::Builder::new();
    // More take minutes with three threads and find no more.
    builder.preemption_bound = Some(if parts.len() > 2 { 2 } else { 4 });
    builder.check(move || {
        let world = World::with_writers(writers);
        let running = parts.iter().map(|part| {
            let world = Arc::clone(&world);
            thread::spawn(move || part(&world))
        });
        for part in running.collect::<Vec<_>>() {
            part.join().unwrap();
        }
        world.check();
    });
}

fn writes_and_closes(world: &World) {
    world.writes(7);
    world.closes();
}

fn opens_writes_and_closes(world: &World) {
    world.opens();
    world.writes(11);
    world.closes();
}

#[test]
fn a_sweep_beside_a_close() {
    at_once(1, &[writes_and_closes, World::is_swept]);
}

#[test]
fn a_sweep_beside_a_close_and_an_unlink() {
    at_once(
        1,
        &[
            |world| {
                writes_and_closes(world);
                world.is_unlinked();
            },
            World::is_swept,
        ],
    );
}

#[test]
fn two_closes() {
    at_once(2, &[writes_and_closes, writes_and_closes]);
}

#[test]
fn two_closes_and_a_sweep() {
    at_once(2, &[writes_and_closes, writes_and_closes, World::is_swept]);
}

#[test]
fn a_close_beside_an_open() {
    at_once(1, &[writes_and_closes, opens_writes_and_closes]);
}

#[test]
fn a_close_beside_an_open_and_a_sweep() {
    at_once(
        1,
        &[writes_and_closes, opens_writes_and_closes, World::is_swept],
    );
}

#[test]
fn two_opens_of_a_file_that_nobody_follows() {
    at_once(0, &[opens_writes_and_closes, opens_writes_and_closes]);
}

/// What is written before the unlink is in the ledger, and leaves it: no difference.
#[test]
fn a_close_beside_an_unlink() {
    at_once(1, &[World::closes, World::is_unlinked]);
    at_once(1, &[writes_and_closes, World::is_unlinked]);
}

#[test]
fn an_open_beside_an_unlink() {
    at_once(0, &[World::opens, World::is_unlinked]);
}
