//! What processes of the fake do to files: it happens on the disk, and is booked as the hooks would.

use std::{
    fs,
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use bytemuck::Zeroable as _;
use cache_ebpf::{
    APPEARANCES, Credit, CreditKey, Crossing, DEPARTURES, Event, InodeKey, OPERATION_CREATE,
    OPERATION_DIRECTORY_ENTER, OPERATION_DIRECTORY_LEAVE, OPERATION_ENTER, OPERATION_LEAVE,
    OPERATION_RENAME, OPERATION_REPLACE, OPERATION_RESIZE, OPERATION_UNLINK, OPERATION_WRITE,
    ProcessKey, counter,
};
use nix::time::{ClockId, clock_gettime};

use super::{FakeKernel, Open, State, maps::key_of};

/// One ledger operation.
#[derive(Clone, Copy)]
pub(super) struct Act {
    pub(super) operation: u32,
    pub(super) key: InodeKey,
    pub(super) root: u32,
    pub(super) process: ProcessKey,
    pub(super) before: u64,
    pub(super) after: u64,
}

impl FakeKernel {
    /// A process opens a file for write; it is made if it is not there.
    pub(crate) fn open(&self, process: ProcessKey, path: &Path) {
        self.act(|state| state.open(process, path));
    }

    /// The file, which somebody has open, grows; no hook runs on a write.
    pub(crate) fn append(&self, path: &Path, bytes: usize) {
        let state = &mut *self.state.borrow_mut();
        let open = state.open.get_mut(&key(path)).unwrap();
        open.file.write_all(&vec![b'x'; bytes]).unwrap();
    }

    /// A process that has it open closes it.
    pub(crate) fn close(&self, process: ProcessKey, path: &Path) {
        self.act(|state| state.close(process, path));
    }

    /// All three.
    pub(crate) fn write(&self, process: ProcessKey, path: &Path, bytes: usize) {
        self.open(process, path);
        self.append(path, bytes);
        self.close(process, path);
    }

    /// A process sets the size of a file.
    pub(crate) fn resize(&self, process: ProcessKey, path: &Path, size: u64) {
        self.act(|state| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            let (root, key) = (state.root_of(path).unwrap(), key(path));
            let before = state.known_at(path, root);
            file.set_len(size).unwrap();
            state.keep(key, root, size);
            state.tell(OPERATION_RESIZE, process, (root, key, path), (before, size));
        });
    }

    /// A process removes a file.
    pub(crate) fn unlink(&self, process: ProcessKey, path: &Path) {
        self.act(|state| {
            state.leave(OPERATION_UNLINK, process, path);
            fs::remove_file(path).unwrap();
        });
    }

    /// A process renames a file, maybe over another one, maybe into another root or out of all.
    pub(crate) fn rename(&self, process: ProcessKey, from: &Path, to: &Path) {
        self.act(|state| {
            if to.exists() {
                state.leave(OPERATION_REPLACE, process, to);
            }
            let roots = (state.root_of(from), state.root_of(to));
            let size = roots.0.map(|root| state.known_at(from, root));
            let size = size.unwrap_or_else(|| fs::metadata(from).unwrap().len());
            if roots.0 != roots.1 {
                state.leave(OPERATION_LEAVE, process, from);
            }
            fs::rename(from, to).unwrap();
            let Some(root) = roots.1 else { return };
            let about = (root, key(to), to);
            if roots.0 == roots.1 {
                state.tell(OPERATION_RENAME, process, about, (size, size));
            } else {
                state.keep(about.1, root, size);
                state.tell(OPERATION_ENTER, process, about, (0, size));
            }
        });
    }

    /// A process moves a directory over the border of a root.
    pub(crate) fn move_directory(&self, process: ProcessKey, from: &Path, to: &Path) {
        self.act(|state| {
            let parent = fs::metadata(from.parent().unwrap()).unwrap().ino();
            fs::rename(from, to).unwrap();
            let key = key(to);
            if let Some(root) = state.root_of(from) {
                let path = below_file_system(to);
                state.cross(
                    OPERATION_DIRECTORY_LEAVE,
                    process,
                    (root, key, &path),
                    parent,
                );
            }
            if let Some(root) = state.root_of(to) {
                let path = to
                    .strip_prefix(&state.roots[&root].path)
                    .unwrap()
                    .to_owned();
                state.cross(
                    OPERATION_DIRECTORY_ENTER,
                    process,
                    (root, key, &path),
                    parent,
                );
            }
        });
    }

    /// Lets something happen, and wakes who sleeps.
    pub(super) fn act(&self, happen: impl FnOnce(&mut State)) {
        let state = &mut *self.state.borrow_mut();
        happen(state);
        if state.is_asleep && !state.files.is_empty() {
            state.is_asleep = false;
            rustix::io::write(&*self.file_bell, &1u64.to_ne_bytes()).unwrap();
        }
    }
}

