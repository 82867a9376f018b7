//! One invocation under way, and the record it becomes.

mod caches;
mod helper;
mod hits;
mod pinned;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use cache_ebpf::{ProcessKey, ancestry::ProcessEvent};

use super::{
    lookups::{Entries, Lookups},
    package::{About, Built, Packages, Read},
    shell_status::shell_status,
    sums::{count, packages},
};
use crate::{
    go::{
        fingerprint,
        pinned::Pinned,
        script, tools,
        variables::{self, Variables},
    },
    kernel::process_events::Step,
    ledger::accounts::Sums,
    model::{
        changes::Changes,
        compiled::{self, Compiled},
        invocation::{Class, Finished, Invocation},
        mask::{self, Arguments},
        process::Identity,
    },
    process::{
        cgroup::{self, Surroundings},
        ci,
        inspector::{Answer, Question},
        sudo, working_directory,
    },
    sys::clock::{boot_now_ns, wall_clock},
};

/// Tools counted one by one; the rest are `other`.
const TOOLS_MAX: usize = 64;
/// Between the end of an invocation and its record, in nanoseconds.
const REST_NS: u64 = 2_000_000_000;
/// Name of the rest.
const OTHER: &str = "other";

/// What its leader executes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Program {
    /// The tool itself.
    Tool,
    /// A script called `go`.
    Script,
    /// Such a script, and the go command that it ran is told in its place.
    Replaced,
}

/// An invocation under way.
#[derive(Debug)]
pub struct Live {
    /// Its leader.
    pub key: ProcessKey,
    /// The record so far.
    pub record: Invocation,
    /// It descends from the traced command.
    pub is_in_command: bool,
    /// What it builds.
    pub packages: Packages,
    /// The leader's arguments.
    argv: Arguments,
    /// The leader's variables.
    environment: Variables,
    /// Variables as go told its tools: with everything saved and defaulted.
    effective: Variables,
    is_argv_cut: bool,
    members: HashSet<ProcessKey>,
    pub(super) program: Program,
    ended_ns: Option<u64>,
    /// Entries of the cache that go's daily trim deleted, by root.
    trimmed: HashMap<u32, Changes>,
    /// Entries that were found or made.
    pub(super) lookups: Lookups,
    /// It ran before anybody followed it.
    pub(super) is_seeded: bool,
}

impl Live {
    /// An invocation of which nothing else is known yet.
    pub fn new(key: ProcessKey, id: String, parent: Option<String>) -> Self {
        let (start, start_ms) = wall_clock(key.start_ns);
        Self {
            key,
            record: Invocation {
                id,
                parent,
                start,
                start_ms,
                ..Invocation::default()
            },
            is_in_command: false,
            packages: Packages::default(),
            argv: Arguments::default(),
            environment: Variables::new(),
            effective: Variables::new(),
            is_argv_cut: false,
            members: HashSet::new(),
            program: Program::Tool,
            ended_ns: None,
            trimmed: HashMap::new(),
            lookups: Lookups::default(),
            is_seeded: false,
        }
    }

    /// The leader executes a program: the tool, or the tool's next version of itself.
    pub(super) fn execute(&mut self, step: &Step<'_>) {
        let (comm, argv) = (step.comm(), step.argv());
        let asked = script::of_script(&comm, &argv);
        let (comm, program) = match asked {
            Some(_) => ("go", Program::Script),
            None => (comm.as_str(), Program::Tool),
        };
        self.program = program;
        let argv = asked.unwrap_or(argv);
        let record = &mut self.record;
        record.tool = tools::name(comm, &argv);
        tools::verb_of(&record.tool, &argv).clone_into(&mut record.verb);
        self.argv = argv.into();
        record.argv = self.argv.masked();
        record.uid = step.event.uid;
        self.is_in_command |= step.is_in_command();
        self.is_argv_cut = step.is_argv_cut();
        self.environment = variables::allowed(step.environment);
    }

    pub(super) fn join(&mut self, process: ProcessKey) {
        self.members.insert(process);
    }

    pub(super) fn leave(&mut self, process: &ProcessKey) {
        self.members.remove(process);
    }

    pub(super) fn built(&mut self, process: ProcessKey, built: Built) {
        if built.class == Class::Cgo {
            self.packages
                .generates(&built.path, built.class, built.generated.clone());
        }
        self.packages.built(process, built);
    }

    /// `-trimpath` was asked for, by argument or by setting.
    pub(super) fn is_trimmed(&self) -> bool {
        let words = self.goflags().split(' ');
        words
            .chain(self.argv.words().iter().map(String::as_str))
            .any(|word| matches!(word, "-trimpath" | "--trimpath" | "-trimpath=true"))
    }

