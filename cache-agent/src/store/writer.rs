//! The bounded way to the thread that writes the history.
//!
//! Takes: records, from any thread, without making it wait. Gives: the history's condition. Never: keeps more
//! than [`MAX_WAITING_BYTES`] in memory: what does not fit is lost and counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::sync::watch;

use super::{Settings, query::EarlierFilter, record::Record, thread::Thread};
use crate::{
    model::compiled::{Key, Past},
    sys::{fs_rights, worker::Worker},
};

/// Records that wait for the thread.
const CAPACITY: usize = 4096;
/// Memory that records may take while they wait for the disk.
pub const MAX_WAITING_BYTES: usize = 4 << 20;

/// Losses of the history since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HistoryCounts {
    /// Records lost because too many waited.
    pub lost_waiting: u64,
    /// Records lost because they could not be written.
    pub lost_writing: u64,
    /// Databases set aside.
    pub set_aside: u64,
}

/// How the history fares.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Condition {
    /// Why nothing can be written now, one sentence.
    pub problem: Option<String>,
    /// What was set aside last, and why, one sentence.
    pub aside: Option<String>,
    /// What was lost so far.
    pub counts: HistoryCounts,
}

impl Condition {
    /// Why the agent is degraded, one sentence each.
    pub fn degraded(&self) -> Vec<String> {
        let lost = self.counts.lost_waiting + self.counts.lost_writing;
        let lost =
            (lost > 0).then(|| format!("{lost} records of the history were lost since the start"));
        [self.problem.clone(), self.aside.clone(), lost]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// What the thread is told.
pub(super) enum Message {
    /// Write it.
    Record(Record),
    /// Go on with these.
    Settings(Settings),
    /// Say when everything so far is committed.
    Flush(SyncSender<bool>),
    /// Answer.
    Earlier(Question, SyncSender<Past>),
    /// Commit and end.
    End,
}

/// [`EarlierFilter`] on its way.
pub(super) struct Question {
    pub(super) module: String,
    pub(super) cwd: Option<String>,
    pub(super) before_ms: i64,
    pub(super) limit: u32,
    pub(super) keys: Vec<Key>,
}

/// What waits, counted by those who send.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Memory taken.
    pub(super) bytes: AtomicUsize,
    /// Records that did not fit.
    pub(super) lost: AtomicU64,
}

/// Takes records from any thread.
#[derive(Clone, Debug)]
pub struct StoreWriter {
    sender: SyncSender<Message>,
    waiting: Arc<Waiting>,
}

impl StoreWriter {
    /// Hands over a record; never waits. What does not fit is lost and counted.
    pub fn record(&self, record: Record) {
        let weight = record.weight();
        let before = self.waiting.bytes.fetch_add(weight, Ordering::Relaxed);
        let fits = before + weight <= MAX_WAITING_BYTES;
        if !fits || self.sender.try_send(Message::Record(record)).is_err() {
            self.waiting.bytes.fetch_sub(weight, Ordering::Relaxed);
            self.waiting.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Other settings, from now on.
    pub fn set(&self, settings: Settings) {
        self.tell(Message::Settings(settings));
    }

    /// Waits until everything handed over before is committed; false if it is not by then.
    pub fn flush(&self, timeout: Duration) -> bool {
        let (sender, done) = sync_channel(1);
        self.tell(Message::Flush(sender));
        done.recv_timeout(timeout).unwrap_or(false)
    }

    /// Asks for what was before an invocation, what was handed over before included; the answer comes through the
    /// channel. `keys` are those of what it compiled.
    ///
    /// No answer (the channel is closed) means that the history cannot tell, or has too much to do. Never waits.
    pub fn past(&self, filter: &EarlierFilter<'_>, keys: Vec<Key>) -> Receiver<Past> {
        let (sender, answer) = sync_channel(1);
        let question = Question {
            module: filter.module.to_owned(),
            cwd: filter.cwd.map(str::to_owned),
            before_ms: filter.before_ms,
            limit: filter.limit,
            keys,
        };
        // What is not sent closes the channel.
        drop(self.sender.try_send(Message::Earlier(question, sender)));
        answer
    }

    /// For what must not be lost only because the disk is slow; a thread that has ended needs nothing.
    fn tell(&self, message: Message) {
        if let Err(TrySendError::Full(message)) = self.sender.try_send(message) {
            drop(self.sender.send(message));
        }
    }
}

/// The running thread.
#[derive(Debug)]
pub struct Writing {
    writer: StoreWriter,
    condition: watch::Receiver<Condition>,
    worker: Worker<Message>,
}

impl Writing {
    /// Starts the thread, which opens the history.
    pub fn start(settings: Settings) -> Result<Self> {
        let waiting = Arc::new(Waiting::default());
        let (told, condition) = watch::channel(Condition::default());
        let counted = Arc::clone(&waiting);
        let worker = Worker::start("history", CAPACITY, move |messages| {
            fs_rights::renounce();
            Thread::new(messages, counted, told, settings).run();
        })
        .context("no thread for the history")?;
        Ok(Self {
            writer: StoreWriter {
                sender: worker.jobs(),
                waiting,
            },
            condition,
            worker,
        })
    }

    /// The way to it.
    pub fn writer(&self) -> StoreWriter {
        self.writer.clone()
    }

    /// How it fares.
    pub fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.clone()
    }

    /// Commits what was handed over and ends; gives up after some seconds. What became of it.
    pub fn end(self) -> Condition {
        let Self {
            writer,
            condition,
            worker,
        } = self;
        writer.tell(Message::End);
        worker.join();
        condition.borrow().clone()
    }
}
