//! Looks at processes in /proc while they live, in a thread of its own: a file system of an observed user may
//! never answer, and the ledger must not wait for it.

use std::{
    collections::HashMap,
    fs::File,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    time::{Duration, Instant},
};

use cache_ebpf::ProcessKey;
use nix::unistd::{Uid, User};

use super::{
    caches_in_use::{CacheInUse, Sighting},
    cgroup,
    vanished::{self, Traces},
    working_directory,
};
use crate::{
    go::{
        build_info::{self, BuildInfo},
        env::saved,
        go_mod,
        pinned::Pinned,
        variables::{self, Variables},
    },
    model::printable::printable,
    sys::{
        procfs::Process,
        worker::{Answers, Worker},
    },
};

/// Questions that may wait; of more, only the kernel side's answer is known.
const WAITING_MAX: usize = 1_024;
/// Versions and names remembered.
const REMEMBERED_MAX: usize = 1_024;

/// What only /proc can tell of a process, to be asked while it lives.
#[derive(Clone, Debug)]
pub struct Question {
    /// Of whom.
    pub process: ProcessKey,
    /// As whom files are read.
    pub uid: u32,
    /// As which group.
    pub gid: u32,
    /// Its parent's number.
    pub ppid: u32,
    /// The word that it was called with.
    pub program: String,
    /// The kernel side could not tell all of the environment.
    pub wants_environment: bool,
    /// What is known of it already.
    pub environment: Variables,
    /// Its user may have saved settings with `go env -w`.
    pub is_go: bool,
    /// Where it changes to at its start, if it was told so.
    pub chdir: Option<String>,
    /// A package at a version: its module is looked for if it is the go command, and not that of the directory.
    pub pinned: Option<Pinned>,
}

/// The answer; empty fields are not known.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Version of the program.
    pub version: String,
    /// The program is the go command, whatever its name.
    pub is_go: bool,
    /// Working directory.
    pub cwd: String,
    /// Module path of the nearest go.mod, or of what it was told to install or run.
    pub module: String,
    /// Login name.
    pub user: String,
    /// cgroup path.
    pub cgroup: String,
    /// Variables of the allow-list, as far as they were wanted.
    pub environment: Variables,
    /// Settings that its user saved; its environment comes before them.
    pub saved: Variables,
}

/// What is to be looked at.
#[derive(Debug)]
enum Request {
    Process(Question),
    Caches(Sighting),
}

/// What was found.
#[derive(Debug)]
enum Finding {
    Process(ProcessKey, Answer),
    Caches(Sighting, Vec<CacheInUse>),
}

/// Asks, and collects the answers.
#[derive(Debug)]
pub struct Inspector {
    worker: Worker<Request>,
    findings: Answers<Finding>,
    found: Vec<(Sighting, Vec<CacheInUse>)>,
    outstanding: u64,
    /// Questions not asked: too many were waiting.
    pub unasked: u64,
}

impl Inspector {
    /// Starts the thread, which ends when the inspector is dropped.
    pub fn start() -> std::io::Result<Self> {
        let work = || {
            let mut memory = Memory::default();
            move |request| answer(request, &mut memory)
        };
        let rings = |finding: &Finding| matches!(finding, Finding::Caches(..));
        let (worker, findings) = Worker::pool("inspector", 1, WAITING_MAX, work, rings)?;
        Ok(Self {
            worker,
            findings,
            found: Vec::new(),
            outstanding: 0,
            unasked: 0,
        })
    }

    /// Asks, unless too many questions wait already.
    pub fn ask(&mut self, question: Question) {
        self.send(Request::Process(question));
    }

    /// Sends for the caches that a command named, unless too much waits already.
    pub fn look_for(&mut self, sighting: Sighting) {
        self.send(Request::Caches(sighting));
    }

    /// Caches that were found since this was last asked.
    pub fn take_found(&mut self) -> Vec<(Sighting, Vec<CacheInUse>)> {
        std::mem::take(&mut self.found)
    }