    fn goflags(&self) -> &str {
        let flags = self.effective.get("GOFLAGS");
        let flags = flags.or_else(|| self.environment.get("GOFLAGS"));
        flags.map(String::as_str).unwrap_or_default()
    }

    pub(super) fn exit(&mut self, event: &ProcessEvent, tool: &str) {
        self.members.remove(&event.process);
        self.packages.ended(&event.process, event.cpu_ns);
        let is_known = self.record.processes.contains_key(tool);
        let name = if is_known || self.record.processes.len() < TOOLS_MAX {
            tool
        } else {
            OTHER
        };
        let processes = self.record.processes.entry(name.to_owned()).or_default();
        processes.count += 1;
        processes.cpu_s += Duration::from_nanos(event.cpu_ns).as_secs_f64();
        if event.process == self.key {
            self.ended_ns = Some(event.time_ns);
            self.record.exit_code = Some(shell_status(event.status));
        }
    }

    /// A file of a build cache was deleted by the leader itself.
    pub(super) fn unlinked(&mut self, root: u32, changes: &Changes) {
        if self.record.tool == "go" && self.record.verb != "clean" {
            self.trimmed.entry(root).or_default().add(changes);
        }
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        let Answer {
            version,
            is_go,
            cwd,
            module,
            user,
            cgroup,
            environment,
            saved,
        } = answer;
        let record = &mut self.record;
        if is_go {
            "go".clone_into(&mut record.tool);
            tools::verb_of("go", self.argv.words()).clone_into(&mut record.verb);
        }
        for (target, told) in [
            (&mut record.version, version),
            (&mut record.cwd, cwd),
            (&mut record.module, module),
            (&mut record.user, user),
            (&mut record.cgroup, cgroup),
        ] {
            if !told.is_empty() {
                *target = told;
            }
        }
        for (name, value) in environment.into_iter().chain(saved) {
            self.environment.entry(name).or_insert(value);
        }
    }

    /// What /proc is to be asked of its leader.
    pub fn question(&self, gid: u32, ppid: u32, wants_environment: bool) -> Question {
        let is_go = self.record.tool == "go";
        let chdir = tools::chdir(self.argv.words()).filter(|_| is_go);
        Question {
            process: self.key,
            uid: self.record.uid,
            gid,
            ppid,
            program: self.argv.words().first().cloned().unwrap_or_default(),
            wants_environment,
            environment: self.environment.clone(),
            is_go,
            chdir: chdir.map(str::to_owned),
            pinned: Pinned::asked(self.argv.words()),
        }
    }

    /// Takes those for ended whose exit was lost.
    pub(super) fn end_vanished(&mut self, is_alive: impl Fn(&ProcessKey) -> bool) {
        self.members.retain(|member| is_alive(member));
        if self.ended_ns.is_none() && !self.members.contains(&self.key) {
            self.ended_ns = Some(boot_now_ns());
        }
    }

    /// What an account tells of a leader of which nothing else is known, or of a process that is no build tool
    /// and of none.
    pub fn identify(&mut self, identity: &Identity) {
        let record = &mut self.record;
        record.tool = tools::name(&identity.comm, identity.argv.words());
        if identity.invocation.is_none() && !tools::is_tool(&record.tool) {
            OTHER.clone_into(&mut record.tool);
        }
        tools::verb_of(&record.tool, identity.argv.words()).clone_into(&mut record.verb);
        self.ended_ns = self.ended_ns.or(identity.ended_ns);
        record.argv = identity.argv.masked();
        record.uid = identity.uid;
        self.argv.clone_from(&identity.argv);
    }

    /// What an account that was opened for its leader does not tell.
    pub(super) fn complete_identity(&self, identity: &mut Identity) {
        identity.in_command |= self.is_in_command;
        if identity.comm.is_empty() {
            identity.comm.clone_from(&self.record.tool);
            identity.argv.clone_from(&self.argv);
            identity.uid = self.record.uid;
        }
    }

    /// go's own helper that counts its runs: nobody asked for it.
    pub fn is_sidecar(&self) -> bool {
        self.record.tool == "go"
            && self
                .argv
                .words()
                .get(1)
                .is_some_and(|word| word == "** telemetry **")
    }

    /// No row of its own, unless it changed something.
    pub fn is_untold(&self) -> bool {
        self.is_sidecar() || self.program == Program::Replaced
    }

    /// The leader has ended.
    pub fn has_ended(&self) -> bool {
        self.ended_ns.is_some()
    }

