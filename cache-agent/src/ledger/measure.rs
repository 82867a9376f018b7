//! What directories held when they crossed a root's border, from the sequence of what was told since and what walks
//! found.
//!
//! Takes: records in the order of the ring, the first of them no later than the first crossing, and the trees of
//! every directory that was moved, as they are now. Gives: what to credit for each crossing. Never: does anything;
//! it is a function.
//!
//! A rename tells nothing of what a directory holds. But whatever was in it then is in it still, or something has
//! been told of it since, with the directory in which it was until then. So the records are undone, last first,
//! beginning with what the walks found: that gives what each directory held right after each crossing. Then they are
//! gone through in order, with the figure that the ledger has of each file, as a file counts once whatever the order
//! in which several processors told of it.

use std::collections::{HashMap, HashSet};

use cache_ebpf::{InodeKey, ProcessKey};

#[cfg(test)]
mod model;
#[cfg(test)]
mod world;

/// One thing that was told.
#[derive(Clone, Copy, Debug)]
pub enum Record {
    /// Of a file.
    File(FileRecord),
    /// A directory was moved or removed, inside one root or outside all.
    Directory {
        /// Which.
        key: InodeKey,
        /// Inode number of the directory that it was in.
        parent: u64,
    },
    /// A directory crossed the border of a root.
    Crossing(Crossing),
}

/// Of a file.
#[derive(Clone, Copy, Debug)]
pub struct FileRecord {
    /// Which.
    pub key: InodeKey,
    /// What happened.
    pub what: What,
    /// Inode number of the directory that it was in until then; 0 where that is not known.
    pub directory: u64,
    /// The root whose account has it, or `None` outside all roots.
    pub root: Option<u32>,
    /// Its size until then, as far as the ledger knew it.
    pub before: u64,
    /// Its size from then on.
    pub after: u64,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum What {
    /// It was not there before, or somewhere of which a record before this one tells.
    Came,
    /// It was changed or renamed.
    Changed,
    /// It left the root's account, or was unlinked.
    Went,
    /// It is outside, about to be changed, moved or unlinked. With a root, that one still counts it.
    Outside,
}

/// A directory went over the border of one root.
#[derive(Clone, Copy, Debug)]
pub struct Crossing {
    /// The directory.
    pub key: InodeKey,
    /// Inode number of the directory that it was in.
    pub parent: u64,
    /// The root.
    pub root: u32,
    /// Into it; else out of it.
    pub entered: bool,
    /// Who moved it.
    pub mover: ProcessKey,
}

/// Directories as they are now, with all they hold.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Where each file is, and its size: as the ledger has it, if it has it.
    pub files: HashMap<InodeKey, Place>,
    /// Inode number of the directory that holds each directory.
    pub directories: HashMap<InodeKey, u64>,
}

/// Where a file is, and how large.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// Inode number of its directory.
    pub directory: u64,
    /// Bytes.
    pub size: u64,
}

/// What is to be credited to whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Due {
    /// Number of the root.
    pub root: u32,
    /// Who moved the files, or how many processes may have.
    pub mover: Result<ProcessKey, usize>,
    /// They came in; else they went.
    pub entered: bool,
    /// Their bytes.
    pub bytes: u64,
    /// How many.
    pub files: u64,
}

/// The ledger's figure of a file: its root and size, or that no root has it.
pub type Figure = Option<(u32, u64)>;

/// What follows from a sequence.
#[derive(Debug, Default)]
pub struct Measured {
    /// To be credited, in order.
    pub dues: Vec<Due>,
    /// What the ledger has now of each file that a directory took along.
    pub files: HashMap<InodeKey, Carried>,
}

/// A file that a directory took along.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Carried {
    /// What the ledger has of it now.
    pub figure: Figure,
    /// Something has been told of it since: the kernel side knows it.
    pub is_told: bool,
}

/// Measures every crossing of a sequence.
pub fn measure(records: &[Record], found: Found) -> Measured {
    let contents = contents(records, found);
    let mut ledger = Ledger::of(records);
    for (at, record) in records.iter().enumerate() {
        match record {
            Record::File(file) => ledger.file(file),
            Record::Crossing(crossing) => {
                let content = contents.get(&at).map(Vec::as_slice);
                ledger.crossing(crossing, content.unwrap_or_default());
            }
            Record::Directory { .. } => {}
        }
    }
    ledger.measured
}

/// Files and their sizes.
type Content = Vec<(InodeKey, u64)>;

/// What each directory that crossed held right after, by the place of the crossing in the sequence.
fn contents(records: &[Record], found: Found) -> HashMap<usize, Content> {
    let mut tree = found;
    let mut contents = HashMap::new();
    for (at, record) in records.iter().enumerate().rev() {
        match record {
            Record::File(file) => tree.undo(file),
            Record::Directory { key, parent } => {
                tree.directories.insert(*key, *parent);
            }
            Record::Crossing(crossing) => {
                contents.insert(at, tree.below(&crossing.key));
                tree.directories.insert(crossing.key, crossing.parent);
            }
        }
    }
    contents
}

