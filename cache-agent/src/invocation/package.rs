//! Bytes by package, exact: a compiler names its package and its action, the action names the cache's entry,
//! the entry names the object. What finds no name stays unmapped.

mod kept;
mod rewritten;
mod shares;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use cache_ebpf::ProcessKey;

use self::kept::KeptFiles;
pub use self::shares::{Share, Shares};
pub use crate::go::child_args::{Built, of_child};
use crate::{
    go::{
        action_id::{self, Id, Name, Prefix, object_path},
        archive, module_path, package_index,
    },
    model::{
        compiled::{Compiled, Import},
        invocation::Class,
        root::RootKind,
    },
    sys::file_id::FileId,
};

/// Entries and objects of one invocation that wait for their names.
const WAITING_MAX: usize = 16_384;
/// Actions of one invocation.
const ACTIONS_MAX: usize = 65_536;
/// Bytes of names of imports of one invocation: some 10,000 packages.
const IMPORT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What of an action the go command keeps beside its output, for every package.
const ASIDE: [&str; 2] = ["stdout", "srcfiles"];

/// A file as far as names go: which root, which id.
type Place = (u32, Id);

/// A file of this invocation that waits for its name.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    bytes: i64,
    files: u64,
    /// Entries: the object it names.
    output: Option<Id>,
    /// Objects: a directory with an executable.
    is_executable: bool,
}

/// What a file did, as the ledger told it.
#[derive(Clone, Copy, Debug)]
pub struct Growth<'a> {
    /// Index of the root.
    pub root: u32,
    /// What is in it.
    pub kind: RootKind,
    /// Path below it.
    pub path: &'a [u8],
    /// What that names in a build cache.
    pub name: Option<Name>,
    /// Bytes that entered; never negative.
    pub bytes: i64,
    /// Files that entered.
    pub files: u64,
}

/// Reads the beginning of a file below a root.
pub type Read<'a> = &'a dyn Fn(u32, &[u8]) -> Option<Vec<u8>>;

/// Device and inode of a root; of none, those of the only cache that there can be.
pub type Identify<'a> = &'a dyn Fn(Option<u32>) -> FileId;

/// What a cache took for an action.
#[derive(Clone, Copy, Debug)]
struct Output {
    root: u32,
    id: Option<Id>,
    /// Its entry was there already.
    is_rewritten: bool,
}

/// Packages of one invocation.
#[derive(Debug, Default)]
pub struct Packages {
    actions: HashMap<Prefix, Built>,
    entries: HashMap<Place, Waiting>,
    objects: HashMap<Place, Waiting>,
    /// Entries of known actions, for what is kept beside them.
    named: Vec<(Place, Prefix)>,
    shares: Shares,
    /// Compilers and linkers that ran for a package.
    ran: u64,
    /// Objects that the cache took for known actions.
    outputs: HashMap<Prefix, Output>,
    /// What they were compiled against, read while they are there.
    imports: HashMap<Prefix, Vec<Import>>,
    import_bytes: usize,
    /// Packages with sources in C.
    cgo: HashSet<String>,
    /// Compilers under way.
    compilers: HashMap<ProcessKey, Prefix>,
    /// CPU time of those that have ended, in nanoseconds.
    cpu_ns: HashMap<Prefix, u64>,
    /// Files of a program that keeps the cache.
    kept: KeptFiles,
}

impl Packages {
    /// A child of the go command works on a package.
    pub fn built(&mut self, process: ProcessKey, built: Built) {
        let is_action = matches!(built.class, Class::Compile | Class::Link);
        self.ran += u64::from(is_action && !built.path.is_empty());
        if built.class == Class::Cgo {
            self.cgo.insert(built.path.clone());
        }
        if let Some(prefix) = built.action
            && self.actions.len() < ACTIONS_MAX
        {
            self.compilers.insert(process, prefix);
            self.actions.entry(prefix).or_insert(built);
        }
    }

    /// A file grew. `read` is asked for the content of entries, which is complete once they are written.
    pub fn grew(&mut self, growth: &Growth<'_>, read: Read<'_>) {
        let Growth {
            root,
            kind,
            path,
            name,
            bytes,
            files,
        } = *growth;
        match name.filter(|_| kind != RootKind::GoMod) {
            Some(Name::Entry(id)) => self.entry((root, id), path, bytes, files, read),
            Some(Name::Object(id)) => self.object((root, id), bytes, files, false),
            Some(Name::Executable(id)) => self.object((root, id), bytes, files, true),
            None => self.shares.add(&by_path(kind, path), bytes, files),
        }
    }

