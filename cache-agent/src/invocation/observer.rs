//! Invocations as they happen: steps of processes and facts of files in, records out.

use std::{
    collections::HashMap,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use cache_ebpf::{ProcessKey, ancestry::Lookup};

pub use super::cache_user::CacheUser;
use super::{
    cause,
    kinds::{self, Kinds},
    lookups::{Entries, Kind},
    tracker::Tracker,
};
use crate::{
    go::{
        action_id::{Id, Prefix},
        tools,
    },
    kernel::{
        file_events::Fact, kernel_side::FollowsProcesses, process_events::Step,
        process_maps::ProcessMaps,
    },
    ledger::{
        accounts::{Accounts, Sums},
        directory::{Directory, Opened},
    },
    model::{compiled::Past, invocation::Finished, process::Identity, root::RootKind},
    process::{
        caches_in_use::{CacheInUse, Sighting, is_born_since},
        inspector::Inspector,
        running_tools,
    },
    sys::{
        clock::boot_now_ns,
        file_id::FileId,
        openat::{Links, read_regular_file},
    },
};

/// Steps handed over per look, so that nothing else starves.
const DRAIN_LIMIT: usize = 16_384;
/// More than an entry has, and enough of an object to tell it by its look: indexes put names at their end.
const HEAD_BYTES: u64 = 256 * 1024;
/// Facts that may wait; of more, some may find their writers unknown.
const FACTS_MAX: usize = 65_536;
/// For what /proc has still to tell when all is over.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// A root, as far as names go.
#[derive(Debug)]
struct Place {
    path: String,
    kind: RootKind,
    /// Until it is let go; what was done there may be told later.
    directory: Option<Arc<Directory>>,
    identity: FileId,
    /// Since when, in nanoseconds since boot.
    since_ns: u64,
}

/// Follows invocations.
pub struct Observer<P: FollowsProcesses = ProcessMaps> {
    process_maps: P,
    tracker: Tracker,
    inspector: Inspector,
    places: Places,
    /// What files told, until the steps before it have been taken: a file's writer must be known.
    facts: Vec<Fact>,
    /// Look-ups that wait for the same.
    lookups: Vec<Lookup>,
}

#[derive(Debug, Default)]
struct Places {
    by_root: HashMap<u32, Place>,
    kinds: Kinds,
}

impl<P: FollowsProcesses> Observer<P> {
    /// Tells the kernel side which tools begin an invocation.
    pub fn start<'a>(process_maps: P, commands: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .context("cannot read the boot id")?;
        let mut observer = Self {
            process_maps,
            tracker: Tracker::new(boot_id.trim().to_owned()),
            inspector: Inspector::start().context("cannot look at processes: no thread")?,
            places: Places::default(),
            facts: Vec::new(),
            lookups: Vec::new(),
        };
        observer.follow_tools(commands)?;
        Ok(observer)
    }

    /// Files of this root get names from now on.
    pub fn watch(&mut self, index: u32, path: String, kind: RootKind, directory: Arc<Directory>) {
        let place = Place {
            path,
            kind,
            identity: directory.identity().unwrap_or_default(),
            directory: Some(directory),
            since_ns: boot_now_ns(),
        };
        self.places.by_root.insert(index, place);
    }

    /// Takes what the kernel side tells of processes, what /proc told, and the facts that came before: what
    /// led to them has been told by now.
    ///
    /// How many steps there were.
    pub fn look(&mut self) -> usize {
        let Self {
            process_maps,
            tracker,
            inspector,
            lookups,
            places,
            ..
        } = self;
        let mut steps = 0;
        process_maps.drain_lookups(|lookup| lookups.push(*lookup));
        loop {
            let taken = process_maps.drain(DRAIN_LIMIT, |record| {
                let question = Step::decode(record).and_then(|step| tracker.step(&step));
                if let Some(question) = question {
                    inspector.ask(question);
                }
            });
            steps += taken;
            if taken == 0 {
                break;
            }
        }
        for lookup in lookups.drain(..) {
            if let Some(action) = tracker.lookup(&lookup) {
                // Remembered: the entry may be gone when the invocation is over.
                places.kind(lookup.root, &action);
            }
        }
        for sighting in tracker.take_sightings() {
            inspector.look_for(sighting);
        }
        for (process, answer) in inspector.answers() {
            tracker.answer(&process, answer);
        }
        self.take_facts();
        steps
    }

    /// A file changed; taken in with the next look.
    pub fn fact(&mut self, fact: Fact) {
        if self.facts.len() >= FACTS_MAX {
            self.take_facts();
        }
        self.facts.push(fact);
    }

    fn take_facts(&mut self) {
        let places = &self.places;
        for fact in self.facts.drain(..) {
            if let Some(place) = places.by_root.get(&fact.event.root) {
                let read = |root, path: &[u8]| places.read(root, path);
                self.tracker.fact(&fact, place.kind, &read);
            }
        }
    }

    /// Takes what /proc has still to tell; comes after a last look.
    pub fn wait_for_answers(&mut self) {
        for (process, answer) in self.inspector.wait(LAST_ANSWERS) {
            self.tracker.answer(&process, answer);
        }
    }

    /// Says who they are of those accounts that the kernel side did not open.
    pub fn identify(&mut self, accounts: &mut Accounts) {
        for live in self.tracker.live() {
            if let Some(account) = accounts.processes.get_mut(&live.key) {
                live.complete_identity(&mut account.identity);
            }
        }
    }

    /// Ends everything: records of what descends from the traced command or changed a root. Comes after a last
    /// look.
    pub fn finish(&mut self, sums: &HashMap<ProcessKey, HashMap<u32, Sums>>) -> Vec<Finished> {
        self.wait_for_answers();
        let paths = self.places.paths();
        let nothing = HashMap::new();
        let mut all: Vec<Finished> = Vec::new();
        let mut known = self.tracker.take_all();
        let unknown = sums
            .keys()
            .filter(|key| !known.iter().any(|live| live.key == **key));
        let unknown: Vec<_> = unknown.map(|key| self.tracker.unknown(key)).collect();
        known.extend(unknown);
        for live in known {
            let own = sums.get(&live.key);
            if live.is_in_command && !live.is_untold() || own.is_some() {
                let finished = live.finish(own.unwrap_or(&nothing), &paths, &self.places);
                all.extend(finished);
            }
        }
        all.sort_by(|a, b| {
            (a.record.start_ms, &a.record.id).cmp(&(b.record.start_ms, &b.record.id))
        });
        all
    }

    /// Ends one invocation with these sums by root; `leader` is what an account tells of it.
    pub fn finish_one(
        &mut self,
        key: &ProcessKey,
        sums: &HashMap<u32, Sums>,
        leader: Option<&Identity>,
    ) -> Vec<Finished> {
        let live = self.tracker.take(key).unwrap_or_else(|| {
            let mut live = self.tracker.unknown(key);
            if let Some(leader) = leader {
                live.identify(leader);
            }
            live
        });
        let is_nothing = live.is_untold() && sums.is_empty();
        if is_nothing {
            return Vec::new();
        }
        live.finish(sums, &self.places.paths(), &self.places)
    }

    /// Follows every tool that ran before the hooks came, with all that descends from it, and asks /proc about
    /// them.
    pub fn follow_running(&mut self) -> Result<()> {
        for seed in running_tools::find() {
            let running_tools::Seed {
                process,
                invocation,
                parent,
                ..
            } = seed;
            self.process_maps.seed(process, invocation, parent)?;
            self.tracker.seed(&seed);
        }
        self.ask_about_all();
        Ok(())
    }

    /// From now on an exec of one of these names begins an invocation.
    pub fn follow_tools<'a>(&mut self, commands: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let tools = tools::TOOLS.into_iter().chain(commands);
        self.process_maps.follow_tools(tools, tools::GO_CHILDREN)
    }

    /// Readable when the ring of process events wants to be looked at.
    pub fn events_fd(&self) -> BorrowedFd<'_> {
        self.process_maps.events_fd()
    }

    fn ask_about_all(&mut self) {
        for live in self.tracker.live() {
            // Whose group is not known; the user's own mostly has his number.
            self.inspector.ask(live.question(live.record.uid, 0, true));
        }
    }

    /// Caches that go commands use, found since this was last asked.
    pub fn take_found(&mut self) -> Vec<(Sighting, Vec<CacheInUse>)> {
        self.inspector.take_found()
    }

    /// The go command that alone can have written to a cache so far, as its directory is no older. It may have
    /// ended if it is the one that named the cache.
    pub fn sole_writer(
        &self,
        kind: RootKind,
        path: &Path,
        named_by: Option<&Sighting>,
        directory: BorrowedFd<'_>,
    ) -> Option<ProcessKey> {
        let named_by = named_by.filter(|sighting| self.tracker.is_alone(sighting));
        let user = self.tracker.sole_user(kind, path);
        let user = user.or_else(|| named_by.cloned())?;
        is_born_since(directory, user.start_ms).then_some(user.process)
    }

    /// Descends from the traced command.
    pub fn is_in_command(&self, process: &ProcessKey) -> bool {
        let known = self.tracker.with_parent(process);
        known.is_some_and(|(live, _)| live.is_in_command)
    }

    /// Who uses a cache, for people.
    pub fn cache_user(&self, process: &ProcessKey) -> Option<CacheUser> {
        let (live, parent) = self.tracker.with_parent(process)?;
        Some(CacheUser::of(live, parent))
    }

    /// Readable once such caches were found.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.inspector.bell()
    }

    /// True where such caches wait.
    pub fn has_found(&self) -> bool {
        self.inspector.has_found()
    }

    /// Forks, execs and exits that were lost, processes that nobody followed or looked at.
    pub fn lost(&self) -> Result<u64> {
        Ok(self.process_maps.lost()? + self.tracker.untracked + self.inspector.unasked)
    }

    /// Invocations under way.
    pub fn tracker(&mut self) -> &mut Tracker {
        &mut self.tracker
    }

    /// True where files of this root get names.
    pub fn watches(&self, index: u32) -> bool {
        let place = self.places.by_root.get(&index);
        place.is_some_and(|place| place.directory.is_some())
    }

    /// This root is gone.
    pub fn unwatch(&mut self, index: u32) {
        self.take_facts();
        if let Some(place) = self.places.by_root.get_mut(&index) {
            place.directory = None;
        }
    }
}

