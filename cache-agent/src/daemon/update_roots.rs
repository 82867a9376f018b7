//! Roots as they are named, found, taken up and let go.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{
    event_loop::EventLoop,
    last_sizes::Remembered,
    roots::{InitialContent, Root, State},
};
use crate::{
    kernel::kernel_side::KernelSide, model::printable::Shown, process::namespaces,
    sys::shortage::is_caused_by_shortage,
};

/// Between two looks for containers that are gone; longer than it takes to tell an invocation.
const CONTAINERS_INTERVAL: Duration = Duration::from_secs(10);

/// When to look for containers that are gone, while there are any.
#[derive(Debug, Default)]
pub(super) struct Containers {
    next_look: Option<Instant>,
}

impl Containers {
    /// When the next look is due, if any is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next_look
    }

    /// True when it is time to look; `has_any` tells whether there is something to look for.
    fn is_due(&mut self, now: Instant, has_any: bool) -> bool {
        let is_due = has_any && self.next_look.is_some_and(|next| now >= next);
        if !has_any {
            self.next_look = None;
        } else if is_due || self.next_look.is_none() {
            self.next_look = Some(now + CONTAINERS_INTERVAL);
        }
        is_due
    }
}

impl<K: KernelSide> EventLoop<K> {
    pub(super) fn apply(&mut self) {
        let gone = self.roots.apply(&self.config);
        for entry in gone {
            tracing::info!(root = entry.name, "no longer watching root");
            self.invocations.leave_root(entry.index());
            if let Some(index) = entry.index()
                && let Err(error) = self.ledger.unwatch(index)
            {
                tracing::error!(
                    root = entry.name,
                    error = format!("{error:#}"),
                    "cannot let a root go"
                );
            }
        }
        self.take_up();
    }

    /// Caches that go commands use become roots at once.
    pub(super) fn take_found(&mut self) -> Result<()> {
        let sighted = self.invocations.take_found();
        if !self.config.discovery.enabled {
            return Ok(());
        }
        if !sighted.is_empty() {
            // Another file system may be at the path of a root by now, even by the same numbers.
            self.root_watch.look();
            self.let_displaced_go()?;
        }
        let (ledger, config) = (&mut self.ledger, &self.config);
        let mut taken = 0;
        for (sighting, mut found) in sighted {
            let is_alone = self.invocations.is_alone(&sighting);
            for cache in &mut found {
                cache.is_new &= is_alone;
            }
            let is_new = found.iter().any(|found| found.is_new);
            let new = self.roots.take_found(ledger, &sighting, found, config);
            if is_new && new > 0 {
                self.invocations.expect(sighting.process);
            }
            taken += new;
        }
        if taken > 0 {
            self.has_news = true;
            self.follow_taken(taken);
        }
        Ok(())
    }

    fn let_displaced_go(&mut self) -> Result<()> {
        for at in self.roots.displaced(&self.ledger) {
            self.let_go(at)?;
        }
        Ok(())
    }

    fn take_up(&mut self) {
        let taken = self.roots.take_up(&mut self.ledger);
        self.follow_taken(taken);
    }

    /// What has been taken up is followed in every respect.
    fn follow_taken(&mut self, taken: usize) {
        if taken > 0
            && let Err(error) = self.ledger.seed_open_files()
        {
            let error = format!("{error:#}");
            tracing::error!(error, "files open before are not followed");
        }
        if taken > 0 {
            self.let_mounts_go();
        }
        self.recall();
        self.invocations.follow_roots(&self.ledger, &self.roots);
        self.root_watch.watch(self.roots.watch_points());
    }

    /// A user's file system is his to unmount: a root on it is held without a descriptor.
    fn let_mounts_go(&mut self) {
        let in_view = self.roots.all.iter().filter(|root| root.shown_by.is_none());
        for index in in_view.filter_map(Root::index) {
            if let Some(root) = self.ledger.root_mut(index) {
                root.let_mount_go(&mut self.root_watch.marks);
            }
        }
    }

