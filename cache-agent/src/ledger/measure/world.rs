//! A simulated file system with two roots, and a kernel side that tells of it as the real ones do.

use std::collections::{BTreeMap, HashMap};

use super::{
    model::{Act, Step},
    *,
};

/// Inode numbers of the top directories: two roots, and a place outside.
const TOPS: [u64; 3] = [1, 2, 3];
const DEVICE: u32 = 7;

/// What the kernel side knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Backend {
    /// Every size before it changes.
    Fentry,
    /// Sizes of files that it has met in a root; of others not what an open or a truncation cuts off.
    Tracepoint,
}

fn key(ino: u64) -> InodeKey {
    InodeKey {
        ino,
        dev: DEVICE,
        pad: 0,
    }
}

fn process(number: u32) -> ProcessKey {
    ProcessKey {
        start_ns: 1,
        tgid: number + 1,
        pad: 0,
    }
}

/// By process and root.
pub(super) type Credits = BTreeMap<(Option<u32>, u32), (i64, i64)>;

fn add(credits: &mut Credits, process: Option<u32>, root: u32, bytes: i64, files: i64) {
    let credit = credits.entry((process, root)).or_default();
    credit.0 += bytes;
    credit.1 += files;
}

pub(super) struct World {
    backend: Backend,
    /// Parents by inode number.
    directories: BTreeMap<u64, u64>,
    files: BTreeMap<u64, Place>,
    /// Sizes that the kernel side keeps.
    kept: HashMap<u64, (u32, u64)>,
    is_measuring: bool,
    records: Vec<Record>,
    pub(super) credits: Credits,
}

impl World {
    pub(super) fn new(backend: Backend) -> Self {
        Self {
            backend,
            directories: TOPS.into_iter().map(|top| (top, 0)).collect(),
            files: BTreeMap::new(),
            kept: HashMap::new(),
            is_measuring: false,
            records: Vec::new(),
            credits: Credits::new(),
        }
    }

    fn root(&self, mut directory: u64) -> Option<u32> {
        while let Some(parent) = self.directories.get(&directory).filter(|up| **up != 0) {
            directory = *parent;
        }
        (0..2u32).find(|root| TOPS[*root as usize] == directory)
    }

    fn is_below(&self, mut directory: u64, top: u64) -> bool {
        while directory != top && directory != 0 {
            directory = self.directories[&directory];
        }
        directory == top
    }

    /// The lowest number that is free: they are used again at once.
    fn free_number(&self) -> u64 {
        let is_free =
            |ino: &u64| !self.directories.contains_key(ino) && !self.files.contains_key(ino);
        (10..u64::MAX).find(is_free).unwrap()
    }

    fn some_directory(&self, which: usize) -> u64 {
        *self
            .directories
            .keys()
            .nth(which % self.directories.len())
            .unwrap()
    }

    fn some_file(&self, which: usize) -> Option<u64> {
        self.files
            .keys()
            .nth(which % self.files.len().max(1))
            .copied()
    }

    fn sizes(&self) -> [(i64, i64); 2] {
        let mut sizes = [(0, 0); 2];
        for place in self.files.values() {
            if let Some(root) = self.root(place.directory) {
                sizes[root as usize].0 += place.size.cast_signed();
                sizes[root as usize].1 += 1;
            }
        }
        sizes
    }

    fn tell(&mut self, ino: u64, what: What, root: Option<u32>, sizes: (u64, u64)) {
        if root.is_none() && !self.is_measuring {
            return;
        }
        let (before, after) = sizes;
        let directory = self.files[&ino].directory;
        let directory = if what == What::Came { 0 } else { directory };
        self.records.push(Record::File(FileRecord {
            key: key(ino),
            what,
            directory,
            root,
            before,
            after,
        }));
    }

    fn outside(&mut self, ino: u64) {
        if !self.is_measuring {
            return;
        }
        let size = self.files[&ino].size;
        match self.kept.remove(&ino) {
            Some((root, kept)) => self.tell(ino, What::Outside, Some(root), (kept, kept)),
            None => self.tell(ino, What::Outside, None, (size, size)),
        }
    }

    fn keep(&mut self, ino: u64, root: u32, size: u64) {
        if self.backend == Backend::Tracepoint {
            self.kept.insert(ino, (root, size));
        }
    }

    fn enters(&mut self, who: u32, ino: u64, root: u32) {
        let size = self.files[&ino].size;
        add(&mut self.credits, Some(who), root, size.cast_signed(), 1);
        self.tell(ino, What::Came, Some(root), (0, size));
        self.keep(ino, root, size);
    }