    /// It has been over for so long that whoever looks at its caches has done so.
    pub fn has_rested(&self) -> bool {
        let rested = |ended: u64| boot_now_ns().saturating_sub(ended) >= REST_NS;
        self.is_over() && self.ended_ns.is_some_and(rested)
    }

    /// Nobody of it lives any more, as far as is known.
    pub fn is_over(&self) -> bool {
        self.has_ended() && self.members.is_empty()
    }

    /// The record with these sums by root, what was built, and go's trim as an invocation of its own.
    pub fn finish(
        mut self,
        sums: &HashMap<u32, Sums>,
        paths: &HashMap<u32, String>,
        entries: &dyn Entries,
    ) -> Vec<Finished> {
        let read: Read<'_> = &|root, path| entries.read(root, path);
        self.settle_module();
        let about = About {
            verb: &self.record.verb,
            module: &self.record.module,
        };
        self.packages.find_rewritten(entries, read);
        self.packages.settle(read, &about);
        let helper = self.helper();
        let kept_at = helper.as_ref().map(|helper| helper.identity);
        let cache = |root| kept_at.unwrap_or_else(|| entries.identity(root));
        let mut compiled = self.packages.compiled(&cache);
        for one in &mut compiled {
            // Go itself never keeps it: the program was given it.
            one.is_kept |= helper.is_some();
        }
        self.record.keys = compiled.iter().flat_map(Compiled::keys).collect();
        self.complete(&compiled);
        let trim = self.trim(paths);
        self.count_lookups(sums, paths, entries, helper.is_some());
        for (root, sum) in sums {
            let mut changes = sum.changes;
            if let Some(trimmed) = self.trimmed.get(root) {
                changes = crate::model::changes::difference(&changes, trimmed);
            }
            let path = paths.get(root).cloned().unwrap_or_default();
            count(&mut self.record, path, &changes);
        }
        let packages = packages(&self.record, &self.packages);
        let own = Finished {
            record: self.record,
            packages,
            compiled,
            helper: helper.map(|helper| helper.name),
        };
        std::iter::once(own).chain(trim).collect()
    }

    /// What can be said once all is known.
    fn complete(&mut self, built: &[Compiled]) {
        let end = self.ended_ns.unwrap_or_else(boot_now_ns);
        let duration = Duration::from_nanos(end.saturating_sub(self.key.start_ns));
        self.record.duration_s = duration.as_secs_f64();
        let told = self.effective.get("GOVERSION");
        let told = told.or_else(|| self.environment.get(variables::SWITCHED_TO));
        // One version executes another in its own place: /proc may have told the first one.
        if self.record.tool == "go"
            && let Some(version) = told
        {
            self.record.version = mask::text(version);
        }
        if self.record.cwd.is_empty()
            && let Some(directory) = self.environment.get("PWD")
        {
            let place = working_directory::presumed(directory, tools::chdir(self.argv.words()));
            self.record.cwd = mask::text(&place);
        }
        if self.record.tool == "go" {
            let version = &self.record.version;
            self.record.fingerprint = fingerprint::of(
                self.argv.words(),
                &self.environment,
                &self.effective,
                version,
            );
            let told = compiled::told(built, &self.record.module);
            fingerprint::complete(&mut self.record.fingerprint, &told, self.is_argv_cut);
        }
        self.record.sudo_user = sudo::caller(self.record.uid, &self.environment);
        self.record.ci = ci::facts(&self.environment);
        self.record.traceparent = ci::traceparent(&self.environment);
        let Surroundings {
            container,
            runtime,
            pod,
            namespace,
            unit,
            slice,
        } = cgroup::surroundings(&self.record.cgroup);
        let record = &mut self.record;
        (record.container, record.runtime) = (container, runtime);
        (record.pod, record.namespace) = (pod, namespace);
        (record.unit, record.slice) = (unit, slice);
    }

    /// go's own daily trim is nobody's deletion.
    fn trim(&self, paths: &HashMap<u32, String>) -> Option<Finished> {
        if self.trimmed.is_empty() {
            return None;
        }
        let mut record = Invocation {
            id: format!("{}-trim", self.record.id),
            parent: Some(self.record.id.clone()),
            verb: "trim".to_owned(),
            argv: vec!["go".to_owned(), "trim".to_owned()],
            ..self.record.clone()
        };
        record.processes = BTreeMap::new();
        for (root, changes) in &self.trimmed {
            count(
                &mut record,
                paths.get(root).cloned().unwrap_or_default(),
                changes,
            );
        }
        Some(Finished {
            record,
            ..Finished::default()
        })
    }
}