/// Number of the root, the file, and where it is.
type About<'a> = (u32, InodeKey, &'a Path);

impl State {
    fn open(&mut self, process: ProcessKey, path: &Path) {
        let is_new = !path.exists();
        let mut how = fs::OpenOptions::new();
        let file = how.append(true).create(true).open(path).unwrap();
        let (root, key) = (self.root_of(path).unwrap(), key(path));
        let known = self.known_at(path, root);
        let entry = self.open.entry(key).or_insert_with(|| Open {
            file,
            root,
            openers: Vec::new(),
            known,
        });
        entry.openers.push(process);
        if is_new {
            self.tell(OPERATION_CREATE, process, (root, key, path), (0, 0));
        }
    }

    fn close(&mut self, process: ProcessKey, path: &Path) {
        let key = key(path);
        self.settle(key, Some(process), path);
        let open = self.open.get_mut(&key).unwrap();
        let at = open.openers.iter().position(|opener| *opener == process);
        open.openers.remove(at.unwrap());
        if open.openers.is_empty() {
            let Open { root, known, .. } = self.open.remove(&key).unwrap();
            self.sizes.insert(key, (root, known));
        }
    }

    /// Settles every file open for write.
    pub(super) fn settle_all(&mut self) {
        let open: Vec<InodeKey> = self.open.keys().copied().collect();
        for key in open {
            self.settle(key, None, Path::new(""));
        }
        self.look_at_own_files();
    }

    /// Credits what a file grew by to who settles, or to who opened it last.
    fn settle(&mut self, key: InodeKey, process: Option<ProcessKey>, path: &Path) {
        let open = self.open.get_mut(&key).unwrap();
        let size = open.file.metadata().unwrap().len();
        let (root, before) = (open.root, std::mem::replace(&mut open.known, size));
        let process = process.unwrap_or_else(|| *open.openers.last().unwrap());
        if size != before {
            self.tell(OPERATION_WRITE, process, (root, key, path), (before, size));
        }
    }

    /// A file leaves its root, if it is in one, by losing its name.
    fn leave(&mut self, operation: u32, process: ProcessKey, path: &Path) {
        let Some(root) = self.root_of(path) else {
            return;
        };
        let (key, known) = (key(path), self.known_at(path, root));
        self.open.remove(&key);
        self.sizes.remove(&key);
        self.tell(operation, process, (root, key, path), (known, 0));
    }

    fn cross(
        &mut self,
        operation: u32,
        process: ProcessKey,
        (root, key, path): About<'_>,
        parent: u64,
    ) {
        self.crossed += 1;
        let crossing = self.crossings.entry(root).or_insert(Crossing {
            mover: process,
            ..Crossing::zeroed()
        });
        crossing.count += 1;
        crossing.ambiguous |= u32::from(crossing.mover != process);
        let act = Act {
            operation,
            key,
            root,
            process,
            before: key.ino,
            after: key.ino,
        };
        self.report(&act, &names(path), parent);
    }

    fn tell(
        &mut self,
        operation: u32,
        process: ProcessKey,
        (root, key, path): About<'_>,
        (before, after): (u64, u64),
    ) {
        let below = path.strip_prefix(&self.roots[&root].path).unwrap_or(path);
        let parent = path.parent().and_then(|parent| fs::metadata(parent).ok());
        let act = Act {
            operation,
            key,
            root,
            process,
            before,
            after,
        };
        self.book(&act, &names(below), parent.map_or(0, |parent| parent.ino()));
    }

    /// Books an operation, and tells of it.
    pub(super) fn book(&mut self, act: &Act, names: &[u8], parent: u64) {
        self.credit(act.process, act.root, &credit_of(act));
        self.report(act, names, parent);
    }

