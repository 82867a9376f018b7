//! Reconciles the ledger with the disk, once a walk has finished.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::Result;
use cache_ebpf::{InodeKey, ProcessKey};
use rustix::io::Errno;

use super::{
    DRAIN_LIMIT, Ledger,
    merge::cut,
    root::{Base, FinishedWalk, LeftOut, WatchedRoot},
};
use crate::{
    kernel::{file_events::Fact, ledger_maps::LedgerMaps},
    model::changes::{Changes, changes, difference},
    sys::shortage::is_caused_by_shortage,
};

/// Longer than the kernel side takes from a change to its event, as long as it runs.
const QUIET_PAUSE: Duration = Duration::from_millis(2);
/// Times a walk is repeated when events were lost under it.
const WALK_REPEATS: u32 = 3;

/// A walk under which events were lost, once too often: files that changed under it have a size of some moment
/// or other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unsure {
    /// It decides nothing: the base stays. There will be other walks.
    Leave,
    /// It is better than nothing.
    Take,
}

/// What becomes of a finished walk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Sure,
    Unsure,
    /// Another walk has been started, or will be.
    Void,
}

/// What a walk found out.
#[derive(Clone, Copy, Debug)]
pub struct Reconciliation {
    /// Number of the root.
    pub index: u32,
    /// Ledger minus disk, in bytes, before any correction; at the first walk 0, or since an earlier run.
    pub drift_bytes: i64,
    /// Disk and kernel total at the moment of comparison.
    pub base: Base,
    /// The drift is what happened since an earlier run, while no agent watched.
    pub is_since_last_run: bool,
    /// Change found by the walk that a directory moved over the border explains, and who moved it.
    pub moved: Option<(ProcessKey, Changes)>,
}

/// What became of the walks that have finished.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// What they found out.
    pub done: Vec<Reconciliation>,
    /// Numbers of the roots that could not be, and why: they keep their figures, and want another walk.
    pub failed: Vec<(u32, anyhow::Error)>,
}

