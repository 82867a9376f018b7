//! The caches of every user of the host.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::passwd::{self, User};
use crate::{
    config::checked::RootConfig,
    go::{
        env::{Environment, FoundRoot, Settings},
        recognise::recognise_in,
    },
    model::{root::RootKind, root_name::Names},
    sys::files::Files,
};

/// Caches that do not exist yet are proposed only up to this many, so that hundreds of users who
/// never run Go do not crowd out those who do.
pub const MAX_ABSENT: usize = 40;

/// Below it lie the accounts of services, except root's (`UID_MIN` of login.defs wherever systemd runs).
const FIRST_PERSON_UID: u32 = 1000;

/// Where distributions and the official archive put Go, in case the agent's own `PATH` is poor.
const USUAL_PATH: &str = "/usr/local/go/bin:/usr/local/bin:/usr/bin";

/// A cache that some user of the host has, or may come to have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// Where and what.
    pub root: FoundRoot,
    /// Usable as a metric label: `gobuild:alice`, a second one `gobuild:alice-2`.
    pub name: String,
    /// Whose settings named it.
    pub uid: u32,
    /// Whether it is there now.
    pub exists: bool,
}

impl Candidate {
    /// Whether to watch what lies at the path now.
    ///
    /// Users choose the path, and the agent may read everything: a directory counts only if it is
    /// the user's own or looks like a cache. Ask again when an absent one appears.
    ///
    /// `directory` is how to reach it: `/proc/self/fd/N` of the opened root, so that what was judged
    /// is what is watched, even if the path is swapped meanwhile.
    pub fn accepts(&self, directory: &Path) -> bool {
        let Self { root, uid, .. } = self;
        is_acceptable(&Files::default(), directory, root.kind, *uid)
    }
}

/// The caches of all users; existing ones first, then those that may appear.
///
/// `environment` is the agent's own: it tells the XDG directories of its user and where `go` is.
/// Roots that the configuration names are left out, and their names are not given again.
pub fn for_host(environment: &Environment, configured: &[RootConfig]) -> Vec<Candidate> {
    // The agent's own user as the kernel sees it, not as the environment claims.
    let own_uid = rustix::process::getuid().as_raw();
    let mut scan = Scan::new(Files::default(), configured);
    for user in users(&scan.files) {
        scan.add(
            &user,
            environment,
            (user.uid == own_uid).then_some(environment),
        );
    }
    scan.finish()
}

/// The users whose home is there and their own.
fn users(files: &Files) -> Vec<User> {
    let text = files.read(Path::new("/etc/passwd")).unwrap_or_default();
    let mut users = passwd::parse(&String::from_utf8_lossy(&text));
    // Where two names share a home, the first line is the name the system itself shows.
    let mut homes = HashSet::new();
    users.retain(|user| {
        files.directory_owner(&user.home) == Some(user.uid) && homes.insert(user.home.clone())
    });
    users
}

struct Scan {
    files: Files,
    names: Names,
    /// Paths behind all links, or as they are where nothing is there yet.
    seen: HashSet<PathBuf>,
    candidates: Vec<Candidate>,
}

impl Scan {
    fn new(files: Files, configured: &[RootConfig]) -> Self {
        let mut names = Names::default();
        for root in configured {
            // Unique already: the configuration was checked.
            names.take(&root.name);
        }
        let seen = configured
            .iter()
            .map(|root| {
                files
                    .resolve(&root.path)
                    .unwrap_or_else(|| root.path.clone())
            })
            .collect();
        Self {
            files,
            names,
            seen,
            candidates: Vec::new(),
        }
    }

    fn add(&mut self, user: &User, agent: &Environment, own: Option<&Environment>) {
        let roots = roots_of(&self.files, user, agent, own);
        let may_appear = is_likely_to_run_go(&self.files, user, &roots);
        for root in roots {
            let resolved = self.files.resolve(&root.path);
            let exists = resolved.is_some();
            let wanted = if exists {
                is_acceptable(&self.files, &root.path, root.kind, user.uid)
            } else {
                may_appear
            };
            if wanted
                && self
                    .seen
                    .insert(resolved.unwrap_or_else(|| root.path.clone()))
            {
                let name = self.names.derive(&format!("{}:{}", root.kind, user.name));
                self.candidates.push(Candidate {
                    root,
                    name,
                    uid: user.uid,
                    exists,
                });
            }
        }
    }

    fn finish(self) -> Vec<Candidate> {
        let mut candidates = self.candidates;
        // Stable: within both halves the order of passwd stays.
        candidates.sort_by_key(|candidate| !candidate.exists);
        let existing = candidates
            .iter()
            .filter(|candidate| candidate.exists)
            .count();
        candidates.truncate(existing + MAX_ABSENT);
        candidates
    }
}

/// Whether to wait for caches that are not there: for people always, for a service's account once
/// it has left a trace of Go. Otherwise each service with a home would be two roots.
fn is_likely_to_run_go(files: &Files, user: &User, roots: &[FoundRoot]) -> bool {
    user.uid == 0
        || user.uid >= FIRST_PERSON_UID
        || files.exists(&user.home.join(".config/go"))
        || roots.iter().any(|root| files.exists(&root.path))
}

/// What the user's settings say, and the default places if something is left there.
fn roots_of(
    files: &Files,
    user: &User,
    agent: &Environment,
    own: Option<&Environment>,
) -> Vec<FoundRoot> {
    let environment = environment_of(user, agent, own);
    let read_user_file = |path: &Path| match own {
        Some(_) => files.read(path),
        None => files.read_beneath(&user.home, path.strip_prefix(&user.home).ok()?),
    };
    let mut roots = Settings::new(&environment, files, &read_user_file)
        .roots()
        .roots;
    for (kind, below_home) in [
        (RootKind::GoBuild, ".cache/go-build"),
        (RootKind::GoMod, "go/pkg/mod"),
    ] {
        let path = user.home.join(below_home);
        if roots.iter().all(|root| root.path != path) && recognise_in(files, &path) == kind {
            roots.push(FoundRoot { path, kind });
        }
    }
    roots
}

/// The environment a login of the user would have, as far as it can be known without one.
fn environment_of(user: &User, agent: &Environment, own: Option<&Environment>) -> Environment {
    let mut environment: Environment = own
        .into_iter()
        .flatten()
        .filter(|(key, _)| {
            ["XDG_CACHE_HOME", "XDG_CONFIG_HOME"]
                .iter()
                .any(|known| key == known)
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut path = agent.get(OsStr::new("PATH")).cloned().unwrap_or_default();
    path.push(":");
    path.push(USUAL_PATH);
    environment.insert(OsString::from("PATH"), path);
    environment.insert(OsString::from("HOME"), user.home.clone().into_os_string());
    environment
}

fn is_acceptable(files: &Files, directory: &Path, kind: RootKind, uid: u32) -> bool {
    files.directory_owner(directory) == Some(uid) || recognise_in(files, directory) == kind
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
