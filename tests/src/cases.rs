//! The table of conformance: what each operation finds, does, and must be credited with.
//!
//! The program `actor` performs the operation of the same name; what it should amount to is
//! written here, apart from it.

mod table;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

pub use self::table::CASES;
use crate::file_system::FileSystem;

/// Bytes that an ending such as fork lets somebody append who did not open the file.
pub const LATE_BYTES: i64 = 4321;

/// Files of a tree: one per level.
const TREE_BYTES: [i64; 3] = [1000, 4000, 10_000];

/// The two directories an operation works on.
#[derive(Clone, Debug)]
pub struct Place {
    /// Below the root.
    pub inside: PathBuf,
    /// On the same file system, not below the root.
    pub outside: PathBuf,
}

/// Something that is there before the trace begins; paths begin with `in/` or `out/`.
#[derive(Clone, Copy, Debug)]
pub enum Given {
    /// A file with as many bytes.
    File(&'static str, i64),
    /// A hard link: existing name, new name.
    Link(&'static str, &'static str),
    /// Nested directories with a file in each.
    Tree(&'static str),
}

/// What becomes of bytes that are appended to the open file after the operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Late {
    /// They are credited to the process that opened the file.
    Counts,
    /// The file is not, or no longer, in the root.
    Outside,
}

/// Whether an operation leaves a file open for write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leaves {
    /// It does; every ending applies.
    Open(Late),
    /// All is done when it returns.
    Nothing,
}

/// One operation and its effect on the root; a count that the contract leaves open is `None`.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub given: &'static [Given],
    pub leaves: Leaves,
    pub growth: i64,
    pub freed: Option<u64>,
    pub created: Option<u64>,
    pub deleted: Option<u64>,
    pub renamed: Option<u64>,
    /// Entries of the coverage that must be observed for it to be credited.
    pub needs: &'static [&'static str],
    /// File systems that can do it; empty for all.
    pub only: &'static [FileSystem],
}

impl Case {
    /// An operation that leaves a file of the root open.
    const fn open(name: &'static str, given: &'static [Given], growth: i64) -> Self {
        Self::new(name, given, Leaves::Open(Late::Counts), growth)
    }

    /// An operation that leaves a file open that is not in the root.
    const fn open_outside(name: &'static str, given: &'static [Given], growth: i64) -> Self {
        Self::new(name, given, Leaves::Open(Late::Outside), growth)
    }

    /// An operation that is done when it returns.
    const fn done(name: &'static str, given: &'static [Given], growth: i64) -> Self {
        Self::new(name, given, Leaves::Nothing, growth)
    }

    const fn new(name: &'static str, given: &'static [Given], leaves: Leaves, growth: i64) -> Self {
        Self {
            name,
            given,
            leaves,
            growth,
            freed: Some(0),
            created: Some(0),
            deleted: Some(0),
            renamed: Some(0),
            needs: &[],
            only: &[],
        }
    }