    /// Tells those roots that have been taken up what the last run left.
    fn recall(&mut self) {
        for entry in &self.roots.all {
            let Some(root) = entry.index().and_then(|index| self.ledger.root_mut(index)) else {
                continue;
            };
            let is_new = root.base.is_none();
            let last_sizes = &mut self.last_sizes;
            let earlier = is_new.then(|| last_sizes.recall(&entry.path, root.key.ino));
            if let Some(earlier) = earlier.flatten() {
                root.recall(earlier.bytes, earlier.files);
            }
        }
    }

    /// What the next run may want to know.
    pub(super) fn note_sizes(&mut self) {
        let entries = self.roots.all.iter();
        let watched = entries.filter_map(|entry| {
            let root = self.ledger.root(entry.index()?)?;
            let total = self.ledger.total(root.index).ok()?;
            let (bytes, files) = root.for_the_next_run(&total)?;
            Some(Remembered {
                path: entry.path.clone(),
                inode: root.key.ino,
                bytes,
                files,
            })
        });
        self.last_sizes.note(watched.collect());
    }

    /// Lets go of roots that went, takes up those that came, starts the walks that are due.
    pub(super) fn update_roots(&mut self) -> Result<()> {
        self.root_watch.look();
        let now = Instant::now();
        if self.root_watch.has_changes() || self.roots.is_try_due(now) {
            self.has_news = true;
            self.let_displaced_go()?;
            self.root_watch.clear(now);
            self.take_up();
        }
        self.let_deserted_go(now)?;
        self.has_news |= self.watches_space();
        let lost = self.lost(now)?;
        for entry in &mut self.roots.all {
            let Some(index) = entry.index() else { continue };
            let crossed = self.ledger.has_crossing(index)?;
            if lost || crossed || now >= entry.next_walk {
                entry.next_walk = now + self.config.reconcile.walk_interval;
                match self.ledger.start_walk(index) {
                    Err(error) if is_caused_by_shortage(&error) => {
                        entry.walk_failed(now, &error);
                        self.roots.failures += 1;
                    }
                    started => started?,
                }
            }
        }
        Ok(())
    }

    /// Lets go of roots in containers that are gone.
    fn let_deserted_go(&mut self, now: Instant) -> Result<()> {
        if !self.containers.is_due(now, self.roots.has_out_of_view()) {
            return Ok(());
        }
        let Some(inhabited) = namespaces::inhabited() else {
            return Ok(());
        };
        for at in self.roots.deserted(&inhabited) {
            self.has_news = true;
            self.let_go(at)?;
        }
        Ok(())
    }