    fn entry(&mut self, at: Place, path: &[u8], bytes: i64, files: u64, read: Read<'_>) {
        let waiting = self.entries.entry(at).or_default();
        waiting.bytes += bytes;
        waiting.files += files;
        if bytes > 0 && waiting.output.is_none() {
            waiting.output = read(at.0, path).and_then(|entry| action_id::output(&entry));
        }
        let prefix = action_id::prefix_of(&at.1);
        if waiting.output.is_some() && self.actions.contains_key(&prefix) {
            self.named.push((at, prefix));
            self.claim(at, prefix, None);
            self.read_imports(prefix, read);
        }
        self.bound();
    }

    /// An entry is written after its object.
    fn read_imports(&mut self, prefix: Prefix, read: Read<'_>) {
        let is_compile = |built: &Built| built.class == Class::Compile;
        if !self.actions.get(&prefix).is_some_and(is_compile) {
            return;
        }
        let Some(Output {
            root, id: Some(id), ..
        }) = self.outputs.get(&prefix)
        else {
            return;
        };
        let object = read(*root, &object_path(id));
        let imports = object.and_then(|object| archive::imports(&object));
        if let Some(imports) = imports {
            let bytes = imports
                .iter()
                .map(|import| import.path.len())
                .sum::<usize>();
            if self.import_bytes + bytes <= IMPORT_BYTES_MAX {
                self.import_bytes += bytes;
                self.imports.insert(prefix, imports);
            }
        }
    }

    fn object(&mut self, at: Place, bytes: i64, files: u64, is_executable: bool) {
        let waiting = self.objects.entry(at).or_default();
        waiting.bytes += bytes;
        waiting.files += files;
        waiting.is_executable |= is_executable;
        self.bound();
    }

    /// An entry and its object belong to a known action.
    fn claim(&mut self, at: Place, prefix: Prefix, class: Option<Class>) {
        let Some(built) = self.actions.get(&prefix) else {
            return;
        };
        let Some(entry) = self.entries.remove(&at) else {
            return;
        };
        let object = entry.output.and_then(|id| self.objects.remove(&(at.0, id)));
        let object = object.unwrap_or_default();
        if action_id::prefix_of(&at.1) == prefix {
            self.outputs.entry(prefix).or_insert(Output {
                root: at.0,
                id: entry.output,
                is_rewritten: entry.files == 0,
            });
        }
        let class = match class {
            Some(class) => class,
            None if object.is_executable => Class::Executable,
            None => built.class,
        };
        let share = Share {
            class,
            path: built.path.clone(),
            variant: built.variant.clone(),
        };
        self.shares.add(
            &share,
            entry.bytes + object.bytes,
            entry.files + object.files,
        );
    }

    /// What is kept beside the output of a known action has a derived name.
    fn claim_aside(&mut self) {
        let named = std::mem::take(&mut self.named);
        for ((root, id), prefix) in &named {
            for description in ASIDE {
                let aside = (*root, action_id::subkey(id, description));
                self.claim(aside, *prefix, None);
            }
            let generated = self.actions.get(prefix).map(|built| built.path.clone());
            for (description, class) in self.shares.generated(generated.as_deref()) {
                let aside = (*root, action_id::subkey(id, &description));
                self.claim(aside, *prefix, Some(class));
            }
        }
        self.named = named;
    }

    /// Names of files that a child generates for a package.
    pub fn generates(&mut self, path: &str, class: Class, names: Vec<String>) {
        self.shares.generates(path, class, names);
    }

    /// Keeps memory bounded: what waits for too long in too long a queue goes by what it looks like.
    fn bound(&mut self) {
        if self.entries.len() + self.objects.len() > WAITING_MAX {
            self.settle(&|_, _| None, &About::default());
        }
    }

    /// Everything has a class now; `read` is asked for the beginning of objects that nobody named.
    pub fn settle(&mut self, read: Read<'_>, about: &About<'_>) {
        self.claim_aside();
        self.settle_kept(read, about);
        let built: HashSet<&str> = self
            .actions
            .values()
            .map(|built| built.path.as_str())
            .collect();
        let mut rest = Vec::new();
        for ((root, _), entry) in self.entries.drain() {
            let output = entry.output.map(|output| (root, output));
            let object = output.and_then(|at| self.objects.remove(&at));
            let object = object.unwrap_or_default();
            let share = output.map_or_else(
                || Share::unmapped(Class::by_look(b"", about.verb)),
                |at| by_look(at, read, about, &built),
            );
            rest.push((
                share,
                entry.bytes + object.bytes,
                entry.files + object.files,
            ));
        }
        for (at, object) in self.objects.drain() {
            rest.push((by_look(at, read, about, &built), object.bytes, object.files));
        }
        for (share, bytes, files) in rest {
            self.shares.add(&share, bytes, files);
        }
    }