    /// Readable once caches were found, until the answers are looked at.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.findings.bell()
    }

    /// True where caches were found that nobody has taken yet.
    pub fn has_found(&self) -> bool {
        !self.found.is_empty()
    }

    fn send(&mut self, request: Request) {
        match self.worker.submit(request) {
            Ok(()) => self.outstanding += 1,
            Err(_) => self.unasked += 1,
        }
    }

    /// Answers that have come.
    pub fn answers(&mut self) -> Vec<(ProcessKey, Answer)> {
        let findings = self.findings.take();
        findings
            .into_iter()
            .filter_map(|finding| self.take(finding))
            .collect()
    }

    fn take(&mut self, finding: Finding) -> Option<(ProcessKey, Answer)> {
        self.outstanding = self.outstanding.saturating_sub(1);
        match finding {
            Finding::Process(process, answer) => Some((process, answer)),
            Finding::Caches(sighting, found) => {
                self.found.push((sighting, found));
                None
            }
        }
    }

    /// Waits for all answers, but no longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> Vec<(ProcessKey, Answer)> {
        let until = Instant::now() + limit;
        let mut answers = self.answers();
        while self.outstanding > 0 {
            let rest = until.saturating_duration_since(Instant::now());
            let Ok(finding) = self.findings.wait(rest) else {
                break;
            };
            answers.extend(self.take(finding));
        }
        answers
    }
}

/// A program as a file: device, inode, size, time of change.
type Program = (u64, u64, u64, i64);

/// What need not be looked up twice.
#[derive(Default)]
struct Memory {
    programs: HashMap<Program, BuildInfo>,
    users: HashMap<u32, String>,
}

fn answer(request: Request, memory: &mut Memory) -> Finding {
    match request {
        Request::Process(question) => Finding::Process(question.process, look(&question, memory)),
        Request::Caches(sighting) => {
            let found = sighting.look();
            Finding::Caches(sighting, found)
        }
    }
}

fn look(question: &Question, memory: &mut Memory) -> Answer {
    let user = memory.user(question.uid);
    // Whatever is opened from here on is this process', or nobody's; one that has just ended has no more of these.
    let Some(process) = Process::of(&question.process) else {
        return look_after(question, user, memory);
    };
    let groups = process.read("cgroup").unwrap_or_default();
    let cgroup = cgroup::path(&String::from_utf8_lossy(&groups));
    let places = (process.directory("cwd"), process.directory("root"));
    let (Some(program), (Some(cwd), Some(root))) = (process.open("exe"), places) else {
        let after = look_after(question, user, memory);
        return Answer { cgroup, ..after };
    };
    let environment = if question.wants_environment {
        variables::allowed(&process.read("environ").unwrap_or_default())
    } else {
        Variables::new()
    };
    let program = memory.program(&program).unwrap_or_default();
    let mut answer = Answer {
        version: program.version().to_owned(),
        is_go: program.path == "cmd/go",
        user,
        ..Answer::default()
    };
    look_around(question, &environment, cwd, root.as_fd(), &mut answer);
    Answer {
        cgroup,
        environment,
        ..answer
    }
}

/// Where the process works, and what its user has there and elsewhere. `read` is what its environment was asked for.
fn look_around(
    question: &Question,
    read: &Variables,
    cwd: OwnedFd,
    root: BorrowedFd<'_>,
    answer: &mut Answer,
) {
    let known = if question.wants_environment {
        read
    } else {
        &question.environment
    };
    let Question { uid, gid, .. } = *question;
    let told = known.get("PWD").map(String::as_str);
    let asked = question.chdir.as_deref();
    let directory = working_directory::of(cwd, root, [asked, told], [uid, gid]);
    answer.cwd = working_directory::path(directory.as_fd()).unwrap_or_default();
    let is_go = question.is_go || answer.is_go;
    if is_go {
        answer.saved = saved::of(root, known, uid, gid);
    }
    let module = match question.pinned.as_ref().filter(|_| is_go) {
        Some(pinned) => {
            let saved = answer.saved.clone().into_iter();
            let all = saved.chain(known.clone()).collect();
            pinned.module_in_cache(root, &all, [uid, gid])
        }
        None => go_mod::module(directory, root, uid, gid),
    };
    answer.module = module.unwrap_or_default();
}

