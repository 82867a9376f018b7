//! Invocations under way: begun by the exec of a tool, grown by what its descendants do, ended by its exit.

mod live;

use std::collections::HashMap;

use cache_ebpf::{OPERATION_UNLINK, ProcessKey};

pub use self::live::{Finished, Live};
use super::{
    action,
    environment::{self, Variables},
    package::{Growth, Read, of_child},
    tool,
};
use crate::{
    config::checked::RootKind,
    intake::{
        lineage::{Kind, Step},
        ring::Fact,
    },
};

/// Processes remembered; of more, only the kernel side knows where they belong.
const MEMBERS_MAX: usize = 131_072;
/// Invocations under way at the same time.
const LIVE_MAX: usize = 8_192;

/// A process that descends from a tool.
#[derive(Clone, Debug)]
struct Member {
    invocation: ProcessKey,
    /// Name of the program it runs.
    tool: String,
}

/// What only /proc can tell of a process, to be asked while it lives.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Of whom.
    pub process: ProcessKey,
    /// As whom files are read.
    pub uid: u32,
    /// As which group.
    pub gid: u32,
    /// The kernel side could not tell all of the environment.
    pub wants_environment: bool,
}

/// The answer; empty fields are not known.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Version of the program.
    pub version: String,
    /// Working directory.
    pub cwd: String,
    /// Module path of the nearest go.mod.
    pub module: String,
    /// Login name.
    pub user: String,
    /// cgroup path.
    pub cgroup: String,
    /// Variables of the allow-list.
    pub environment: Variables,
}

/// All invocations under way.
#[derive(Debug)]
pub struct Tracker {
    boot_id: String,
    members: HashMap<ProcessKey, Member>,
    live: HashMap<ProcessKey, Live>,
    /// Invocations and processes that found no room.
    pub untracked: u64,
}

impl Tracker {
    /// Knows nobody yet.
    pub fn new(boot_id: String) -> Self {
        Self {
            boot_id,
            members: HashMap::new(),
            live: HashMap::new(),
            untracked: 0,
        }
    }

    /// Unique on this host, for ever.
    pub fn id(&self, process: &ProcessKey) -> String {
        format!("{}-{}-{}", self.boot_id, process.tgid, process.start_ns)
    }

    /// Takes a step; what to ask of the process, if it began an invocation.
    pub fn step(&mut self, step: &Step<'_>) -> Option<Question> {
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
        let tool = tool::name(&step.comm(), &step.argv());
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
        let parent = step.event.parent;
        let parent_id = (parent.tgid != 0).then(|| self.id(&parent));
        let live = self
            .live
            .entry(process)
            .or_insert_with(|| Live::new(process, id, parent_id));
        live.execute(step);
        self.enter(step);
        Some(Question {
            process,
            uid: step.event.uid,
            gid: step.event.gid,
            wants_environment: step.is_environment_cut(),
        })
    }

    /// A descendant executes a program; those of go tell what they build.
    fn child(&mut self, step: &Step<'_>) {
        let Some(live) = self.live.get_mut(&step.event.invocation) else {
            return;
        };
        let comm = step.comm();
        if !tool::GO_CHILDREN.contains(&comm.as_str()) {
            return;
        }
        let environment = environment::allowed(step.environment);
        let built = of_child(&comm, &step.argv(), &environment, live.is_trimmed());
        if let Some(built) = built {
            live.built(built);
        }
        live.told(environment);
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
        let Some(live) = self
            .members
            .get(&event.process)
            .and_then(|member| self.live.get_mut(&member.invocation))
        else {
            return;
        };
        let changes = fact.changes();
        let path = fact.raw_path();
        if event.operation == OPERATION_UNLINK
            && event.process == live.key
            && action::name(&path).is_some()
        {
            live.unlinked(event.root, &changes);
        }
        if changes.growth_bytes > 0 || changes.files_created > 0 {
            let growth = Growth {
                root: event.root,
                kind,
                path: &path,
                bytes: changes.growth_bytes.max(0),
                files: changes.files_created,
            };
            live.packages.grew(&growth, read);
        }
    }

    /// What was asked.
    pub fn answer(&mut self, process: &ProcessKey, answer: Answer) {
        if let Some(live) = self.live.get_mut(process) {
            live.answer(answer);
        }
    }

    /// All invocations.
    pub fn live(&self) -> impl Iterator<Item = &Live> {
        self.live.values()
    }

    /// One invocation, taken out with its members.
    pub fn take(&mut self, key: &ProcessKey) -> Option<Live> {
        let live = self.live.remove(key)?;
        self.members.retain(|_, member| member.invocation != *key);
        Some(live)
    }

    /// All invocations, taken out.
    pub fn take_all(&mut self) -> Vec<Live> {
        self.members.clear();
        self.live.drain().map(|(_, live)| live).collect()
    }
}

#[cfg(test)]
mod tests;
