//! The ledger's maps of the fake.

use std::{
    collections::HashMap,
    fs::{File, read_dir},
    os::{
        fd::{AsRawFd as _, BorrowedFd},
        unix::fs::MetadataExt as _,
    },
};

use anyhow::Result;
use bytemuck::Zeroable as _;
use cache_ebpf::{
    Credit, CreditKey, Crossing, InodeKey, OPERATION_CREATE, OPERATION_RENAME, OPERATION_UNLINK,
    OPERATION_WRITE, Process, ProcessKey,
};

use super::{FakeKernel, OwnFiles, Root, State, acts::Act, own_process};
use crate::{
    kernel::{
        counters::Counters, hooks::Backend, ledger_maps::LedgerMaps, maps::nobody,
        session::Registered,
    },
    model::changes::Changes,
};

impl LedgerMaps for FakeKernel {
    fn register(&mut self, directory: BorrowedFd<'_>, index: u32) -> Result<Option<Registered>> {
        let file = File::from(directory.try_clone_to_owned()?);
        let found = file.metadata()?;
        if !found.is_dir() {
            return Ok(None);
        }
        let registered = Registered {
            key: key_of(&found),
            inode: found.ino(),
            superblock: found.dev(),
        };
        let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let is_own = path.ends_with("canary");
        let roots = &mut self.state.borrow_mut().roots;
        roots.retain(|_, root| root.registered.key != registered.key);
        let root = Root {
            registered,
            path,
            own: is_own.then(OwnFiles::new),
        };
        roots.insert(index, root);
        Ok(Some(registered))
    }

    fn seed_open(&mut self, _file: BorrowedFd<'_>, _opener: ProcessKey) -> Result<bool> {
        Ok(false)
    }

    fn sweep(&mut self) -> Result<()> {
        self.act(State::settle_all);
        Ok(())
    }

    fn credit(&mut self, process: ProcessKey, root: u32, changes: &Changes) -> Result<()> {
        let credit = Credit {
            growth: changes.growth_bytes.cast_unsigned(),
            freed: changes.growth_bytes.min(0).unsigned_abs(),
            created: changes.files_created,
            deleted: changes.files_deleted,
            changes: 1,
            ..Credit::zeroed()
        };
        self.state.borrow_mut().credit(process, root, &credit);
        Ok(())
    }

