//! The thread that writes the history: batches, retention, and what to do when it cannot.
//!
//! Takes: messages. Gives: commits, answers, its condition. Never: keeps a record for longer than
//! [`COMMIT_INTERVAL`] while it can write, or gives up for good.

use std::{
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;

use super::{
    DAMAGED, FULL, Opened, Settings, Store, StoreError, Trouble,
    query::{self, EarlierFilter},
    record::Record,
    retain::Progress,
    set_aside,
    writer::{Condition, Message, Question, Waiting},
};
use crate::{model::compiled::Past, sys::clock::milliseconds};

/// From a record's arrival to its commit. A killed agent may lose 2 s, of which the event loop takes one.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
/// Between two tries to write a batch.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at what is too old.
const RETAIN_INTERVAL: Duration = Duration::from_mins(10);
/// Between two steps of removing what is too old: some thousand invocations a second are enough.
const RETAIN_PAUSE: Duration = Duration::from_millis(50);
/// Between two tries to open a history that cannot be used now.
const REOPEN_INTERVAL: Duration = Duration::from_secs(10);
/// Times that a batch is tried before the history, being full, is set aside, or the batch is given up.
const TRIES: u32 = 3;
/// What the end of the agent waits for the last batch.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Messages taken at once when something else is due too.
const AT_ONCE: usize = 1024;

/// What the thread knows.
pub(super) struct Thread {
    messages: Receiver<Message>,
    waiting: Arc<Waiting>,
    told: watch::Sender<Condition>,
    condition: Condition,
    settings: Settings,
    store: Option<Store>,
    next_open: Instant,
    next_retain: Instant,
    batch: Vec<Record>,
    /// When the batch must be on its way.
    deadline: Option<Instant>,
    /// Times that the batch was tried in vain.
    tries: u32,
    /// Who waits for the batch.
    asked: Vec<Message>,
    /// When to give up, once told to end.
    end: Option<Instant>,
}

impl Thread {
    pub(super) fn new(
        messages: Receiver<Message>,
        waiting: Arc<Waiting>,
        told: watch::Sender<Condition>,
        settings: Settings,
    ) -> Self {
        Self {
            messages,
            waiting,
            told,
            condition: Condition::default(),
            settings,
            store: None,
            next_open: Instant::now(),
            next_retain: Instant::now(),
            batch: Vec::new(),
            deadline: None,
            tries: 0,
            asked: Vec::new(),
            end: None,
        }
    }

    pub(super) fn run(mut self) {
        loop {
            self.collect();
            self.open_if_due();
            if self.is_batch_due() {
                self.commit();
            }
            self.answer();
            self.retain_if_due();
            self.publish();
            let is_given_up = self.end.is_some_and(|end| Instant::now() >= end);
            if self.end.is_some() && (self.batch.is_empty() || is_given_up) {
                self.lose_batch();
                self.publish();
                return;
            }
        }
    }

    /// Takes what comes until something is due.
    fn collect(&mut self) {
        while let Some(rest) = self.due().checked_duration_since(Instant::now()) {
            match self.messages.recv_timeout(rest) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => break,
                // Everybody who could send is gone.
                Err(RecvTimeoutError::Disconnected) if self.end.is_none() => {
                    self.take(Message::End);
                }
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(rest),
            }
        }
        for _ in 0..AT_ONCE {
            let Ok(message) = self.messages.try_recv() else {
                return;
            };
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Record(record) => {
                if !self.settings.enabled {
                    self.forget(&[record]);
                    return;
                }
                self.batch.push(record);
                self.deadline
                    .get_or_insert_with(|| Instant::now() + COMMIT_INTERVAL);
            }
            Message::Settings(settings) => {
                self.commit();
                if !settings.enabled {
                    self.lose_batch();
                }
                if settings.directory != self.settings.directory || !settings.enabled {
                    self.store = None;
                    self.condition.problem = None;
                }
                self.settings = settings;
                self.next_open = Instant::now();
                self.next_retain = Instant::now();
            }
            Message::Flush(_) | Message::Earlier(..) => {
                self.asked.push(message);
                self.deadline = Some(Instant::now());
            }
            Message::End => {
                self.end = Some(Instant::now() + LAST_WORDS);
                self.deadline = Some(Instant::now());
                self.next_open = Instant::now();
            }
        }
    }

    /// When there is something to do even if nothing comes.
    fn due(&self) -> Instant {
        let now = Instant::now();
        let opens = (self.settings.enabled && self.store.is_none()).then_some(self.next_open);
        let retains = self.store.is_some().then_some(self.next_retain);
        [opens, retains, self.deadline, self.end]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now + RETAIN_INTERVAL)
    }

    fn is_batch_due(&self) -> bool {
        self.deadline.is_some_and(|due| Instant::now() >= due)
    }

    fn open_if_due(&mut self) {
        if !self.settings.enabled || self.store.is_some() || Instant::now() < self.next_open {
            return;
        }
        self.next_open = Instant::now() + REOPEN_INTERVAL;
        match Store::open_or_replace(&self.settings.directory) {
            Ok(Opened {
                store,
                aside,
                is_back,
            }) => {
                tracing::debug!(path = %store.path().display(), "history open");
                self.store = Some(store);
                self.condition.problem = None;
                if is_back {
                    self.condition.aside = None;
                }
                self.tell_aside(aside);
            }
            Err(error) => {
                if error.trouble() == Trouble::Busy {
                    self.next_open = Instant::now() + RETRY_INTERVAL;
                }
                self.has_problem(&error);
            }
        }
    }

    fn commit(&mut self) {
        self.deadline = None;
        if self.batch.is_empty() {
            return;
        }
        if let Some(displaced) = self.store.take_if(|store| !store.is_in_place()) {
            tracing::warn!(
                "the history was removed or replaced by others; going on with what is there now"
            );
            displaced.abandon();
            self.next_open = Instant::now();
            self.open_if_due();
        }
        let Some(store) = &mut self.store else {
            self.deadline = Some(self.next_open.max(Instant::now()));
            return;
        };
        match store.write(&self.batch) {
            Ok(()) => {
                let batch = std::mem::take(&mut self.batch);
                self.forget(&batch);
                self.tries = 0;
                self.condition.problem = None;
            }
            Err(error) => self.cope(&error),
        }
    }

    /// After a batch that could not be written: again, elsewhere, or never.
    fn cope(&mut self, error: &StoreError) {
        self.tries += 1;
        self.deadline = Some(Instant::now() + RETRY_INTERVAL);
        self.has_problem(error);
        let is_last = self.tries >= TRIES;
        match error.trouble() {
            Trouble::Damaged => self.replace(DAMAGED, error),
            Trouble::Full if is_last => self.replace(FULL, error),
            Trouble::Other if is_last => {
                self.lose_batch();
                self.store = None;
            }
            Trouble::Busy | Trouble::Full | Trouble::Other => {}
        }
    }

    /// Sets the open history aside; another one is opened at once where there may be room for it.
    fn replace(&mut self, reason: &str, error: &StoreError) {
        self.tries = 0;
        let Some(store) = self.store.take() else {
            return;
        };
        let now = Instant::now();
        self.next_open = if reason == FULL {
            now + REOPEN_INTERVAL
        } else {
            now
        };
        self.deadline = Some(self.next_open);
        if !store.is_in_place() {
            store.abandon();
            return;
        }
        let path = store.path().to_owned();
        // Closing writes the log back, as far as that can be done.
        drop(store);
        match set_aside(&path, reason, error) {
            Ok(aside) => self.tell_aside(Some(aside)),
            Err(error) => self.has_problem(&error),
        }
    }

    fn tell_aside(&mut self, aside: Option<String>) {
        if let Some(aside) = aside {
            self.condition.counts.set_aside += 1;
            self.condition.aside = Some(aside);
        }
    }

    fn has_problem(&mut self, error: &StoreError) {
        let problem = error.to_string();
        if self.condition.problem.as_ref() != Some(&problem) {
            tracing::warn!(error = problem, "history is not written");
            self.condition.problem = Some(problem);
        }
    }

    fn lose_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.tries = 0;
        self.deadline = None;
        if batch.is_empty() {
            return;
        }
        tracing::error!(records = batch.len(), "records of the history are lost");
        self.condition.counts.lost_writing += batch.len() as u64;
        self.forget(&batch);
    }

    /// They wait no longer.
    fn forget(&self, records: &[Record]) {
        let weight = records.iter().map(Record::weight).sum();
        self.waiting.bytes.fetch_sub(weight, Ordering::Relaxed);
    }

    /// Those who waited for the batch.
    fn answer(&mut self) {
        for message in std::mem::take(&mut self.asked) {
            match message {
                Message::Flush(done) => drop(done.try_send(self.batch.is_empty())),
                Message::Earlier(question, answer) => {
                    if let Some(found) = self.earlier(&question) {
                        drop(answer.try_send(found));
                    }
                }
                Message::Record(_) | Message::Settings(_) | Message::End => {}
            }
        }
    }

    fn earlier(&mut self, question: &Question) -> Option<Past> {
        let filter = EarlierFilter {
            module: &question.module,
            cwd: question.cwd.as_deref(),
            before_ms: question.before_ms,
            limit: question.limit,
        };
        match query::past(self.store.as_ref()?, &filter, &question.keys) {
            Ok(found) => Some(found),
            Err(error) => {
                self.cope_reading(&error);
                None
            }
        }
    }

    /// A step of retention whenever it is due, the next one soon while there is more to do.
    fn retain_if_due(&mut self) {
        let now = Instant::now();
        let Some(store) = self.store.as_mut().filter(|_| now >= self.next_retain) else {
            return;
        };
        match store.retain(&self.settings, milliseconds(SystemTime::now())) {
            Ok(Progress::More) => self.next_retain = now + RETAIN_PAUSE,
            Ok(Progress::Done) => self.next_retain = now + RETAIN_INTERVAL,
            Err(error) => {
                self.next_retain = now + RETAIN_INTERVAL;
                self.cope_reading(&error);
            }
        }
    }

    fn cope_reading(&mut self, error: &StoreError) {
        self.has_problem(error);
        if error.trouble() == Trouble::Damaged {
            self.replace(DAMAGED, error);
        }
    }

    fn publish(&mut self) {
        let lost = self.waiting.lost.load(Ordering::Relaxed);
        if lost > self.condition.counts.lost_waiting {
            let records = lost - self.condition.counts.lost_waiting;
            tracing::error!(records, "records of the history are lost: too many waited");
            self.condition.counts.lost_waiting = lost;
        }
        self.told.send_if_modified(|told| {
            let is_news = *told != self.condition;
            if is_news {
                told.clone_from(&self.condition);
            }
            is_news
        });
    }
}