    fn leaves(&mut self, who: u32, ino: u64, root: u32) {
        let size = self.files[&ino].size;
        let known = self.kept.remove(&ino).map_or(size, |(_, known)| known);
        add(
            &mut self.credits,
            None,
            root,
            size.cast_signed() - known.cast_signed(),
            0,
        );
        add(&mut self.credits, Some(who), root, -size.cast_signed(), -1);
        self.tell(ino, What::Went, Some(root), (size, 0));
    }

    fn sized(&mut self, who: u32, ino: u64, size: u64, cuts: bool) {
        let Place {
            directory,
            size: old,
        } = self.files[&ino];
        let Some(root) = self.root(directory) else {
            if self.backend == Backend::Tracepoint && cuts {
                self.files.get_mut(&ino).unwrap().size = size;
            }
            self.outside(ino);
            self.files.get_mut(&ino).unwrap().size = size;
            return;
        };
        let kept = self.kept.get(&ino).map(|(_, kept)| *kept);
        let known = match (self.backend, kept) {
            (Backend::Tracepoint, Some(kept)) => kept,
            (Backend::Tracepoint, None) if cuts => size,
            _ => old,
        };
        self.files.get_mut(&ino).unwrap().size = size;
        add(
            &mut self.credits,
            Some(who),
            root,
            size.cast_signed() - known.cast_signed(),
            0,
        );
        self.tell(ino, What::Changed, Some(root), (known, size));
        self.keep(ino, root, size);
    }

    fn unlink(&mut self, who: u32, ino: u64) {
        match self.root(self.files[&ino].directory) {
            Some(root) => self.leaves(who, ino, root),
            None => self.outside(ino),
        }
        self.files.remove(&ino);
    }

    fn move_file(&mut self, who: u32, ino: u64, directory: u64) {
        let (from, to) = (self.root(self.files[&ino].directory), self.root(directory));
        let size = self.files[&ino].size;
        match from {
            Some(root) if to == from => {
                if self.is_measuring && !self.kept.contains_key(&ino) {
                    self.keep(ino, root, size);
                }
                let size = self.kept.get(&ino).map_or(size, |(_, kept)| *kept);
                self.tell(ino, What::Changed, Some(root), (size, size));
            }
            Some(root) => self.leaves(who, ino, root),
            None => self.outside(ino),
        }
        self.files.get_mut(&ino).unwrap().directory = directory;
        if let Some(root) = to.filter(|_| to != from) {
            self.enters(who, ino, root);
        }
    }

    fn move_directory(&mut self, who: u32, directory: u64, into: u64) {
        let parent = self.directories[&directory];
        let from = self.root(parent);
        self.directories.insert(directory, into);
        let to = self.root(into);
        if from == to {
            self.tell_directory(directory, parent);
            return;
        }
        for (root, entered) in [(from, false), (to, true)] {
            if let Some(root) = root {
                self.records.push(Record::Crossing(Crossing {
                    key: key(directory),
                    parent,
                    root,
                    entered,
                    mover: process(who),
                }));
            }
        }
        self.is_measuring = true;
    }

    fn tell_directory(&mut self, directory: u64, parent: u64) {
        if self.is_measuring {
            let key = key(directory);
            self.records.push(Record::Directory { key, parent });
        }
    }

    fn remove_directory(&mut self, directory: u64) {
        let is_empty = !self
            .files
            .values()
            .any(|place| place.directory == directory)
            && !self.directories.values().any(|parent| *parent == directory);
        if is_empty && !TOPS.contains(&directory) {
            let parent = self.directories[&directory];
            self.directories.remove(&directory);
            self.tell_directory(directory, parent);
        }
    }

    fn remove_tree(&mut self, who: u32, top: u64) {
        let mut below: Vec<u64> = self.directories.keys().copied().collect();
        below.retain(|directory| self.is_below(*directory, top));
        let files = self.files.iter();
        let files = files.filter(|(_, place)| below.contains(&place.directory));
        for ino in files.map(|(ino, _)| *ino).collect::<Vec<_>>() {
            self.unlink(who, ino);
        }
        for _ in 0..below.len() {
            for directory in &below {
                if self.directories.contains_key(directory) {
                    self.remove_directory(*directory);
                }
            }
        }
    }