    fn drain(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> usize {
        // An error means that nobody was woken.
        rustix::io::read(&*self.file_bell, &mut [0; 8]).unwrap_or_default();
        let files = &mut self.state.borrow_mut().files;
        let count = limit.min(files.len());
        files.drain(..count).for_each(|record| each(&record));
        count
    }

    fn watch_superblock(&mut self, _superblock: u64) -> Result<()> {
        Ok(())
    }

    fn unregister(&mut self, root: &Registered) -> Result<()> {
        let roots = &mut self.state.borrow_mut().roots;
        roots.retain(|_, other| other.registered.key != root.key);
        Ok(())
    }

    fn keeps_sizes(&self) -> bool {
        self.backend == Backend::Tracepoint
    }

    fn crossings(&self) -> Result<u64> {
        Ok(self.state.borrow().crossed)
    }

    fn measured_crossings(&mut self, crossings: u64) -> Result<()> {
        self.state.borrow_mut().measured = crossings;
        Ok(())
    }

    fn open_root(&mut self, index: u32) -> Result<()> {
        let state = &mut *self.state.borrow_mut();
        state.totals.insert(index, Credit::zeroed());
        state.untold.insert(index, Credit::zeroed());
        state.accounts.insert(nobody(index), Credit::zeroed());
        Ok(())
    }

    fn enter_size(&mut self, key: InodeKey, root: u32, size: u64) -> Result<()> {
        let sizes = &mut self.state.borrow_mut().sizes;
        sizes.entry(key).or_insert((root, size));
        Ok(())
    }

    fn correct_size(&mut self, key: InodeKey, root: u32, size: u64) -> Result<()> {
        self.state.borrow_mut().sizes.insert(key, (root, size));
        Ok(())
    }

    fn retain_sizes(&mut self, root: u32, exists: impl Fn(&InodeKey) -> bool) -> Result<()> {
        let sizes = &mut self.state.borrow_mut().sizes;
        sizes.retain(|key, (of, _)| *of != root || exists(key));
        Ok(())
    }

    fn enter_links(&mut self, _: InodeKey, _: u32, _: u32, _: u32) -> Result<()> {
        Ok(())
    }

    fn locate(&mut self, _inode: u64, _number: u64, _generation: u32) -> Result<bool> {
        Ok(false)
    }

    fn open_sizes(&self) -> Result<HashMap<InodeKey, u64>> {
        let state = self.state.borrow();
        let open = state.open.iter();
        Ok(open.map(|(key, open)| (*key, open.known)).collect())
    }

    fn kept_size(&self, key: &InodeKey) -> Result<Option<u64>> {
        Ok(self.state.borrow().sizes.get(key).map(|(_, size)| *size))
    }

    fn carry_size(&mut self, key: InodeKey, to: Option<(u32, u64)>) -> Result<()> {
        let sizes = &mut self.state.borrow_mut().sizes;
        match to {
            Some((root, size)) => sizes.entry(key).or_insert((root, size)).0 = root,
            None => drop(sizes.remove(&key)),
        }
        Ok(())
    }

    fn forget_file(&mut self, key: &InodeKey) -> Result<()> {
        let state = &mut *self.state.borrow_mut();
        state.open.remove(key);
        state.sizes.remove(key);
        Ok(())
    }

    fn account(&self, key: &CreditKey) -> Result<Option<Credit>> {
        self.act(State::look_at_own_files);
        Ok(self.state.borrow().accounts.get(key).copied())
    }

    fn accounts(&self) -> Result<Vec<(CreditKey, Credit)>> {
        let state = self.state.borrow();
        Ok(state.accounts.iter().map(|(key, it)| (*key, *it)).collect())
    }

    fn close_account(&mut self, key: &CreditKey) -> Result<()> {
        self.state.borrow_mut().accounts.remove(key);
        Ok(())
    }

    fn processes(&self) -> Result<Vec<(ProcessKey, Process)>> {
        let state = self.state.borrow();
        let all = state.processes.iter();
        Ok(all.map(|(key, process)| (*key, *process)).collect())
    }

    fn process(&self, key: &ProcessKey) -> Result<Option<Process>> {
        Ok(self.state.borrow().processes.get(key).copied())
    }

    fn enter_process(&mut self, key: ProcessKey, process: Process) -> Result<()> {
        let processes = &mut self.state.borrow_mut().processes;
        processes.entry(key).or_insert(process);
        Ok(())
    }

    fn forget_process(&mut self, key: &ProcessKey) -> Result<()> {
        self.state.borrow_mut().processes.remove(key);
        Ok(())
    }

    fn total(&self, index: u32) -> Result<Credit> {
        self.act(State::look_at_own_files);
        Ok(self.state.borrow().totals[&index])
    }

    fn untold(&self, index: u32) -> Result<Credit> {
        Ok(self.state.borrow().untold[&index])
    }

    fn take_crossing(&mut self, index: u32) -> Result<Option<Crossing>> {
        Ok(self.state.borrow_mut().crossings.remove(&index))
    }

    fn has_crossing(&self, index: u32) -> Result<bool> {
        Ok(self.state.borrow().crossings.contains_key(&index))
    }

    fn counters(&self) -> Result<Counters> {
        Ok(self.state.borrow().counters)
    }

    fn open_files(&self, limit: usize) -> usize {
        self.state.borrow().open.len().min(limit)
    }

    fn observes(&self, operation: &str) -> bool {
        self.coverage.observes(operation)
    }
}

impl State {
    /// The self-test's files change by system calls of which nobody tells the fake: it compares.
    pub(super) fn look_at_own_files(&mut self) {
        let own = self.roots.iter().find(|(_, root)| root.own.is_some());
        let Some((&root, Root { path, .. })) = own else {
            return;
        };
        let mut now = OwnFiles::new();
        for entry in read_dir(path).into_iter().flatten().flatten() {
            let found = entry.metadata().unwrap();
            let file = now.entry(found.ino()).or_default();
            file.0.push(entry.file_name());
            file.1 = found.len();
        }
        let slot = &mut self.roots.get_mut(&root).unwrap().own;
        let before = slot.replace(now.clone()).unwrap();
        let act = |operation, ino, before, after| Act {
            operation,
            key: self.own_key(root, ino),
            root,
            process: own_process(),
            before,
            after,
        };
        let mut acts = Vec::new();
        for (ino, (names, size)) in &now {
            let (names_before, size_before) = before.get(ino).cloned().unwrap_or_else(|| {
                acts.push(act(OPERATION_CREATE, *ino, 0, 0));
                (names.clone(), 0)
            });
            if size_before != *size {
                acts.push(act(OPERATION_WRITE, *ino, size_before, *size));
            }
            if names_before != *names && names_before.len() == names.len() {
                acts.push(act(OPERATION_RENAME, *ino, *size, *size));
            }
        }
        let gone = before.iter().filter(|(ino, _)| !now.contains_key(ino));
        acts.extend(gone.map(|(ino, (_, size))| act(OPERATION_UNLINK, *ino, *size, 0)));
        let seen = acts
            .into_iter()
            .filter(|act| self.blind_to != Some(act.operation));
        for act in seen.collect::<Vec<_>>() {
            self.book(&act, b"", 0);
        }
    }

    fn own_key(&self, root: u32, ino: u64) -> InodeKey {
        InodeKey {
            ino,
            ..self.roots[&root].registered.key
        }
    }
}

/// The key of a file.
pub(super) fn key_of(found: &std::fs::Metadata) -> InodeKey {
    InodeKey {
        ino: found.ino(),
        dev: u32::try_from(found.dev()).unwrap(),
        pad: 0,
    }
}