    fn let_go(&mut self, at: usize) -> Result<()> {
        let Some(index) = self.roots.all.get(at).and_then(Root::index) else {
            return Ok(());
        };
        self.process_totals
            .close_root(&mut self.ledger, &mut self.roots, index)?;
        self.ledger.unwatch(index)?;
        self.invocations.leave_root(Some(index));
        if let Some(entry) = self.roots.all.get_mut(at) {
            entry.state = State::Absent;
            // What came too late for its first walk is told as it is.
            let initial = std::mem::replace(&mut entry.initial_content, InitialContent::Base);
            if let InitialContent::Of(owner) = initial {
                self.invocations.fulfil(&owner);
            }
            entry.returns.lost(Instant::now());
            tracing::info!(root = entry.name, path = %Shown::path(&entry.path), "root is gone");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use rustix::io::Errno;

    use crate::{
        daemon::{
            testbed::{Testbed, group, root},
            trouble::Returns,
        },
        kernel::{fake::FakeKernel, hooks::Backend},
        model::root::RootState,
    };

    #[test]
    fn containers_are_looked_for_while_there_are_any() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut containers = Containers::default();
        assert!(!containers.is_due(start, false));
        assert_eq!(containers.due(), None);
        assert!(!containers.is_due(start, true));
        assert_eq!(containers.due(), Some(after(10)));
        assert!(!containers.is_due(after(9), true));
        assert!(containers.is_due(after(10), true));
        assert_eq!(containers.due(), Some(after(20)));
        assert!(!containers.is_due(after(30), false));
        assert_eq!(containers.due(), None);
    }

    #[test]
    fn a_root_that_went_keeps_its_accounts_by_its_name_and_its_next_directory_starts_anew() {
        let mut testbed = Testbed::new();
        let go = testbed.kernel.start("go build");
        testbed.kernel.write(go, &testbed.path("cache/a"), 100);
        testbed.look();
        fs::rename(testbed.path("cache"), testbed.path("aside")).unwrap();
        testbed.event_loop.update_roots().unwrap();
        let root = testbed.look().roots.remove(0);
        assert_eq!((root.state, root.size_bytes), (RootState::Absent, 0));
        assert_eq!(group(&root, "go-build").growth_bytes, 100);
        fs::create_dir(testbed.path("cache")).unwrap();
        fs::write(testbed.path("cache/new"), "12345").unwrap();
        testbed.event_loop.update_roots().unwrap();
        testbed.walk();
        testbed.kernel.write(go, &testbed.path("cache/b"), 1);
        // What happens to the directory that was moved away is nobody's business.
        fs::write(testbed.path("aside/c"), "123").unwrap();
        let root = testbed.look().roots.remove(0);
        assert_eq!((root.state, root.size_bytes), (RootState::Watched, 6));
        assert_eq!(group(&root, "go-build").growth_bytes, 101);
    }

    #[test]
    fn a_root_that_comes_and_goes_in_a_loop_is_left_alone_for_a_while() {
        let mut testbed = Testbed::new();
        for _ in 0..20 {
            fs::remove_dir_all(testbed.path("cache")).unwrap();
            testbed.event_loop.update_roots().unwrap();
            fs::create_dir(testbed.path("cache")).unwrap();
            testbed.event_loop.update_roots().unwrap();
        }
        let root = testbed.look().roots.remove(0);
        assert_eq!(root.state, RootState::Absent);
        assert!(root.trouble.unwrap().contains("too often"));
        let next_try = testbed.event_loop.roots.next_try.unwrap();
        assert!(next_try <= Instant::now() + Duration::from_mins(1));
        testbed.event_loop.roots.all[0].returns = Returns::default();
        testbed.event_loop.roots.next_try = Some(Instant::now());
        testbed.event_loop.update_roots().unwrap();
        testbed.walk();
        let root = testbed.look().roots.remove(0);
        assert_eq!((root.state, root.trouble), (RootState::Watched, None));
    }

    #[test]
    fn a_directory_that_went_under_its_walk_ends_its_root_and_nothing_else() {
        let mut testbed = Testbed::with(FakeKernel::new(Backend::Fentry), |config| {
            let top = config.roots[0].path.with_file_name("");
            fs::create_dir(top.join("other")).unwrap();
            config.roots.push(root(&top, "other"));
        });
        for root in &mut testbed.event_loop.roots.all {
            root.next_walk = Instant::now();
        }
        fs::remove_dir(testbed.path("cache")).unwrap();
        // What tells of it comes later than the walk's turn.
        let told = &mut testbed.event_loop.root_watch;
        told.look();
        told.clear(Instant::now());
        testbed.event_loop.update_roots().unwrap();
        testbed.walk();
        testbed.event_loop.update_roots().unwrap();
        let roots = testbed.look().roots;
        let states: Vec<RootState> = roots.iter().map(|root| root.state).collect();
        assert_eq!(states, [RootState::Absent, RootState::Watched]);
    }

    #[test]
    fn what_cannot_be_walked_keeps_its_figures_and_is_told() {
        let mut testbed = Testbed::new();
        let go = testbed.kernel.start("go build");
        testbed.kernel.write(go, &testbed.path("cache/a"), 100);
        testbed.look();
        let index = testbed.event_loop.roots.all[0].index().unwrap();
        testbed.event_loop.ledger.start_walk(index).unwrap();
        let root = testbed.event_loop.ledger.root_mut(index).unwrap();
        root.walk.as_mut().unwrap().fail(Errno::MFILE);
        assert!(testbed.event_loop.reconcile().unwrap());
        let snapshot = testbed.look();
        let root = &snapshot.roots[0];
        assert_eq!((root.state, root.size_bytes), (RootState::Watched, 100));
        assert!(
            root.trouble
                .as_ref()
                .unwrap()
                .starts_with("cannot be walked")
        );
        assert_eq!(snapshot.root_failures, 1);
        let next_walk = testbed.event_loop.roots.all[0].next_walk;
        assert!(next_walk <= Instant::now() + Duration::from_secs(1));
        testbed.walk_again();
        assert_eq!(testbed.look().roots[0].trouble, None);
    }

    #[test]
    fn a_directory_that_cannot_be_walked_at_first_holds_up_nobody() {
        let snapshot = Testbed::with(FakeKernel::new(Backend::Fentry), |config| {
            config.roots[0].path = "/proc/self".into();
        })
        .look();
        assert_eq!(snapshot.roots[0].state, RootState::Absent);
        assert!(snapshot.is_ready());
        let trouble = snapshot.roots[0].trouble.as_deref();
        let expected = "root /proc/self lies on proc, which holds no files of its own";
        assert_eq!((trouble, snapshot.root_failures), (Some(expected), 1));
    }

    #[test]
    fn what_changed_while_no_agent_watched_is_unattributed_drift_of_the_first_walk() {
        let mut testbed = Testbed::new();
        let go = testbed.kernel.start("go build");
        testbed.kernel.write(go, &testbed.path("cache/a"), 100);
        testbed.look();
        let event_loop = &mut testbed.event_loop;
        event_loop.last_sizes.write(event_loop.state.as_ref());
        let Testbed {
            event_loop, top, ..
        } = testbed;
        drop(event_loop);
        fs::write(top.path().join("cache/meanwhile"), "1234567").unwrap();
        let mut next = Testbed::beside(top, FakeKernel::new(Backend::Fentry), |_| {});
        let root = next.look().roots.remove(0);
        assert_eq!((root.size_bytes, root.drift_bytes), (107, -7));
        assert_eq!(group(&root, "unattributed").growth_bytes, 7);
    }

    #[test]
    fn a_root_is_walked_when_its_time_has_come_and_not_before() {
        let mut testbed = Testbed::new();
        let is_walking = |testbed: &Testbed| {
            let root = testbed.event_loop.ledger.root(0).unwrap();
            root.walk.is_some()
        };
        testbed.event_loop.update_roots().unwrap();
        assert!(!is_walking(&testbed));
        testbed.event_loop.roots.all[0].next_walk = Instant::now();
        testbed.event_loop.update_roots().unwrap();
        assert!(is_walking(&testbed));
        let next = testbed.event_loop.roots.all[0].next_walk;
        assert!(next > Instant::now() + testbed.event_loop.config.reconcile.walk_interval / 2);
    }

    #[test]
    fn a_directory_that_crossed_and_was_not_measured_is_walked_for_at_once() {
        let mut testbed = Testbed::new();
        fs::create_dir(testbed.path("d")).unwrap();
        fs::write(testbed.path("d/a"), "12345").unwrap();
        let mover = testbed.kernel.start("mv d");
        testbed.kernel.lose_events(true);
        let (from, to) = (testbed.path("d"), testbed.path("cache/d"));
        testbed.kernel.move_directory(mover, &from, &to);
        testbed.kernel.lose_events(false);
        testbed.event_loop.update_roots().unwrap();
        testbed.walk();
        assert_eq!(testbed.look().roots[0].size_bytes, 5);
    }
}