    /// Adds to the total and to one account, whose owner becomes known by it.
    pub(super) fn credit(&mut self, process: ProcessKey, root: u32, credit: &Credit) {
        let key = CreditKey {
            process,
            root,
            pad: 0,
        };
        let accounts = &mut self.accounts;
        let account = accounts.entry(key).or_insert_with(Credit::zeroed);
        add(account, credit);
        add(self.totals.get_mut(&root).unwrap(), credit);
        if let Some(who) = self.started.get(&process) {
            self.processes.entry(process).or_insert(*who);
        }
    }

    fn report(&mut self, act: &Act, names: &[u8], parent: u64) {
        self.counters[counter::HITS as usize] += 1;
        if self.loses_events {
            self.counters[counter::DROPPED_RING_FULL as usize] += 1;
            add(self.untold.get_mut(&act.root).unwrap(), &credit_of(act));
            return;
        }
        self.counters[counter::DELIVERED as usize] += 1;
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
        let event = Event {
            time_ns: u64::try_from(std::time::Duration::from(now).as_nanos()).unwrap(),
            key: act.key,
            process: act.process,
            before: act.before,
            after: act.after,
            operation: act.operation,
            root: act.root,
            path_len: u32::try_from(names.len()).unwrap(),
            actor: act.process.tgid,
            parent,
            ..Event::zeroed()
        };
        self.files
            .push_back([bytemuck::bytes_of(&event), names].concat());
    }

    /// The innermost root that holds what is at a path.
    fn root_of(&self, path: &Path) -> Option<u32> {
        path.ancestors().skip(1).find_map(|directory| {
            let key = key_of(&fs::metadata(directory).ok()?);
            let mut roots = self.roots.iter();
            roots
                .find(|(_, root)| root.registered.key == key)
                .map(|(index, _)| *index)
        })
    }

    /// Size that is booked of a file of a root.
    pub(super) fn known(&self, key: &InodeKey, root: u32) -> Option<u64> {
        let open = self.open.get(key).map(|open| (open.root, open.known));
        let known = open.or_else(|| self.sizes.get(key).copied());
        known.filter(|(of, _)| *of == root).map(|(_, size)| size)
    }

    /// The same, or what the file has where the hooks saw nothing of it yet.
    fn known_at(&self, path: &Path, root: u32) -> u64 {
        let size = fs::metadata(path).unwrap().len();
        self.known(&key(path), root).unwrap_or(size)
    }

    fn keep(&mut self, key: InodeKey, root: u32, size: u64) {
        match self.open.get_mut(&key) {
            Some(open) => open.known = size,
            None => drop(self.sizes.insert(key, (root, size))),
        }
    }
}

fn key(path: &Path) -> InodeKey {
    key_of(&fs::metadata(path).unwrap())
}

/// Last component first, each ended by NUL.
fn names(path: &Path) -> Vec<u8> {
    let mut names = Vec::new();
    for component in path.components().rev() {
        names.extend_from_slice(component.as_os_str().as_bytes());
        names.push(0);
    }
    names
}

/// Where something is below the top of its file system, of which a mount may show a part only.
fn below_file_system(path: &Path) -> PathBuf {
    let device = fs::metadata(path).unwrap().dev();
    let mut points = path.ancestors().collect::<Vec<_>>();
    points.retain(|point| fs::metadata(point).unwrap().dev() == device);
    let point = points.last().unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let shown = mounts.lines().rev().find_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (shown, at) = (fields.next()?, fields.next()?);
        (Path::new(at) == *point).then_some(shown)
    });
    let below = Path::new(shown.unwrap()).join(path.strip_prefix(point).unwrap());
    below.strip_prefix("/").unwrap().to_owned()
}

/// What the kernel side credits for an operation.
fn credit_of(act: &Act) -> Credit {
    let count = |operations: &[u32]| u64::from(operations.contains(&act.operation));
    let growth = act.after.wrapping_sub(act.before);
    Credit {
        growth,
        freed: growth.cast_signed().min(0).unsigned_abs(),
        created: count(&APPEARANCES),
        deleted: count(&DEPARTURES),
        renamed: count(&[OPERATION_RENAME]),
        changes: 1,
        ..Credit::zeroed()
    }
}

fn add(account: &mut Credit, credit: &Credit) {
    account.growth = account.growth.wrapping_add(credit.growth);
    account.freed += credit.freed;
    account.created += credit.created;
    account.deleted += credit.deleted;
    account.renamed += credit.renamed;
    account.changes += credit.changes;
}
