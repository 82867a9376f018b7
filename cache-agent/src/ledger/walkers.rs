//! Walks of roots, two at a time: what one user's huge cache takes, another one's need not wait for.

use std::{
    collections::HashSet,
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use cache_ebpf::ROOTS_MAX;

use super::walk::Walk;
use crate::sys::{
    fs_rights,
    worker::{Answers, Worker},
};

/// Walks at the same time: one waits for its disk while the other one computes.
const THREADS: usize = 2;

/// A walk that waits for its turn.
#[derive(Debug)]
struct Job {
    ticket: u64,
    directory: OwnedFd,
    inner: HashSet<u64>,
}

/// A walk that is done.
#[derive(Debug)]
pub struct Walked {
    /// Which.
    pub ticket: u64,
    /// What it found.
    pub walk: rustix::io::Result<Walk>,
    /// How long it took, its turn not included.
    pub duration: Duration,
}

/// The threads that walk.
#[derive(Debug)]
pub(super) struct Walkers {
    worker: Worker<Job>,
    walked: Answers<Walked>,
    last_ticket: u64,
}

impl Walkers {
    pub(super) fn start() -> io::Result<Self> {
        // No root has more than one walk under way.
        let capacity = ROOTS_MAX as usize;
        let (worker, walked) = Worker::pool("walk", THREADS, capacity, walker, |_| false)?;
        Ok(Self {
            worker,
            walked,
            last_ticket: 0,
        })
    }

    /// Has a directory walked, without what is below directories with these inode numbers; `None` if too many
    /// wait.
    pub(super) fn submit(&mut self, directory: OwnedFd, inner: HashSet<u64>) -> Option<u64> {
        let ticket = self.last_ticket + 1;
        let job = Job {
            ticket,
            directory,
            inner,
        };
        self.worker.submit(job).ok()?;
        self.last_ticket = ticket;
        Some(ticket)
    }

    /// Walks that are done; waits so long for the first one.
    pub(super) fn done(&self, patience: Duration) -> Vec<Walked> {
        let first = (!patience.is_zero()).then(|| self.walked.wait(patience).ok());
        first
            .flatten()
            .into_iter()
            .chain(self.walked.take())
            .collect()
    }
}

fn walker() -> impl FnMut(Job) -> Walked {
    fs_rights::renounce();
    walk
}

fn walk(job: Job) -> Walked {
    let Job {
        ticket,
        directory,
        inner,
    } = job;
    let started = Instant::now();
    Walked {
        ticket,
        walk: Walk::of(&directory, &inner),
        duration: started.elapsed(),
    }
}