impl<M: LedgerMaps> Ledger<M> {
    /// Reconciles every root whose walk has finished.
    pub fn reconcile(&mut self, unsure: Unsure, mut each: impl FnMut(Fact)) -> Result<Reconciled> {
        self.take_walks(Duration::ZERO);
        let mut reconciled = Reconciled::default();
        let walking: Vec<u32> = self
            .roots()
            .filter(|root| root.walk.is_some())
            .map(|root| root.index)
            .collect();
        for index in walking {
            match self.reconcile_root(index, unsure, &mut each) {
                Ok(Ok(found)) => reconciled.done.extend(found),
                Ok(Err(error)) => reconciled.failed.push((index, error.into())),
                Err(error) if is_caused_by_shortage(&error) => {
                    reconciled.failed.push((index, error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(reconciled)
    }

    /// The inner error is the walk's own, the outer one that of a map.
    fn reconcile_root(
        &mut self,
        index: u32,
        unsure: Unsure,
        each: &mut impl FnMut(Fact),
    ) -> Result<Result<Option<Reconciliation>, Errno>> {
        if !self.root(index).is_some_and(WatchedRoot::walk_finished) {
            return Ok(Ok(None));
        }
        self.sweep()?;
        std::thread::sleep(QUIET_PAUSE);
        self.drain_all(each);
        self.measure(&mut *each)?;
        // The recorder stops with the walk: everything the kernel side has told by now is in it, and no more.
        let total = self.reported_total(index)?;
        let crossing = self.maps.take_crossing(index)?;
        let measured = self
            .root_mut(index)
            .map_or(0, |root| std::mem::take(&mut root.measured));
        let mut finished = match self.root_mut(index).and_then(WatchedRoot::finish_walk) {
            None => return Ok(Ok(None)),
            Some(Err(error)) => return Ok(Err(error)),
            Some(Ok(finished)) => finished,
        };
        if !self.maps.observes("rename") {
            finished.forget_departed();
        }
        let verdict = self.judge(index, unsure, &finished)?;
        if verdict == Verdict::Void {
            return Ok(Ok(None));
        }
        let mover = crossing
            .filter(|crossing| crossing.count > measured && crossing.ambiguous == 0)
            .map(|crossing| crossing.mover);
        let is_sure = verdict == Verdict::Sure;
        self.compare(index, &finished, total, mover, is_sure)
            .map(Ok)
    }

    /// The comparison itself; what a known mover explains is no drift, and a drift is believed when a second walk finds
    /// one too.
    fn compare(
        &mut self,
        index: u32,
        finished: &FinishedWalk,
        total: Changes,
        mover: Option<ProcessKey>,
        is_sure: bool,
    ) -> Result<Option<Reconciliation>> {
        let Some(root) = self.root_mut(index) else {
            return Ok(None);
        };
        let base = cut(&finished.walk, root.key.dev, &finished.recorder, total);
        let known = root.base.filter(|_| !root.is_base_unsure);
        let recalled = root.recalled.take_if(|_| is_sure && known.is_none());
        let (before, is_since_last_run) = (known.or(recalled), recalled.is_some());
        let missed = missed(before.as_ref(), &base, &total);
        // Who moves a directory now did not cause what happened while no agent watched.
        let mover = mover.filter(|_| !is_since_last_run);
        let drift_bytes = if mover.is_some() {
            0
        } else {
            missed.growth_bytes.wrapping_neg()
        };
        let is_doubtful = drift_bytes != 0 && known.is_some() && is_sure;
        root.is_doubted = is_doubtful && !root.is_doubted;
        if root.is_doubted {
            // A writer may be kept from running for longer than the pause, between its change and its event.
            self.start_walk(index)?;
            return Ok(None);
        }
        root.corrected.add(&missed);
        root.drift_bytes = drift_bytes;
        let is_first = root.base.replace(base).is_none();
        root.is_base_unsure = !is_sure;
        root.walk_duration = finished.duration;
        root.left_out = LeftOut {
            unreadable: finished.walk.unreadable,
            too_deep: finished.walk.too_deep,
        };
        if is_first || before.is_none() || missed != Changes::default() {
            self.remember(index, finished, is_first)?;
        }
        Ok(Some(Reconciliation {
            index,
            drift_bytes,
            base,
            moved: mover.map(|mover| (mover, missed)),
            is_since_last_run,
        }))
    }

    /// A walk under which events were lost is repeated; no correction rests on one.
    fn judge(&mut self, index: u32, unsure: Unsure, finished: &FinishedWalk) -> Result<Verdict> {
        let lost = self.dropped()? != finished.dropped_before;
        let Some(root) = self.root_mut(index) else {
            return Ok(Verdict::Void);
        };
        if !lost {
            root.repeated = 0;
            return Ok(Verdict::Sure);
        }
        if root.repeated < WALK_REPEATS {
            root.repeated += 1;
            self.start_walk(index)?;
            return Ok(Verdict::Void);
        }
        root.repeated = 0;
        let has_base = root.base.is_some();
        Ok(if has_base && unsure == Unsure::Leave {
            Verdict::Void
        } else {
            Verdict::Unsure
        })
    }

    pub(super) fn drain_all(&mut self, each: &mut impl FnMut(Fact)) {
        while self.drain(&mut *each) == DRAIN_LIMIT {}
    }

    /// The root's total as the events told it, which is what the recorder agrees with, and the kernel side's
    /// own account of those that were lost before.
    fn reported_total(&self, index: u32) -> Result<Changes> {
        let mut total = changes(&self.maps.untold(index)?);
        if let Some(root) = self.root(index) {
            total.add(&root.reported);
        }
        Ok(total)
    }

    /// Tells the kernel side the sizes a walk found.
    fn remember(&mut self, index: u32, finished: &FinishedWalk, is_first: bool) -> Result<()> {
        let Some(dev) = self.root(index).map(|root| root.key.dev) else {
            return Ok(());
        };
        let key = |ino| InodeKey { ino, dev, pad: 0 };
        let tables = &mut self.maps;
        for file in finished
            .walk
            .files
            .iter()
            .filter(|file| !finished.recorder.contains_key(&key(file.ino)))
        {
            if is_first {
                tables.enter_size(key(file.ino), index, file.size)?;
            } else {
                tables.correct_size(key(file.ino), index, file.size)?;
            }
        }
        for (ino, links) in &finished.walk.links {
            tables.enter_links(key(*ino), index, links.inside, links.nlink)?;
        }
        if !is_first {
            let found: HashSet<u64> = finished.walk.files.iter().map(|file| file.ino).collect();
            tables.retain_sizes(index, |key| {
                found.contains(&key.ino) || finished.recorder.contains_key(key)
            })?;
        }
        Ok(())
    }

    /// Walks until every root has been reconciled, or cannot be.
    pub fn wait_for_walks(&mut self, mut each: impl FnMut(Fact)) -> Result<Reconciled> {
        let mut all = Reconciled::default();
        let started = Instant::now();
        while self.roots().any(|root| root.walk.is_some()) {
            self.drain(&mut each);
            self.measure(&mut each)?;
            let reconciled = self.reconcile(Unsure::Take, &mut each)?;
            all.done.extend(reconciled.done);
            all.failed.extend(reconciled.failed);
            let pause = if started.elapsed() < Duration::from_millis(100) {
                1
            } else {
                10
            };
            self.take_walks(Duration::from_millis(pause));
        }
        Ok(all)
    }

    /// Takes the ledger's own figures for a base where there is no walk to have them from; nothing of a directory
    /// that is gone. True where there was no base.
    pub fn take_figures(&mut self, index: u32) -> Result<bool> {
        let total = self.total(index)?;
        let Some(root) = self.root_mut(index) else {
            return Ok(false);
        };
        let mut base = own_figures(root, total);
        if !root.exists() {
            (base.bytes, base.files) = (0, 0);
        }
        Ok(root.base.replace(base).is_none())
    }

    /// The same as a walk would tell it.
    pub fn figures(&self, index: u32) -> Result<Option<Reconciliation>> {
        let total = self.total(index)?;
        let Some(root) = self.root(index) else {
            return Ok(None);
        };
        Ok(Some(Reconciliation {
            index,
            drift_bytes: 0,
            base: own_figures(root, total),
            moved: None,
            is_since_last_run: false,
        }))
    }
}

fn own_figures(root: &WatchedRoot, total: Changes) -> Base {
    Base {
        bytes: root.size(&total),
        files: root.files(&total),
        disk_bytes: 0,
        total,
    }
}

/// What happened on disk beyond what the ledger counted since the last base; nothing at the first walk.
fn missed(before: Option<&Base>, base: &Base, total: &Changes) -> Changes {
    let Some(before) = before else {
        return Changes::default();
    };
    let counted = difference(total, &before.total);
    let signed = |value: u64| value.cast_signed();
    let growth = signed(base.bytes) - signed(before.bytes) - counted.growth_bytes;
    let files = signed(base.files)
        - signed(before.files)
        - (signed(counted.files_created) - signed(counted.files_deleted));
    Changes {
        growth_bytes: growth,
        freed_bytes: growth.min(0).unsigned_abs(),
        files_created: files.max(0).unsigned_abs(),
        files_deleted: files.min(0).unsigned_abs(),
        files_renamed: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(bytes: u64, files: u64, total: Changes) -> Base {
        Base {
            bytes,
            files,
            disk_bytes: 0,
            total,
        }
    }

    fn total(growth_bytes: i64, files_created: u64, files_deleted: u64) -> Changes {
        Changes {
            growth_bytes,
            files_created,
            files_deleted,
            ..Changes::default()
        }
    }

    #[test]
    fn what_the_ledger_did_not_count_is_missed() {
        let before = base(100, 10, total(7, 1, 0));
        for (bytes, files, counted, expected) in [
            // Counted in full.
            (150, 11, total(57, 2, 0), Changes::default()),
            // Grew unseen, by a file.
            (
                160,
                12,
                total(57, 2, 0),
                Changes {
                    growth_bytes: 10,
                    files_created: 1,
                    ..Changes::default()
                },
            ),
            // Shrank unseen, by two files.
            (
                120,
                9,
                total(57, 2, 0),
                Changes {
                    growth_bytes: -30,
                    freed_bytes: 30,
                    files_deleted: 2,
                    ..Changes::default()
                },
            ),
            // More went than came.
            (40, 8, total(-53, 2, 3), Changes::default()),
        ] {
            let now = base(bytes, files, counted);
            assert_eq!(missed(Some(&before), &now, &counted), expected, "{bytes}");
        }
    }

    #[test]
    fn the_first_walk_misses_nothing() {
        let now = base(100, 10, Changes::default());
        assert_eq!(missed(None, &now, &total(5, 1, 0)), Changes::default());
    }
}
