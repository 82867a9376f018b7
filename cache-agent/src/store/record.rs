//! What is written: one record for each thing worth remembering.

use crate::model::{
    built::Built,
    invocation::{Invocation, Package},
};

/// Minutes are the grain of root sizes.
pub const MS_PER_MINUTE: i64 = 60_000;
/// Bytes that a record takes in memory besides its texts, roughly.
const OVERHEAD: usize = 256;

/// One thing to remember.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// An invocation and all that it wrote so far, by package.
    Invocation(Box<Invocation>, Vec<Package>),
    /// How large a root was at the end of a minute.
    RootSize(RootSize),
    /// A threshold crossed, or crossed back.
    Crossing(Crossing),
}

/// A root as the history knows it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Root {
    /// Its name, as in the metrics.
    pub name: String,
    /// Where it is; not UTF-8 is replaced.
    pub path: String,
    /// `gobuild`, `gomod` or `other`.
    pub kind: &'static str,
}

/// One row for a root and a minute; a later one for the same minute replaces it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RootSize {
    /// The root.
    pub root: Root,
    /// Minutes since the Unix epoch.
    pub minute: i64,
    /// Apparent size in bytes.
    pub size_bytes: u64,
    /// Allocated size in bytes at its last walk.
    pub disk_bytes: u64,
    /// Regular files.
    pub files: u64,
}

/// A threshold that changed sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossing {
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The root.
    pub root: Root,
    /// `warn`, `free_space` or `free_inodes`.
    pub level: &'static str,
    /// To the bad side, or back.
    pub crossed: bool,
    /// Bytes or share found; `None` where it is not known.
    pub value: Option<f64>,
    /// Bytes or share configured.
    pub limit: f64,
}

impl Record {
    /// Memory it takes while it waits, roughly, in bytes.
    pub(super) fn weight(&self) -> usize {
        let texts = match self {
            Self::Invocation(invocation, packages) => {
                invocation_texts(invocation) + packages.iter().map(package).sum::<usize>()
            }
            Self::RootSize(size) => size.root.name.len() + size.root.path.len(),
            Self::Crossing(crossing) => crossing.root.name.len() + crossing.root.path.len(),
        };
        OVERHEAD + texts
    }
}

/// The texts whose length others choose.
fn invocation_texts(invocation: &Invocation) -> usize {
    let pairs = |map: &std::collections::BTreeMap<String, String>| -> usize {
        map.iter().map(|(key, value)| key.len() + value.len()).sum()
    };
    let causes = invocation.cause.iter();
    invocation.argv.iter().map(String::len).sum::<usize>()
        + invocation.cwd.len()
        + invocation.module.len()
        + invocation.cgroup.len()
        + pairs(&invocation.ci)
        + pairs(&invocation.fingerprint)
        + causes
            .map(|cause| cause.kind.len() + cause.detail.len())
            .sum::<usize>()
        + invocation.roots.keys().map(String::len).sum::<usize>()
        + invocation.processes.keys().map(String::len).sum::<usize>()
        + size_of_val(invocation.keys.as_slice())
        + invocation.built.iter().map(built).sum::<usize>()
}

fn built(built: &Built) -> usize {
    let reasons = built.reasons.iter();
    let reasons = reasons.map(|reason| reason.kind.len() + reason.detail.len());
    let texts = built.packages.iter().chain(&built.how.flags);
    size_of::<Built>()
        + reasons.sum::<usize>()
        + texts
            .map(|text| size_of::<String>() + text.len())
            .sum::<usize>()
}

fn package(package: &Package) -> usize {
    size_of::<Package>() + package.path.len() + package.variant.len() + package.invocation.len()
}
