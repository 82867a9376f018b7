//! What is told while directories that crossed a border wait to be measured, in the order of the ring.

use std::collections::{HashMap, HashSet};

use cache_ebpf::{
    Event, InodeKey, NO_ROOT, OPERATION_CREATE, OPERATION_DIRECTORY_ENTER,
    OPERATION_DIRECTORY_GONE, OPERATION_DIRECTORY_LEAVE, OPERATION_DIRECTORY_MOVE,
    OPERATION_DIRECTORY_PLACE, OPERATION_ENTER, OPERATION_LEAVE, OPERATION_REPLACE,
    OPERATION_UNLINK, OPERATION_VANISH,
};

use super::measure::{Crossing, FileRecord, Record, What};
use crate::kernel::file_events::Fact;

/// Records kept while nobody finds the time to measure: some 100 MiB.
const RECORDS_MAX: usize = 1 << 20;

/// Where a directory went.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Address of its inode.
    pub inode: u64,
    /// Its generation.
    pub generation: u32,
    /// The root that it is in, if any.
    pub root: Option<u32>,
    /// Below that root, or below the top of the file system.
    pub path: Vec<u8>,
}

/// The sequence since the first crossing that is not measured.
#[derive(Debug, Default)]
pub struct Sequence {
    records: Vec<Record>,
    moved: HashMap<InodeKey, Destination>,
    /// There was no room for all: nothing follows from it.
    is_broken: bool,
}

impl Sequence {
    /// Takes note of an event; true for one of a directory. `is_root` tells directories that are roots.
    pub fn note(&mut self, fact: &Fact, is_root: impl Fn(&InodeKey) -> bool) -> bool {
        let event = &fact.event;
        let is_of_directory = matches!(
            event.operation,
            OPERATION_DIRECTORY_ENTER
                | OPERATION_DIRECTORY_LEAVE
                | OPERATION_DIRECTORY_MOVE
                | OPERATION_DIRECTORY_GONE
                | OPERATION_DIRECTORY_PLACE
        );
        let is_crossing = matches!(
            event.operation,
            OPERATION_DIRECTORY_ENTER | OPERATION_DIRECTORY_LEAVE
        );
        // What a root holds is its own, wherever it is.
        let is_of_root = is_of_directory && is_root(&event.key);
        if is_of_root || self.records.is_empty() && !is_crossing {
            return is_of_directory;
        }
        if is_of_directory {
            self.follow(fact);
        }
        if event.operation != OPERATION_DIRECTORY_PLACE {
            if self.records.len() < RECORDS_MAX {
                self.records.push(record(event));
            } else {
                self.is_broken = true;
            }
        }
        is_of_directory
    }

    fn follow(&mut self, fact: &Fact) {
        let event = &fact.event;
        if event.operation == OPERATION_DIRECTORY_GONE {
            self.moved.remove(&event.key);
            return;
        }
        let is_there = event.operation != OPERATION_DIRECTORY_LEAVE && event.root != NO_ROOT;
        let destination = Destination {
            inode: event.before,
            generation: event.generation,
            root: is_there.then_some(event.root),
            path: fact.raw_path(),
        };
        self.moved.insert(event.key, destination);
    }

    /// True while a crossing waits.
    pub fn is_waiting(&self) -> bool {
        !self.records.is_empty()
    }

    /// How many records there are.
    pub fn told(&self) -> usize {
        self.records.len()
    }

    /// Directories that crossed a border.
    pub fn crossed(&self) -> impl Iterator<Item = InodeKey> {
        self.records.iter().filter_map(|record| match record {
            Record::Crossing(crossing) => Some(crossing.key),
            _ => None,
        })
    }

    /// Of the directories moved or removed, those that crossed or were in one that did; `is_met` tells what walks
    /// found below such ones.
    pub fn concerned(&self, is_met: impl Fn(&InodeKey) -> bool) -> HashSet<InodeKey> {
        let mut concerned: HashSet<InodeKey> = self.crossed().collect();
        // What was in a directory when that was moved or removed had been moved into it, or out of it, before.
        for record in self.records.iter().rev() {
            if let Record::Directory { key, parent } = record {
                let above = InodeKey {
                    ino: *parent,
                    ..*key
                };
                if concerned.contains(&above) || is_met(&above) || is_met(key) {
                    concerned.insert(*key);
                }
            }
        }
        concerned
    }

    /// True where a directory was moved, after so many records, that is concerned: walks before that may have missed it.
    pub fn has_moved_since(&self, told: usize, concerned: &HashSet<InodeKey>) -> bool {
        let mut news = self.records.iter().skip(told);
        news.any(|record| match record {
            Record::Crossing(_) => true,
            Record::Directory { key, .. } => {
                concerned.contains(key) && self.moved.contains_key(key)
            }
            Record::File(_) => false,
        })
    }

    /// Where a directory that was moved went; `None` for one that is not there any more.
    pub fn destination(&self, key: &InodeKey) -> Option<&Destination> {
        self.moved.get(key)
    }

    /// Ends the sequence; `None` if some of it is missing.
    pub fn take(&mut self) -> Option<Vec<Record>> {
        let Self {
            records, is_broken, ..
        } = std::mem::take(self);
        (!is_broken).then_some(records)
    }
}

fn record(event: &Event) -> Record {
    match event.operation {
        OPERATION_DIRECTORY_ENTER | OPERATION_DIRECTORY_LEAVE => Record::Crossing(crossing(event)),
        OPERATION_DIRECTORY_MOVE | OPERATION_DIRECTORY_GONE => Record::Directory {
            key: event.key,
            parent: event.parent,
        },
        _ => Record::File(file(event)),
    }
}

fn crossing(event: &Event) -> Crossing {
    Crossing {
        key: event.key,
        parent: event.parent,
        root: event.root,
        entered: event.operation == OPERATION_DIRECTORY_ENTER,
        mover: event.process,
    }
}

fn file(event: &Event) -> FileRecord {
    let what = match event.operation {
        OPERATION_CREATE | OPERATION_ENTER => What::Came,
        OPERATION_UNLINK | OPERATION_LEAVE | OPERATION_REPLACE => What::Went,
        OPERATION_VANISH => What::Outside,
        _ => What::Changed,
    };
    FileRecord {
        key: event.key,
        what,
        directory: event.parent,
        root: (event.root != NO_ROOT).then_some(event.root),
        before: event.before,
        after: event.after,
    }
}
