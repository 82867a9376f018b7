//! Invocations under way: begun by the exec of a tool, grown by what its descendants do, ended by its exit.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use cache_ebpf::{
    OPERATION_UNLINK, ProcessKey,
    ancestry::{Lookup, SEED_UNIT_NS},
};

use super::{
    lookups::ENTRIES_MAX,
    package::{Growth, Read, of_child},
    running::{Live, Program},
};
use crate::{
    go::{
        action_id::{self, Id, Name},
        tools, variables,
    },
    kernel::{
        file_events::Fact,
        process_events::{Kind, Step},
    },
    model::{process::Identity, root::RootKind},
    process::{
        caches_in_use::Sighting,
        inspector::{Answer, Question},
        running_tools::Seed,
    },
};

/// Processes remembered; of more, only the kernel side knows where they belong.
const MEMBERS_MAX: usize = 131_072;
/// Invocations under way at the same time.
const LIVE_MAX: usize = 8_192;

/// Sightings of caches that wait to be looked at; of more, the next command tells again.
const SIGHTINGS_MAX: usize = 256;

/// A process that descends from a tool.
#[derive(Clone, Debug)]
struct Member {
    invocation: ProcessKey,
    /// Name of the program it runs.
    tool: String,
}

/// All invocations under way.
#[derive(Debug)]
pub struct Tracker {
    boot_id: String,
    /// Keys of seeds by number; the kernel side knows their starts better.
    seeds: HashMap<u32, ProcessKey>,
    members: HashMap<ProcessKey, Member>,
    live: HashMap<ProcessKey, Live>,
    sightings: Vec<Sighting>,
    /// Entries of build caches remembered, of all together.
    entries: usize,
    /// Invocations and processes that found no room.
    pub untracked: u64,
}

impl Tracker {
    /// Knows nobody yet.
    pub fn new(boot_id: String) -> Self {
        Self {
            boot_id,
            seeds: HashMap::new(),
            members: HashMap::new(),
            live: HashMap::new(),
            sightings: Vec::new(),
            entries: 0,
            untracked: 0,
        }
    }

    /// Unique on this host, for ever.
    pub fn id(&self, process: &ProcessKey) -> String {
        format!("{}-{}-{}", self.boot_id, process.tgid, process.start_ns)
    }

    /// Follows a process that was there before.
    pub fn seed(&mut self, seed: &Seed) {
        let Seed {
            process,
            invocation,
            parent,
            comm,
            argv,
            uid,
        } = seed;
        self.seeds.insert(process.tgid, *process);
        let tool = tools::name(comm, argv);
        let member = Member {
            invocation: *invocation,
            tool,
        };
        self.members.insert(*process, member);
        let id = self.id(invocation);
        let parent_id = (parent.tgid != 0).then(|| self.id(parent));
        let live = self
            .live
            .entry(*invocation)
            .or_insert_with(|| Live::new(*invocation, id, None));
        live.is_seeded = true;
        live.join(*process);
        if invocation == process {
            live.record.parent = parent_id;
            live.identify(&Identity {
                comm: comm.clone(),
                argv: argv.clone().into(),
                uid: *uid,
                invocation: Some(*invocation),
                ..Identity::default()
            });
        }
    }

    /// The key under which a process is known.
    fn known(&self, process: ProcessKey) -> ProcessKey {
        match self.seeds.get(&process.tgid) {
            Some(seed) if seed.start_ns / SEED_UNIT_NS == process.start_ns / SEED_UNIT_NS => *seed,
            _ => process,
        }
    }

    /// Takes a step; what to ask of the process, if it began an invocation.
    pub fn step(&mut self, step: &Step<'_>) -> Option<Question> {
        let mut step = *step;
        step.event.process = self.known(step.event.process);
        let step = &step;
        match step.kind {
            Kind::Fork => {
                self.enter(step);
                None
            }
            Kind::Exec if step.event.process == step.event.invocation => self.begin(step),
            Kind::Exec => {
                self.enter(step);
                self.child(step);
                None
            }
            Kind::Exit => {
                self.exit(step);
                None
            }
        }
    }

