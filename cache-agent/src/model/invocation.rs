//! What is told of an invocation: one record with these names in reports, in the store and in JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{built::Built, compiled::Compiled};

/// One run of a build tool with its whole process tree.
///
/// Bytes count once, at the innermost invocation; texts are bounded, and secrets in them masked.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Invocation {
    /// Boot id, process id and start time, joined by dashes: unique on this host, for ever.
    pub id: String,
    /// Id of the invocation this one was started from, if any.
    pub parent: Option<String>,
    /// `go`, `gopls`, `golangci-lint`, ...
    pub tool: String,
    /// `build`, `test`, ...; empty for a tool without verbs.
    pub verb: String,
    /// Version from the binary's build information; empty where there is none.
    pub version: String,
    /// Arguments, bounded and masked.
    pub argv: Vec<String>,
    /// Working directory as the process sees it.
    pub cwd: String,
    /// Module path of the nearest go.mod, or of the package at a version that was asked for; empty outside of a module.
    pub module: String,
    /// Real user id.
    pub uid: u32,
    /// Name of that user; empty if it has none.
    pub user: String,
    /// Who called sudo, as root's environment tells; empty where it tells nothing.
    pub sudo_user: String,
    /// Container id; empty outside of one.
    pub container: String,
    /// Container runtime, as the cgroup path names it; empty outside of a container.
    pub runtime: String,
    /// Kubernetes pod UID; empty outside of a pod.
    pub pod: String,
    /// Kubernetes namespace where the cgroup path has it.
    pub namespace: String,
    /// systemd unit; empty where there is none.
    pub unit: String,
    /// systemd user slice; empty where there is none.
    pub slice: String,
    /// cgroup path.
    pub cgroup: String,
    /// Facts of the CI system from the allow-list: `system`, `job`, `leg`, `pipeline`, `repository`, `branch`.
    pub ci: BTreeMap<String, String>,
    /// `TRACEPARENT` as it was given, if valid; else empty.
    pub traceparent: String,
    /// Start, RFC 3339 with milliseconds, UTC.
    pub start: String,
    /// Start in milliseconds since the Unix epoch: what the store sorts by.
    pub start_ms: i64,
    /// Seconds from start to end.
    pub duration_s: f64,
    /// Exit status as a shell gives it; `None` while it runs.
    pub exit_code: Option<i32>,
    /// Growth in bytes, all roots together.
    pub growth_bytes: i64,
    /// Bytes freed, all roots together.
    pub freed_bytes: u64,
    /// Files created.
    pub files_created: u64,
    /// Files deleted.
    pub files_deleted: u64,
    /// Compile and link actions: hits and misses; 0 where not all look-ups are known.
    pub lookups: u64,
    /// Those whose output was in the cache; 0 where not all look-ups are known.
    pub hits: u64,
    /// Those that ran.
    pub misses: u64,
    /// Indexes of package directories that were looked up, found or made; 0 where not all look-ups are known.
    pub index_lookups: u64,
    /// The same of results of tests.
    pub test_lookups: u64,
    /// The same of all else: findings of vet, what compilers said, lists of sources.
    pub other_lookups: u64,
    /// Growth and freed bytes by path of the root.
    pub roots: BTreeMap<String, RootShare>,
    /// Why it grew.
    pub cause: Vec<Cause>,
    /// What enters Go's action IDs, by name of the setting.
    pub fingerprint: BTreeMap<String, String>,
    /// Processes of the tree by tool.
    pub processes: BTreeMap<String, Processes>,
    /// Keys under which the history finds again what it compiled; told to nobody.
    #[serde(skip)]
    pub keys: Vec<i64>,
    /// Why it compiled what it compiled; told by `why`.
    #[serde(skip)]
    pub built: Vec<Built>,
}

impl Invocation {
    /// Name or number of its user, and who called sudo.
    pub fn who(&self) -> String {
        let user = if self.user.is_empty() {
            self.uid.to_string()
        } else {
            self.user.clone()
        };
        if self.sudo_user.is_empty() {
            return user;
        }
        format!("{user} ({})", self.sudo_user)
    }
}

/// What an invocation did to one root.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RootShare {
    /// Growth in bytes.
    pub growth_bytes: i64,
    /// Bytes freed.
    pub freed_bytes: u64,
}

/// Why an invocation made a cache grow.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Cause {
    /// `settings:NAME`, or one of a closed list.
    pub kind: String,
    /// What differs, for people: `"" -> "-race"`.
    pub detail: String,
    /// Growth for this reason, in bytes.
    pub bytes: i64,
    /// Packages built for this reason.
    pub packages: u64,
    /// CPU time of their compilers, in seconds.
    pub cpu_s: f64,
}

/// Processes of one tool in an invocation's tree.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Processes {
    /// How many ran.
    pub count: u64,
    /// CPU time they took, in seconds.
    pub cpu_s: f64,
}

/// Bytes of one package in one invocation.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Package {
    /// Id of the invocation.
    pub invocation: String,
    /// Import path, with its test variant as Go writes it, or module@version; empty = unmapped.
    pub path: String,
    /// One of `compile`, `executable`, `link`, `vet`, `asm`, `cgo`, `cover`, `test`, `index`, `fuzz`,
    /// `module`, `other`.
    pub class: String,
    /// `go version GOOS/GOARCH` and flags such as `race`, `cover`, `trimpath`, as far as known.
    pub variant: String,
    /// Growth in bytes.
    pub growth_bytes: i64,
    /// Files created.
    pub files: u64,
}

/// A finished invocation.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// What is told of it.
    pub record: Invocation,
    /// What it built.
    pub packages: Vec<Package>,
    /// What it compiled, for its causes; not kept.
    pub compiled: Vec<Compiled>,
    /// Name of the program that kept its cache in go's stead, if one did.
    pub helper: Option<String>,
}

/// What kind of thing was put into a cache.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// Compiled packages, with what the compiler said.
    Compile,
    /// Linked programs kept for `go run` and `go tool`.
    Executable,
    /// What else links leave.
    Link,
    /// Findings and facts of vet.
    Vet,
    /// Assembled files.
    Asm,
    /// Files that cgo generated.
    Cgo,
    /// Files that cover generated.
    Cover,
    /// Results of tests.
    Test,
    /// Indexes of package directories.
    Index,
    /// Inputs that fuzzing found.
    Fuzz,
    /// Modules.
    Module,
    /// Everything else.
    Other,
}

impl Class {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compile => "compile",
            Self::Executable => "executable",
            Self::Link => "link",
            Self::Vet => "vet",
            Self::Asm => "asm",
            Self::Cgo => "cgo",
            Self::Cover => "cover",
            Self::Test => "test",
            Self::Index => "index",
            Self::Fuzz => "fuzz",
            Self::Module => "module",
            Self::Other => "other",
        }
    }
}