    fn step(&mut self, step: &Step) {
        let Step {
            process: who,
            which: [one, other],
            size,
            ..
        } = *step;
        let directory = self.some_directory(other);
        match (step.act, self.some_file(one)) {
            (Act::MakeDirectory, _) => {
                self.directories.insert(self.free_number(), directory);
            }
            (Act::Create, _) => {
                let ino = self.free_number();
                self.files.insert(ino, Place { directory, size: 0 });
                match self.root(directory) {
                    Some(root) => self.enters(who, ino, root),
                    None => self.tell(ino, What::Came, None, (0, 0)),
                }
                self.sized(who, ino, size, false);
            }
            (Act::Write, Some(ino)) => self.sized(who, ino, size, false),
            (Act::Truncate, Some(ino)) => self.sized(who, ino, size, true),
            (Act::Unlink, Some(ino)) => self.unlink(who, ino),
            (Act::MoveFile, Some(ino)) => self.move_file(who, ino, directory),
            (Act::Replace | Act::ExchangeFiles, Some(ino)) => {
                let Some(second) = self.some_file(other).filter(|second| *second != ino) else {
                    return;
                };
                let (from, to) = (self.files[&ino].directory, self.files[&second].directory);
                self.move_file(who, ino, to);
                if matches!(step.act, Act::Replace) {
                    self.unlink(who, second);
                } else {
                    self.move_file(who, second, from);
                }
            }
            (Act::MoveDirectory, _) => {
                let moved = self.some_directory(one);
                if !TOPS.contains(&moved) && !self.is_below(directory, moved) {
                    self.move_directory(who, moved, directory);
                }
            }
            (Act::ExchangeDirectories, _) => {
                let moved = self.some_directory(one);
                let is_free = !TOPS.contains(&moved)
                    && !TOPS.contains(&directory)
                    && !self.is_below(directory, moved)
                    && !self.is_below(moved, directory);
                if is_free {
                    let (from, to) = (self.directories[&moved], self.directories[&directory]);
                    self.move_directory(who, moved, to);
                    self.move_directory(who, directory, from);
                }
            }
            (Act::RemoveDirectory, _) => self.remove_directory(directory),
            (Act::RemoveTree, _) if !TOPS.contains(&directory) => self.remove_tree(who, directory),
            _ => {}
        }
    }

    /// Directories that were told of, those that crossed or moved.
    fn told(&self) -> Vec<u64> {
        let told = self.records.iter().filter_map(|record| match record {
            Record::Directory { key, .. } => Some(key.ino),
            Record::Crossing(crossing) => Some(crossing.key.ino),
            Record::File(_) => None,
        });
        told.collect()
    }

    /// Walks what was told of, directory by directory; `meanwhile` happens in between.
    fn walk(&mut self, truth: &mut Credits, meanwhile: &mut Vec<Step>) -> Found {
        let mut found = Found::default();
        let mut waiting = self.told();
        while let Some(directory) = waiting.pop() {
            if !self.directories.contains_key(&directory) {
                continue;
            }
            for (ino, place) in self
                .files
                .iter()
                .filter(|(_, place)| place.directory == directory)
            {
                found.files.insert(key(*ino), *place);
            }
            for (ino, parent) in self.directories.iter().filter(|(_, up)| **up == directory) {
                found.directories.insert(key(*ino), *parent);
                waiting.push(*ino);
            }
            if let Some(step) = meanwhile.pop() {
                self.does(&step, truth);
            }
        }
        for (key, place) in &mut found.files {
            if let Some((_, kept)) = self.kept.get(&key.ino) {
                place.size = *kept;
            }
        }
        found
    }

    pub(super) fn measure(&mut self, truth: &mut Credits, mut meanwhile: Vec<Step>) {
        if !self.is_measuring {
            return;
        }
        let found = loop {
            let told = self.told().len();
            let found = self.walk(truth, &mut meanwhile);
            if self.told().len() == told {
                break found;
            }
        };
        let Measured { dues, files } = measure(&std::mem::take(&mut self.records), found);
        for due in dues {
            let sign = if due.entered { 1 } else { -1 };
            let mover = due.mover.ok().map(|mover| mover.tgid - 1);
            let (bytes, files) = (due.bytes.cast_signed(), due.files.cast_signed());
            add(
                &mut self.credits,
                mover,
                due.root,
                sign * bytes,
                sign * files,
            );
        }
        for (key, carried) in files.into_iter().filter(|(_, carried)| !carried.is_told) {
            match carried.figure {
                Some((root, size)) => self.keep(key.ino, root, size),
                None => drop(self.kept.remove(&key.ino)),
            }
        }
        self.is_measuring = false;
    }

    pub(super) fn does(&mut self, step: &Step, truth: &mut Credits) {
        let before = self.sizes();
        self.step(step);
        for (root, (now, then)) in (0..).zip(self.sizes().into_iter().zip(before)) {
            let (bytes, files) = (now.0 - then.0, now.1 - then.1);
            add(truth, Some(step.process), root, bytes, files);
        }
    }
}