    const fn by(self, needs: &'static [&'static str]) -> Self {
        Self { needs, ..self }
    }

    const fn only(self, only: &'static [FileSystem]) -> Self {
        Self { only, ..self }
    }

    const fn freed(self, freed: u64) -> Self {
        Self {
            freed: Some(freed),
            ..self
        }
    }

    /// What was grown and released again before it was settled may count as freed or not.
    const fn freed_any(self) -> Self {
        Self {
            freed: None,
            ..self
        }
    }

    const fn created(self, created: u64) -> Self {
        Self {
            created: Some(created),
            ..self
        }
    }

    const fn deleted(self, deleted: u64) -> Self {
        Self {
            deleted: Some(deleted),
            ..self
        }
    }

    const fn renamed(self, renamed: u64) -> Self {
        Self {
            renamed: Some(renamed),
            ..self
        }
    }

    /// Renames of directories and exchanges may count once, or once per file.
    const fn renamed_any(self) -> Self {
        Self {
            renamed: None,
            ..self
        }
    }

    /// The case of that name.
    pub fn named(name: &str) -> Result<&'static Self> {
        let found = CASES.iter().find(|case| case.name == name);
        found.with_context(|| format!("no case is named {name}"))
    }

    /// Whether that file system can do it.
    pub fn is_for(&self, file_system: FileSystem) -> bool {
        self.only.is_empty() || self.only.contains(&file_system)
    }

    /// Makes what is given.
    pub fn prepare(&self, place: &Place) -> Result<()> {
        fs::create_dir_all(&place.inside)?;
        fs::create_dir_all(&place.outside)?;
        for given in self.given {
            place
                .make(given)
                .with_context(|| format!("{}: cannot make {given:?}", self.name))?;
        }
        Ok(())
    }

    /// Growth when `ending` follows.
    pub fn growth_with(&self, ending: Ending) -> i64 {
        let late = ending.writes_late() && self.leaves == Leaves::Open(Late::Counts);
        self.growth + if late { LATE_BYTES } else { 0 }
    }

    /// Freed bytes when `ending` follows; a late write may change what was net when it was settled.
    pub fn freed_with(&self, ending: Ending) -> Option<u64> {
        self.freed
            .filter(|freed| *freed == 0 || !ending.writes_late())
    }

    /// The endings that make a difference.
    pub fn endings(&self) -> &'static [Ending] {
        match self.leaves {
            Leaves::Open(_) => &Ending::ALL,
            Leaves::Nothing => &[Ending::Close, Ending::Kill],
        }
    }
}

impl Place {
    /// The path behind a name such as `in/file`.
    pub fn path(&self, name: &str) -> PathBuf {
        match name.split_once('/') {
            Some(("out", rest)) => self.outside.join(rest),
            Some((_inside, rest)) => self.inside.join(rest),
            None => self.inside.clone(),
        }
    }

    fn make(&self, given: &Given) -> io::Result<()> {
        match *given {
            Given::File(name, bytes) => fill(&self.path(name), bytes),
            Given::Link(old, new) => fs::hard_link(self.path(old), self.path(new)),
            Given::Tree(name) => {
                let mut directory = self.path(name);
                for bytes in TREE_BYTES {
                    fs::create_dir(&directory)?;
                    fill(&directory.join("file"), bytes)?;
                    directory.push("sub");
                }
                Ok(())
            }
        }
    }
}

fn fill(path: &Path, bytes: i64) -> io::Result<()> {
    fs::write(path, vec![b'x'; usize::try_from(bytes).unwrap_or_default()])
}

/// How the process parts with the file that it has open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// It closes it.
    Close,
    /// It duplicates the descriptor, closes the first and writes through the second.
    DupClose,
    /// It duplicates another descriptor onto that of the file.
    DupOver,
    /// It exits.
    Exit,
    /// It is killed.
    Kill,
    /// It exits; its child has the descriptor and writes later.
    Fork,
    /// It executes another program, the descriptor closes.
    ExecCloexec,
    /// It executes another program, which writes to the descriptor.
    ExecKeep,
    /// It passes the descriptor over a socket and closes its own; the receiver writes.
    PassFd,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Close,
        Self::DupClose,
        Self::DupOver,
        Self::Exit,
        Self::Kill,
        Self::Fork,
        Self::ExecCloexec,
        Self::ExecKeep,
        Self::PassFd,
    ];

    /// As on the actor's command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::DupClose => "dup-close",
            Self::DupOver => "dup-over",
            Self::Exit => "exit",
            Self::Kill => "kill",
            Self::Fork => "fork",
            Self::ExecCloexec => "exec-cloexec",
            Self::ExecKeep => "exec-keep",
            Self::PassFd => "pass-fd",
        }
    }

    /// The ending of that name.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|ending| ending.name() == name);
        found.with_context(|| format!("no ending is named {name}"))
    }

    /// Whether [`LATE_BYTES`] are appended after the operation.
    pub fn writes_late(self) -> bool {
        matches!(
            self,
            Self::DupClose | Self::Fork | Self::ExecKeep | Self::PassFd
        )
    }
}

/// Size of the file that the process number `index` of a crowd creates.
pub fn crowd_bytes(index: usize) -> usize {
    index % 97 + 1
}