    /// The process runs this program for this invocation from now on.
    fn enter(&mut self, step: &Step<'_>) {
        let (process, invocation) = (step.event.process, step.event.invocation);
        if self.members.len() >= MEMBERS_MAX && !self.members.contains_key(&process) {
            self.untracked += 1;
            return;
        }
        let tool = tools::name(&step.comm(), &step.argv());
        let before = self.members.insert(process, Member { invocation, tool });
        if before.as_ref().map(|member| member.invocation) == Some(invocation) {
            return;
        }
        if let Some(left) = before.and_then(|member| self.live.get_mut(&member.invocation)) {
            left.leave(&process);
        }
        if let Some(live) = self.live.get_mut(&invocation) {
            live.join(process);
        }
    }

    fn begin(&mut self, step: &Step<'_>) -> Option<Question> {
        let process = step.event.process;
        if self.live.len() >= LIVE_MAX && !self.live.contains_key(&process) {
            self.untracked += 1;
            return None;
        }
        let id = self.id(&process);
        let parent_id = self.parent(step);
        let live = self
            .live
            .entry(process)
            .or_insert_with(|| Live::new(process, id, parent_id));
        live.execute(step);
        let question = live.question(step.event.gid, step.event.ppid, step.is_environment_cut());
        let named = live.named();
        self.sighted(named);
        self.enter(step);
        Some(question)
    }

    /// What an invocation was started from; a script in place of go leaves its own place to the go that it runs.
    fn parent(&mut self, step: &Step<'_>) -> Option<String> {
        let parent = step.event.parent;
        let above = self
            .live
            .get_mut(&parent)
            .filter(|live| live.program != Program::Tool);
        if let Some(script) = above
            && tools::name(&step.comm(), &step.argv()) == "go"
        {
            script.program = Program::Replaced;
            return script.record.parent.clone();
        }
        (parent.tgid != 0).then(|| self.id(&parent))
    }

    /// A descendant executes a program; those of go tell what they build.
    fn child(&mut self, step: &Step<'_>) {
        let Some(live) = self.live.get_mut(&step.event.invocation) else {
            return;
        };
        let comm = step.comm();
        if !tools::GO_CHILDREN.contains(&comm.as_str()) {
            return;
        }
        let environment = variables::allowed(step.environment);
        let built = of_child(&comm, &step.argv(), &environment, live.is_trimmed());
        if let Some(built) = built {
            live.built(step.event.process, built);
        }
        let sighting = live.told(environment);
        self.sighted(sighting);
    }

    fn sighted(&mut self, sighting: Option<Sighting>) {
        if self.sightings.len() < SIGHTINGS_MAX {
            self.sightings.extend(sighting);
        }
    }

    /// Caches that go commands named since this was last asked.
    pub fn take_sightings(&mut self) -> Vec<Sighting> {
        std::mem::take(&mut self.sightings)
    }

    /// No other go command can have written to the caches that one named since it began. Those it was started
    /// from had opened theirs before.
    pub fn is_alone(&self, sighting: &Sighting) -> bool {
        let since_ns = sighting.process.start_ns;
        let mut above = HashSet::from([self.id(&sighting.process)]);
        let mut next = self.live.get(&sighting.process);
        while let Some(parent) = next.and_then(|live| live.record.parent.as_ref()) {
            let is_new = above.insert(parent.clone());
            let mut known = self.live.values();
            next = known.find(|live| is_new && live.record.id == *parent);
        }
        let mut others = self.live.values();
        !others.any(|live| {
            live.may_use(&sighting.caches, since_ns) && !above.contains(&live.record.id)
        })
    }

    /// The go command that alone can have written to this cache since it began, if there is one.
    pub fn sole_user(&self, kind: RootKind, path: &Path) -> Option<Sighting> {
        let caches = vec![(kind, path.to_owned())];
        let now = self.live.values().filter(|live| !live.has_ended());
        let mut users = now
            .filter(|live| live.may_use(&caches, live.key.start_ns))
            .map(|live| Sighting {
                process: live.key,
                uid: live.record.uid,
                start_ms: live.record.start_ms,
                caches: caches.clone(),
            });
        users.find(|user| self.is_alone(user))
    }