    /// True for an action of which a child has run.
    pub(super) fn has_run(&self, action: &Prefix) -> bool {
        self.actions.contains_key(action)
    }

    /// Compilers and linkers that ran for a package: actions that no cache had.
    pub(super) fn ran(&self) -> u64 {
        self.ran
    }

    /// A compiler has ended.
    pub(super) fn ended(&mut self, process: &ProcessKey, cpu_ns: u64) {
        if let Some(prefix) = self.compilers.remove(process) {
            *self.cpu_ns.entry(prefix).or_default() += cpu_ns;
        }
    }

    /// What was compiled, by path.
    pub(super) fn compiled(&self, cache: Identify<'_>) -> Vec<Compiled> {
        let links = self
            .actions
            .values()
            .filter(|built| built.class == Class::Link);
        let linked: HashSet<&str> = links.map(|built| built.path.as_str()).collect();
        let compiles = self
            .actions
            .iter()
            .filter(|(_, built)| built.class == Class::Compile && !built.path.is_empty());
        let mut all: Vec<_> = compiles
            .map(|(prefix, built)| {
                let output = self.outputs.get(prefix);
                Compiled {
                    path: built.path.clone(),
                    directory: built.call.directory.clone(),
                    is_standard: built.call.is_standard,
                    is_cgo: self.cgo.contains(&built.path),
                    is_main: linked.contains(built.path.as_str()),
                    variant: built.variant.clone(),
                    flags: built.call.flags.clone(),
                    imports: self.imports.get(prefix).cloned(),
                    cache: cache(output.map(|output| output.root)),
                    action: *prefix,
                    is_kept: output.is_some(),
                    is_rewritten: output.is_some_and(|output| output.is_rewritten),
                    cpu_s: Duration::from_nanos(self.cpu_ns.get(prefix).copied().unwrap_or(0))
                        .as_secs_f64(),
                }
            })
            .collect();
        all.sort_by(|one, other| one.path.cmp(&other.path));
        all
    }

    /// Import paths of what was compiled, and the directories of their sources.
    pub(super) fn directories(&self) -> impl Iterator<Item = (&str, &str)> {
        let compiles = self.actions.values();
        let compiles = compiles.filter(|built| built.class == Class::Compile);
        compiles.map(|built| (built.path.as_str(), built.call.directory.as_str()))
    }

    /// Sums so far, largest first.
    pub fn shares(&self) -> &Shares {
        &self.shares
    }
}

/// What the invocation is about, for what has no other name.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    /// Verb of the command.
    pub verb: &'a str,
    /// Module it works in.
    pub module: &'a str,
}

/// What an object without a name looks like.
fn by_look((root, id): Place, read: Read<'_>, about: &About<'_>, built: &HashSet<&str>) -> Share {
    let head = read(root, &object_path(&id)).unwrap_or_default();
    content(&head, about, built)
}

/// What begins like this.
fn content(head: &[u8], about: &About<'_>, built: &HashSet<&str>) -> Share {
    let class = Class::by_look(head, about.verb);
    let path = match class {
        Class::Index => package_index::package(head, about.module, built),
        _ => None,
    };
    Share {
        path: path.unwrap_or_default(),
        ..Share::unmapped(class)
    }
}

/// What a path alone says.
fn by_path(kind: RootKind, path: &[u8]) -> Share {
    if kind != RootKind::GoBuild
        && let Some(module) = module_path::of_path(path)
    {
        return Share {
            class: Class::Module,
            path: module,
            variant: String::new(),
        };
    }
    if kind != RootKind::GoMod
        && let Some(package) = fuzzed(path)
    {
        return Share {
            class: Class::Fuzz,
            path: package,
            variant: String::new(),
        };
    }
    Share::unmapped(Class::Other)
}

/// `fuzz/<import path>/<FuzzName>/<file>`.
fn fuzzed(path: &[u8]) -> Option<String> {
    let inner = std::str::from_utf8(path).ok()?.strip_prefix("fuzz/")?;
    let (package, name) = inner.rsplit_once('/')?.0.rsplit_once('/')?;
    name.starts_with("Fuzz").then(|| package.to_owned())
}

#[cfg(test)]
mod tests;