impl Observer {
    /// Whatever `head` starts meanwhile is an invocation, by whatever name.
    pub fn with_head<T>(
        &mut self,
        head: ProcessKey,
        spawn: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.process_maps.enter_head(head)?;
        let spawned = spawn()?;
        self.process_maps.leave_head(head)?;
        Ok(spawned)
    }

    /// Gives each its causes, from what was before and from those before it.
    pub fn explain(finished: &mut [Finished], past: impl Fn(&Finished) -> Past) {
        let mut before: Vec<Finished> = Vec::new();
        for one in finished {
            let mut known = if cause::wants_past(one) {
                past(one)
            } else {
                Past::default()
            };
            for earlier in &before {
                known.add(earlier);
            }
            cause::explain(one, &known);
            before.push(one.clone());
        }
    }
}

impl Place {
    fn open(&self) -> Option<Opened<'_>> {
        self.directory.as_ref()?.open().ok()
    }
}

impl Places {
    fn paths(&self) -> HashMap<u32, String> {
        let places = self.by_root.iter();
        places
            .map(|(index, place)| (*index, place.path.clone()))
            .collect()
    }
}

impl Entries for Places {
    /// Device and inode of a root, or of the first one that builds can be kept in.
    fn identity(&self, root: Option<u32>) -> FileId {
        let builds = self
            .by_root
            .iter()
            .filter(|(_, place)| place.kind != RootKind::GoMod && place.directory.is_some());
        let root = root.or_else(|| builds.map(|(index, _)| *index).min());
        let place = root.and_then(|root| self.by_root.get(&root));
        place.map_or((0, 0), |place| place.identity)
    }

    /// Beginning of a file below a root; never of anything outside, or that is no plain file.
    fn read(&self, root: u32, path: &[u8]) -> Option<Vec<u8>> {
        let place = self.by_root.get(&root)?;
        read_regular_file(place.open()?, path, Links::Refused, HEAD_BYTES)
    }

    fn kind(&self, root: u32, action: &Id) -> Option<Kind> {
        let place = self.by_root.get(&root)?;
        self.kinds.of(place.open()?, action)
    }

    fn find(&self, root: u32, action: &Prefix) -> Option<(Id, Id)> {
        kinds::find(self.by_root.get(&root)?.open()?, action)
    }

    fn is_known_since(&self, root: u32, start_ns: u64, start_ms: i64) -> bool {
        self.by_root.get(&root).is_some_and(|place| {
            let is_new = || {
                let open = place.open();
                open.is_some_and(|open| is_born_since(open.as_fd(), start_ms))
            };
            place.since_ns <= start_ns || is_new()
        })
    }
}

#[cfg(test)]
mod tests;
