//! Identities of the ledger, over many histories.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::ledger::{
    walk::{Walk, WalkedFile},
    walkers::Walked,
};

/// Files that a history is about.
const FILES: usize = 4;
/// Processes that act in it.
const PROCESSES: usize = 3;

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open(usize, usize),
    Append(usize, usize),
    Close(usize, usize),
    Resize(usize, usize, u64),
    Unlink(usize, usize),
    Rename(usize, usize, usize),
    Sweep,
    Lose(bool),
    /// The walk under way comes to a file.
    Visit(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (who, file) = (0..PROCESSES, 0..FILES);
    prop_oneof![
        4 => (who.clone(), file.clone()).prop_map(|(who, file)| Step::Open(who, file)),
        6 => (file.clone(), 0..5000usize).prop_map(|(file, bytes)| Step::Append(file, bytes)),
        4 => (who.clone(), file.clone()).prop_map(|(who, file)| Step::Close(who, file)),
        1 => (who.clone(), file.clone(), 0..9000u64)
            .prop_map(|(who, file, size)| Step::Resize(who, file, size)),
        2 => (who.clone(), file.clone()).prop_map(|(who, file)| Step::Unlink(who, file)),
        2 => (who, file.clone(), file.clone())
            .prop_map(|(who, from, to)| Step::Rename(who, from, to)),
        2 => Just(Step::Sweep),
        1 => any::<bool>().prop_map(Step::Lose),
        4 => file.prop_map(Step::Visit),
    ]
}

/// A ledger, who acts, and who has which file open.
struct History {
    watched: Watched,
    processes: Vec<ProcessKey>,
    openers: Vec<Vec<usize>>,
    visited: HashSet<usize>,
    walk: Walk,
}

impl History {
    fn new() -> Self {
        let watched = Watched::walked(Backend::Tracepoint, &[("0", 100), ("1", 3)]);
        let start = |_| watched.kernel.start("go build");
        Self {
            processes: (0..PROCESSES).map(start).collect(),
            watched,
            openers: vec![Vec::new(); FILES],
            visited: HashSet::new(),
            walk: Walk::default(),
        }
    }

    fn happen(&mut self, step: Step) {
        let path = |file: usize| self.watched.path(&file.to_string());
        let (kernel, processes) = (&self.watched.kernel, &self.processes);
        let exists = |file| path(file).exists();
        match step {
            Step::Open(who, file) => {
                kernel.open(processes[who], &path(file));
                self.openers[file].push(who);
            }
            Step::Append(file, bytes) if !self.openers[file].is_empty() => {
                kernel.append(&path(file), bytes);
            }
            Step::Close(who, file) => {
                let at = self.openers[file].iter().position(|opener| *opener == who);
                if let Some(at) = at {
                    kernel.close(processes[who], &path(file));
                    self.openers[file].remove(at);
                }
            }
            Step::Resize(who, file, size) if exists(file) => {
                kernel.resize(processes[who], &path(file), size);
            }
            Step::Unlink(who, file) if exists(file) => {
                kernel.unlink(processes[who], &path(file));
                self.openers[file].clear();
            }
            Step::Rename(who, from, to) if from != to && exists(from) => {
                kernel.rename(processes[who], &path(from), &path(to));
                self.openers[to] = std::mem::take(&mut self.openers[from]);
            }
            Step::Sweep => self.watched.ledger.sweep().unwrap(),
            Step::Lose(loses) => kernel.lose_events(loses),
            _ => {}
        }
    }

    /// The walk sees a file as it is now, once, as a walk of the disk does.
    fn visit(&mut self, file: usize) {
        let path = self.watched.path(&file.to_string());
        let Ok(found) = fs::metadata(path) else {
            return;
        };
        let ino = std::os::unix::fs::MetadataExt::ino(&found);
        if self.visited.insert(file) && self.walk.files.iter().all(|file| file.ino != ino) {
            let size = found.len();
            self.walk.files.push(WalkedFile {
                ino,
                size,
                directory: 1,
            });
        }
    }

    /// A walk begins that only goes on when the history says so.
    fn begin_walk(&mut self) {
        let dropped = self.watched.ledger.dropped().unwrap();
        let root = self.watched.ledger.root_mut(self.watched.index).unwrap();
        root.walk_started(u64::MAX, dropped);
    }

    fn end_walk(&mut self) -> Reconciliation {
        (0..FILES).for_each(|file| self.visit(file));
        let walked = Walked {
            ticket: u64::MAX,
            walk: Ok(std::mem::take(&mut self.walk)),
            duration: Duration::ZERO,
        };
        let root = self.watched.ledger.root_mut(self.watched.index).unwrap();
        root.walk.as_mut().unwrap().done = Some(walked);
        let ledger = &mut self.watched.ledger;
        let mut found = ledger.reconcile(Unsure::Leave, |_| {}).unwrap();
        found.done.remove(0)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn credits_telescope(steps in vec(step(), 0..60)) {
        let mut history = History::new();
        for step in steps {
            history.happen(step);
        }
        history.watched.ledger.sweep().unwrap();
        let Watched { ledger, index, .. } = &history.watched;
        let mut accounts = Changes::default();
        for account in ledger.accounts().unwrap().processes.values() {
            accounts.add(&account.total());
        }
        prop_assert_eq!(accounts, ledger.total(*index).unwrap());
        prop_assert_eq!(history.watched.size(), history.watched.on_disk());
        // What events told, and what was kept of those that were lost, is the total too.
        history.watched.drain();
        let Watched { ledger, index, .. } = &history.watched;
        let mut told = changes(&ledger.maps.untold(*index).unwrap());
        told.add(&history.watched.root().reported);
        prop_assert_eq!(told, accounts);
    }

    #[test]
    fn a_walk_and_what_changed_under_it_are_the_disk_at_one_moment(
        before in vec(step(), 0..20),
        during in vec(step(), 0..40),
    ) {
        let mut history = History::new();
        for step in before {
            history.happen(step);
        }
        history.watched.kernel.lose_events(false);
        history.watched.ledger.drain(|_| {});
        history.begin_walk();
        for step in during {
            match step {
                Step::Visit(file) => history.visit(file),
                // A walk under which events were lost is another rule.
                Step::Lose(_) => {}
                step => history.happen(step),
            }
        }
        let found = history.end_walk();
        prop_assert_eq!((found.base.bytes, found.base.files), history.watched.on_disk());
        prop_assert_eq!(found.drift_bytes, 0);
        prop_assert_eq!(history.watched.size(), history.watched.on_disk());
    }
}