impl Found {
    fn undo(&mut self, file: &FileRecord) {
        if file.what == What::Came {
            self.files.remove(&file.key);
            return;
        }
        let later = self.files.get(&file.key).map_or(0, |place| place.directory);
        let directory = if file.directory == 0 {
            later
        } else {
            file.directory
        };
        let size = file.before;
        self.files.insert(file.key, Place { directory, size });
    }

    /// All files below a directory.
    fn below(&self, top: &InodeKey) -> Content {
        let mut known = HashMap::from([(top.ino, true)]);
        let files = self.files.iter().filter(|(key, _)| key.dev == top.dev);
        let below = files.filter(|(_, place)| self.is_below(place.directory, top.dev, &mut known));
        below.map(|(key, place)| (*key, place.size)).collect()
    }

    /// Climbs from a directory until it is known whether it lies below the top.
    fn is_below(&self, directory: u64, dev: u32, known: &mut HashMap<u64, bool>) -> bool {
        let (mut here, mut passed) = (directory, Vec::new());
        let answer = loop {
            if let Some(answer) = known.get(&here) {
                break *answer;
            }
            // A ring of directories, which only a race could tell of, ends here too.
            known.insert(here, false);
            passed.push(here);
            let key = InodeKey {
                ino: here,
                dev,
                pad: 0,
            };
            match self.directories.get(&key) {
                Some(parent) => here = *parent,
                None => break false,
            }
        };
        known.extend(passed.into_iter().map(|directory| (directory, answer)));
        answer
    }
}

/// What the ledger has of each file, as far as the sequence tells.
#[derive(Default)]
struct Ledger {
    figures: HashMap<InodeKey, Figure>,
    /// Who moved directories into, or out of, each root.
    movers: HashMap<(u32, bool), HashSet<ProcessKey>>,
    measured: Measured,
}

impl Ledger {
    fn of(records: &[Record]) -> Self {
        let mut ledger = Self::default();
        for record in records {
            if let Record::Crossing(crossing) = record {
                let side = (crossing.root, crossing.entered);
                ledger
                    .movers
                    .entry(side)
                    .or_default()
                    .insert(crossing.mover);
            }
        }
        ledger
    }

    fn file(&mut self, file: &FileRecord) {
        let figure = self.figures.get(&file.key).copied();
        match (file.what, file.root, figure) {
            // Told although the ledger has it in a root: it left unseen, with a directory.
            (What::Came, _, Some(Some((root, size)))) | (_, None, Some(Some((root, size)))) => {
                self.unseen(root, false, size);
            }
            (What::Changed | What::Went, Some(root), Some(None)) => {
                self.unseen(root, true, file.before);
            }
            (What::Outside, Some(root), None | Some(Some(_))) => {
                self.unseen(root, false, file.before);
            }
            _ => {}
        }
        let counts = matches!(file.what, What::Came | What::Changed);
        let now = file.root.filter(|_| counts).map(|root| (root, file.after));
        self.figures.insert(file.key, now);
        if let Some(carried) = self.measured.files.get_mut(&file.key) {
            *carried = Carried {
                figure: now,
                is_told: true,
            };
        }
    }

    /// A file came or went with a directory, but with which one is not known: of one mover, it is his.
    fn unseen(&mut self, root: u32, entered: bool, bytes: u64) {
        let movers = self.movers.get(&(root, entered));
        let mut movers = movers.into_iter().flatten().copied();
        let mover = match (movers.next(), movers.count()) {
            (Some(only), 0) => Ok(only),
            (first, others) => Err(usize::from(first.is_some()) + others),
        };
        self.measured.dues.push(Due {
            root,
            mover,
            entered,
            bytes,
            files: 1,
        });
    }

    fn crossing(&mut self, crossing: &Crossing, content: &[(InodeKey, u64)]) {
        let mut due = Due {
            root: crossing.root,
            mover: Ok(crossing.mover),
            entered: crossing.entered,
            bytes: 0,
            files: 0,
        };
        for (key, size) in content {
            let figure = self.figures.get(key).copied();
            let Some(bytes) = moved(crossing, figure, *size) else {
                continue;
            };
            due.bytes += bytes;
            due.files += 1;
            let now = crossing.entered.then_some((crossing.root, bytes));
            self.figures.insert(*key, now);
            let carried = Carried {
                figure: now,
                is_told: false,
            };
            self.measured.files.insert(*key, carried);
        }
        if due.files > 0 {
            self.measured.dues.push(due);
        }
    }
}

/// Bytes that a file adds to a root, or takes out of it, with its directory; `None` if it is counted already, or not
/// counted there.
fn moved(crossing: &Crossing, figure: Option<Figure>, size: u64) -> Option<u64> {
    match figure {
        None => Some(size),
        Some(None) => crossing.entered.then_some(size),
        Some(Some((root, known))) => (!crossing.entered && root == crossing.root).then_some(known),
    }
}
