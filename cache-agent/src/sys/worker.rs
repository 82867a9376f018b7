//! Threads that do what must not hold up the event loop: walks, inspection of processes, the history.
//!
//! Takes: jobs, through a bounded queue that never makes anybody wait. Gives: answers, and a bell that rings when
//! one came that somebody should see at once. Never: ends before its last job, or queues without a bound.

use std::{
    fmt, io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use rustix::event::{EventfdFlags, eventfd};

/// The way to the threads; they end once all ways are gone and the last job is done.
pub(crate) struct Worker<J> {
    jobs: SyncSender<J>,
    threads: Vec<JoinHandle<()>>,
}

impl<J> fmt::Debug for Worker<J> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Worker");
        shown
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl<J: Send + 'static> Worker<J> {
    /// One thread that takes its jobs itself; at most `capacity` of them wait.
    pub(crate) fn start(
        name: &str,
        capacity: usize,
        body: impl FnOnce(Receiver<J>) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(capacity);
        let thread = spawn(name, move || body(waiting))?;
        Ok(Self {
            jobs,
            threads: vec![thread],
        })
    }

    /// `threads` of them, each of which does one job after another with a `work` of its own; an answer for which
    /// `rings` holds rings the bell.
    pub(crate) fn pool<R: Send + 'static, W: FnMut(J) -> R>(
        name: &str,
        threads: usize,
        capacity: usize,
        work: impl Fn() -> W + Clone + Send + 'static,
        rings: fn(&R) -> bool,
    ) -> io::Result<(Self, Answers<R>)> {
        let (jobs, waiting) = sync_channel(capacity);
        let waiting = Arc::new(Mutex::new(waiting));
        // No more answers than jobs, which are bounded.
        let (sender, answers) = channel();
        let bell = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let start = |_| {
            let (waiting, sender) = (Arc::clone(&waiting), sender.clone());
            let (work, bell) = (work.clone(), Arc::clone(&bell));
            spawn(name, move || {
                let mut work = work();
                do_all(&waiting, &sender, &bell, &mut work, rings);
            })
        };
        let threads = (0..threads).map(start).collect::<io::Result<_>>()?;
        Ok((Self { jobs, threads }, Answers { answers, bell }))
    }

    /// Hands a job over, or gives it back where too many wait already; never waits.
    pub(crate) fn submit(&self, job: J) -> Result<(), J> {
        self.jobs.try_send(job).map_err(|error| match error {
            std::sync::mpsc::TrySendError::Full(job)
            | std::sync::mpsc::TrySendError::Disconnected(job) => job,
        })
    }

    /// Another way to the threads.
    pub(crate) fn jobs(&self) -> SyncSender<J> {
        self.jobs.clone()
    }

    /// Waits for the threads, which end when no way to them is left.
    pub(crate) fn join(self) {
        let Self { jobs, threads } = self;
        drop(jobs);
        for thread in threads {
            // A panic has ended the process already.
            drop(thread.join());
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
}

fn do_all<J, R>(
    waiting: &Mutex<Receiver<J>>,
    answers: &Sender<R>,
    bell: &OwnedFd,
    work: &mut impl FnMut(J) -> R,
    rings: fn(&R) -> bool,
) {
    loop {
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(job) = next else { return };
        let answer = work(job);
        let is_urgent = rings(&answer);
        if answers.send(answer).is_err() {
            return;
        }
        if is_urgent {
            // An error means that it has rung more often than can be counted.
            rustix::io::write(bell, &1u64.to_ne_bytes()).unwrap_or_default();
        }
    }
}

/// What the threads of a pool found out.
#[derive(Debug)]
pub(crate) struct Answers<R> {
    answers: Receiver<R>,
    bell: Arc<OwnedFd>,
}

impl<R> Answers<R> {
    /// Readable once an answer came that rings, until the answers are taken.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Those that have come.
    pub(crate) fn take(&self) -> Vec<R> {
        // An error means that it has not rung.
        rustix::io::read(&*self.bell, &mut [0; 8]).unwrap_or_default();
        self.answers.try_iter().collect()
    }

    /// The next one, waited for no longer than this.
    pub(crate) fn wait(&self, limit: Duration) -> Result<R, RecvTimeoutError> {
        self.answers.recv_timeout(limit)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn has_rung(answers: &Answers<u32>) -> bool {
        let mut ready = [PollFd::from_borrowed_fd(answers.bell(), PollFlags::IN)];
        poll(&mut ready, Some(&Timespec::default())).unwrap() > 0
    }

    #[test]
    fn a_full_queue_gives_the_job_back() {
        let (go, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let work = move || {
            let gate = Arc::clone(&gate);
            move |job: u32| {
                gate.lock().unwrap().recv().unwrap();
                job * 2
            }
        };
        let (worker, answers) = Worker::pool("test", 1, 1, work, |_| true).unwrap();
        worker.submit(1).unwrap();
        // One is being done, one waits: sooner or later there is no room.
        let refused = (2..100)
            .find(|job| worker.submit(*job) == Err(*job))
            .unwrap();
        for _ in 1..refused {
            go.send(()).unwrap();
        }
        let done: Vec<u32> = (1..refused).map(|_| answers.wait(LIMIT).unwrap()).collect();
        assert_eq!(done, (1..refused).map(|job| job * 2).collect::<Vec<_>>());
        worker.join();
    }

    #[test]
    fn only_what_rings_rings_until_it_is_taken() {
        let work = || |job: u32| job;
        let (worker, answers) = Worker::pool("test", 2, 8, work, |answer| *answer == 7).unwrap();
        worker.submit(1).unwrap();
        assert_eq!(answers.wait(LIMIT), Ok(1));
        assert!(!has_rung(&answers));
        worker.submit(7).unwrap();
        worker.join();
        assert!(has_rung(&answers));
        assert_eq!(answers.take(), [7]);
        assert!(!has_rung(&answers));
    }

    #[test]
    fn the_last_job_is_done_before_the_end() {
        let (sender, done) = channel();
        let worker = Worker::start("test", 8, move |jobs: Receiver<u32>| {
            for job in jobs {
                sender.send(job).unwrap();
            }
        });
        let worker = worker.unwrap();
        for job in 0..5 {
            worker.submit(job).unwrap();
        }
        worker.join();
        assert_eq!(done.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }
}
