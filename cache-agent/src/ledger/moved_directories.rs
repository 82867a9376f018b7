//! Directories that crossed a root's border: found, walked, measured, credited to whoever moved them.

use std::{
    collections::HashSet,
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::Path,
    thread::sleep,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::Result;
use cache_ebpf::InodeKey;
use rustix::fs::fstat;

use super::{
    Ledger,
    measure::{Due, Found, Measured, Place, Record, measure},
    sequence::Destination,
    walk::Walk,
};
use crate::{
    kernel::{file_events::Fact, ledger_maps::LedgerMaps, maps},
    model::changes::Changes,
    sys::openat::{self, Links},
};

/// A file has, or has lost, its name a moment before the hook of the call tells of it: so long may its process be
/// kept from running.
const TELLING: Duration = Duration::from_millis(50);

/// Directories that go on moving wait for the next time.
const MEASURE_ROUNDS: usize = 8;

/// True where a walk may have met, or missed, files of which nothing has been told yet.
fn changes_still(walk: &Walk) -> bool {
    let changed = UNIX_EPOCH + Duration::from_secs(walk.last_change_s.unsigned_abs());
    // A change that lies ahead is one of a clock that was set back: as fresh as can be.
    changed
        .elapsed()
        .map_or(true, |since| since <= Duration::from_secs(2))
}

/// True for a directory that one of the walks met on its way down.
fn is_met(walks: &[(u32, Walk)], key: &InodeKey) -> bool {
    let of_device = walks.iter().filter(|(dev, _)| *dev == key.dev);
    let mut above = of_device.filter_map(|(_, walk)| walk.directories.get(&key.ino));
    above.any(|parent| *parent != 0)
}

impl<M: LedgerMaps> Ledger<M> {
    /// Measures the directories that crossed since the last time, and those that cross meanwhile.
    pub fn measure(&mut self, mut each: impl FnMut(Fact)) -> Result<()> {
        for _ in 0..MEASURE_ROUNDS {
            if !self.sequence.is_waiting() {
                break;
            }
            self.measure_told(&mut each)?;
        }
        Ok(())
    }

    /// One attempt: void if directories were moved under it.
    fn measure_told(&mut self, each: &mut impl FnMut(Fact)) -> Result<()> {
        // Files that are open where a directory took them are told of now.
        self.sweep()?;
        let crossings = self.maps.crossings()?;
        // Those counted have been told by now.
        self.drain_all(each);
        let told = self.sequence.told();
        let walks = self.walk_concerned(each)?;
        if walks.iter().any(|(_, walk)| changes_still(walk)) {
            sleep(TELLING);
        }
        // Before the last look at the ring: of what changes later an event tells.
        let found = self.found(&walks)?;
        self.drain_all(each);
        let concerned = self.concerned(&walks);
        if self.sequence.has_moved_since(told, &concerned) {
            return Ok(());
        }
        let sequence = &self.sequence;
        let is_known = |key: &InodeKey| {
            found.directories.contains_key(key) || sequence.destination(key).is_none()
        };
        let known: HashSet<InodeKey> = sequence.crossed().filter(is_known).collect();
        let records = self.sequence.take();
        self.maps.measured_crossings(crossings)?;
        match records {
            Some(records) => self.settle_sequence(&records, found, &known),
            None => Ok(()),
        }
    }

    fn concerned(&self, walks: &[(u32, Walk)]) -> HashSet<InodeKey> {
        self.sequence.concerned(|key| is_met(walks, key))
    }

    /// Walks the directories that crossed, and those moved that were in one of them; what is inside others is found
    /// with them.
    fn walk_concerned(&mut self, each: &mut impl FnMut(Fact)) -> Result<Vec<(u32, Walk)>> {
        let mut walks = Vec::new();
        let mut tried = HashSet::new();
        loop {
            let concerned = self.concerned(&walks).into_iter();
            let new: Vec<InodeKey> = concerned.filter(|key| tried.insert(*key)).collect();
            if new.is_empty() {
                return Ok(walks);
            }
            // Where they are now: those above them may have been renamed.
            for key in &new {
                if let Some(Destination {
                    inode, generation, ..
                }) = self.sequence.destination(key)
                {
                    self.maps.locate(*inode, key.ino, *generation)?;
                }
            }
            self.drain_all(each);
            for key in new {
                if !is_met(&walks, &key)
                    && let Some(walk) = self.walk_one(&key)
                {
                    walks.push((key.dev, walk));
                }
            }
        }
    }

    fn walk_one(&self, key: &InodeKey) -> Option<Walk> {
        let directory = self.open_moved(key, self.sequence.destination(key)?)?;
        let roots = self.roots().filter(|root| root.key.dev == key.dev);
        let inner = roots.map(|root| root.key.ino).collect();
        Walk::of(&directory, &inner).ok()
    }

    fn open_moved(&self, key: &InodeKey, destination: &Destination) -> Option<OwnedFd> {
        let path = Path::new(OsStr::from_bytes(&destination.path));
        let mut roots = self.roots().filter(|root| root.key.dev == key.dev);
        let (beside, found) = if let Some(index) = destination.root {
            let root = self.root(index)?;
            (
                root,
                openat::directory(root.directory().open().ok()?, path, Links::Refused)?,
            )
        } else {
            let root = roots.next()?;
            let found = openat::open_in_mounts(path, root.directory().open().ok()?, key.ino)?;
            (root, found)
        };
        let (device, _) = beside.directory().identity()?;
        let stat = fstat(&found).ok()?;
        // A subvolume of btrfs is on another device, and no part of the root.
        (stat.st_ino == key.ino && stat.st_dev == device).then_some(found)
    }

    /// What the walks found, with the sizes that the kernel side has.
    fn found(&self, walks: &[(u32, Walk)]) -> Result<Found> {
        let tables = &self.maps;
        let open = tables.open_sizes()?;
        let mut found = Found::default();
        for (dev, walk) in walks {
            let key = |ino| InodeKey {
                ino,
                dev: *dev,
                pad: 0,
            };
            for file in &walk.files {
                let key = key(file.ino);
                let known = match open.get(&key) {
                    Some(known) => Some(*known),
                    None => tables.kept_size(&key)?,
                };
                let place = Place {
                    directory: file.directory,
                    size: known.unwrap_or(file.size),
                };
                found.files.insert(key, place);
            }
            for (ino, parent) in &walk.directories {
                let above = found.directories.entry(key(*ino)).or_default();
                *above = (*above).max(*parent);
            }
        }
        Ok(found)
    }

    fn settle_sequence(
        &mut self,
        records: &[Record],
        found: Found,
        known: &HashSet<InodeKey>,
    ) -> Result<()> {
        for record in records {
            if let Record::Crossing(crossing) = record
                && known.contains(&crossing.key)
                && let Some(root) = self.root_mut(crossing.root)
            {
                root.measured += 1;
            }
        }
        let Measured { dues, files } = measure(records, found);
        for due in &dues {
            self.settle_due(due)?;
        }
        for (key, carried) in files {
            if !carried.is_told {
                self.maps.carry_size(key, carried.figure)?;
            }
            for root in self.roots.iter_mut().flatten() {
                let size = carried.figure.filter(|(index, _)| *index == root.index);
                // What is in the root and has been told of is in the recorder.
                if let Some(walk) = &mut root.walk
                    && (size.is_none() || !carried.is_told)
                {
                    walk.recorder.insert(key, size.map(|(_, size)| size));
                }
            }
        }
        Ok(())
    }

    fn settle_due(&mut self, due: &Due) -> Result<()> {
        let (bytes, files) = (due.bytes.cast_signed(), due.files);
        let changes = if due.entered {
            Changes {
                growth_bytes: bytes,
                files_created: files,
                ..Changes::default()
            }
        } else {
            Changes {
                growth_bytes: bytes.wrapping_neg(),
                freed_bytes: due.bytes,
                files_deleted: files,
                ..Changes::default()
            }
        };
        let nobody = maps::nobody(due.root).process;
        self.maps
            .credit(due.mover.unwrap_or(nobody), due.root, &changes)?;
        if let Some(root) = self.root_mut(due.root) {
            root.reported.add(&changes);
            if let Err(movers) = due.mover {
                root.ambiguous.growth_bytes += changes.growth_bytes;
                root.ambiguous.movers = root.ambiguous.movers.max(movers);
            }
        }
        Ok(())
    }
}