/// Of a process that is gone.
fn look_after(question: &Question, user: String, memory: &mut Memory) -> Answer {
    let mut answer = Answer {
        user,
        ..Answer::default()
    };
    let Some(Traces {
        root,
        directory,
        program,
    }) = vanished::traces(question)
    else {
        return answer;
    };
    let program = program.and_then(|file| memory.program(&file));
    let program = program.unwrap_or_default();
    program.version().clone_into(&mut answer.version);
    answer.is_go = program.path == "cmd/go";
    let module = directory
        .and_then(|directory| go_mod::module(directory, root.as_fd(), question.uid, question.gid));
    answer.module = module
        .filter(|_| question.pinned.is_none())
        .unwrap_or_default();
    answer
}

impl Memory {
    fn program(&mut self, file: &File) -> Option<BuildInfo> {
        let metadata = file.metadata().ok()?;
        let program = (
            metadata.dev(),
            metadata.ino(),
            metadata.size(),
            metadata.ctime(),
        );
        if let Some(known) = self.programs.get(&program) {
            return Some(known.clone());
        }
        let found = build_info::read(file).unwrap_or_default();
        remember(&mut self.programs, program, &found);
        Some(found)
    }

    fn user(&mut self, uid: u32) -> String {
        if let Some(known) = self.users.get(&uid) {
            return known.clone();
        }
        let found = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let name = found.map_or_else(String::new, |user| printable(user.name.as_bytes()));
        remember(&mut self.users, uid, &name);
        name
    }
}

/// Forgets all when too much is remembered: what is used comes back.
fn remember<K: Eq + std::hash::Hash, V: Clone>(memory: &mut HashMap<K, V>, key: K, value: &V) {
    if memory.len() >= REMEMBERED_MAX {
        memory.clear();
    }
    memory.insert(key, value.clone());
}

#[cfg(test)]
mod tests {
    use cache_ebpf::ancestry::SEED_UNIT_NS;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn own() -> ProcessKey {
        let pid = std::process::id();
        let stat = Process::numbered(pid).unwrap().stat().unwrap();
        ProcessKey {
            start_ns: stat.start_ns,
            tgid: pid,
            pad: 0,
        }
    }

    fn ask(process: ProcessKey) -> Answer {
        let mut inspector = Inspector::start().unwrap();
        inspector.ask(Question {
            process,
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            ppid: 0,
            program: String::new(),
            wants_environment: true,
            environment: Variables::new(),
            is_go: true,
            chdir: None,
            pinned: None,
        });
        inspector.wait(Duration::from_secs(30)).pop().unwrap().1
    }

    #[test]
    fn a_living_process_is_described() {
        let answer = ask(own());
        let directory = std::env::current_dir().unwrap();
        assert_eq!(answer.cwd, directory.to_string_lossy());
        assert!(answer.cgroup.starts_with('/'));
        assert_eq!(answer.module, "");
    }

    #[test]
    fn caches_that_were_found_ring() {
        let mut inspector = Inspector::start().unwrap();
        let told = Variables::from([("GOCACHE", "/".to_owned())]);
        inspector.look_for(Sighting::of(own(), 0, 0, &told));
        let mut ready = [PollFd::from_borrowed_fd(inspector.bell(), PollFlags::IN)];
        let limit = Timespec {
            tv_sec: 30,
            tv_nsec: 0,
        };
        assert_eq!(poll(&mut ready, Some(&limit)).unwrap(), 1);
        inspector.answers();
        assert_eq!(inspector.take_found().len(), 1);
        let mut ready = [PollFd::from_borrowed_fd(inspector.bell(), PollFlags::IN)];
        assert_eq!(poll(&mut ready, Some(&Timespec::default())).unwrap(), 0);
    }

    #[test]
    fn a_number_used_again_is_not_mistaken() {
        let mut stranger = own();
        stranger.start_ns += SEED_UNIT_NS;
        assert_eq!(ask(stranger).cwd, "");
    }
}