    fn exit(&mut self, step: &Step<'_>) {
        let event = &step.event;
        let Some(member) = self.members.get(&event.process) else {
            return;
        };
        if let Some(live) = self.live.get_mut(&member.invocation) {
            live.exit(event, &member.tool);
        }
    }

    /// A file changed. `read` reads files below the event's root.
    pub fn fact(&mut self, fact: &Fact, kind: RootKind, read: Read<'_>) {
        let event = &fact.event;
        let process = self.known(event.process);
        let Some(live) = self
            .members
            .get(&process)
            .and_then(|member| self.live.get_mut(&member.invocation))
        else {
            return;
        };
        let changes = fact.changes();
        let path = fact.raw_path();
        let name = action_id::name(&path);
        if event.operation == OPERATION_UNLINK && process == live.key && name.is_some() {
            live.unlinked(event.root, &changes);
        }
        if changes.files_created > 0
            && kind != RootKind::GoMod
            && self.entries < ENTRIES_MAX
            && let Some(Name::Entry(action)) = name
        {
            self.entries += live.lookups.made(event.root, action);
        }
        if kind == RootKind::Other && live.names_helper() {
            live.packages
                .keep(event.root, event.key.ino, &path, &changes);
        } else if changes.growth_bytes > 0 || changes.files_created > 0 {
            let growth = Growth {
                root: event.root,
                kind,
                path: &path,
                name,
                bytes: changes.growth_bytes.max(0),
                files: changes.files_created,
            };
            live.packages.grew(&growth, read);
        }
    }

    /// An entry of a build cache was looked up and found: the id of its action, where it is remembered.
    pub fn lookup(&mut self, lookup: &Lookup) -> Option<Id> {
        let process = self.known(lookup.process);
        let action = action_id::id(&lookup.digits)?;
        let member = self.members.get(&process)?;
        let live = self.live.get_mut(&member.invocation)?;
        if self.entries >= ENTRIES_MAX {
            return None;
        }
        self.entries += live.lookups.found(lookup.root, action);
        Some(action)
    }

    /// What was asked.
    pub fn answer(&mut self, process: &ProcessKey, answer: Answer) {
        if let Some(live) = self.live.get_mut(process) {
            live.answer(answer);
        }
    }

    /// One invocation, and the one it was started from.
    pub fn with_parent(&self, key: &ProcessKey) -> Option<(&Live, Option<&Live>)> {
        let live = self.live.get(key)?;
        let parent = live.record.parent.as_ref();
        let parent = parent.and_then(|id| self.live.values().find(|live| live.record.id == *id));
        Some((live, parent))
    }

    /// All invocations.
    pub fn live(&self) -> impl Iterator<Item = &Live> {
        self.live.values()
    }

    /// True while an invocation is under way.
    pub fn knows(&self, key: &ProcessKey) -> bool {
        self.live.contains_key(key)
    }

    /// Leaders of invocations of which nobody lives any more.
    pub fn over(&self) -> Vec<ProcessKey> {
        let over = self.live.values().filter(|live| live.has_rested());
        over.map(|live| live.key).collect()
    }

    /// True while somebody has still to take an invocation that is over.
    pub fn has_over(&self) -> bool {
        self.live.values().any(Live::is_over)
    }

    /// An invocation of which only an account is known: its steps were lost, or it had ended before.
    pub fn unknown(&self, key: &ProcessKey) -> Live {
        Live::new(*key, self.id(key), None)
    }

    /// Takes those for ended whose exit was lost.
    pub fn end_vanished(&mut self, is_alive: impl Fn(&ProcessKey) -> bool) {
        for live in self.live.values_mut() {
            live.end_vanished(&is_alive);
        }
    }

    /// One invocation, taken out with its members.
    pub fn take(&mut self, key: &ProcessKey) -> Option<Live> {
        let live = self.live.remove(key)?;
        self.members.retain(|_, member| member.invocation != *key);
        self.entries -= live.lookups.len();
        Some(live)
    }

    /// All invocations, taken out.
    pub fn take_all(&mut self) -> Vec<Live> {
        self.members.clear();
        self.entries = 0;
        self.live.drain().map(|(_, live)| live).collect()
    }
}

#[cfg(test)]
mod tests;
