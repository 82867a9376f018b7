//! What a test stands on: the tools it was given, and a scratch directory that vanishes with it.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

pub use crate::file_system::FileSystem;
use crate::{
    agent::Trace,
    file_system::{Ground, Mounted, open_to_all},
    tree::{self, Tree},
};

/// A scratch directory with a root to watch and a place beside it, on one file system.
#[derive(Debug)]
pub struct Bench {
    // Unmounted before the directory is removed: fields drop in this order.
    ground: Ground,
    directory: TempDir,
}

impl Bench {
    /// A fresh directory for the test `name`.
    pub fn new(name: &str, file_system: FileSystem) -> Result<Self> {
        let scratch =
            variable("CACHE_TEST_SCRATCH").map_or_else(|_unset| env::temp_dir(), PathBuf::from);
        Self::below(&scratch, name, file_system)
    }

    /// A directory that every user can get to, which a checkout in a home is not.
    pub fn for_everyone(name: &str) -> Result<Self> {
        Self::below(&env::temp_dir(), name, FileSystem::Native)
    }

    fn below(scratch: &Path, name: &str, file_system: FileSystem) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "the system tests need root: run them with `cargo xtask test`"
        );
        let directory = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .permissions(open_to_all())
            .tempdir_in(scratch)
            .with_context(|| format!("cannot make a directory in {}", scratch.display()))?;
        // Reports name roots without symbolic links on the way.
        let base = directory.path().canonicalize()?.join("fs");
        fs::create_dir(&base)?;
        let bench = Self {
            ground: Ground::new(file_system, &base)?,
            directory,
        };
        fs::create_dir(bench.inside())?;
        fs::create_dir(bench.outside())?;
        Ok(bench)
    }

    /// Where the file system is mounted, or a directory of its own on it.
    pub fn base(&self) -> &Path {
        &self.ground.base
    }

    /// The directory that is watched.
    pub fn root(&self) -> PathBuf {
        self.base().join("root")
    }

    /// The directory in which a command works so that the root changes: mostly the root.
    pub fn inside(&self) -> PathBuf {
        self.shown_at().join("root")
    }

    /// A directory on the same file system that is not watched.
    pub fn outside(&self) -> PathBuf {
        self.shown_at().join("outside")
    }

    fn shown_at(&self) -> &Path {
        self.ground.shown_at.as_deref().unwrap_or(self.base())
    }

    /// A path for a file of the test's own, seldom on the watched file system.
    pub fn aside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Shows the root at another place too, until the guard is dropped.
    pub fn show_root_at(&self, place: &Path) -> Result<Mounted> {
        Mounted::bind(&self.root(), place)
    }

    /// The disk's own figures of the root.
    pub fn walk(&self) -> Result<Tree> {
        tree::walk(&self.root(), &[])
    }

    /// The agent, set to trace a command on this root.
    pub fn trace(&self) -> Result<Trace> {
        Ok(self.trace_without_root()?.root(self.root()))
    }

    /// The agent, set to trace a command on the roots that it finds itself.
    pub fn trace_without_root(&self) -> Result<Trace> {
        Trace::new(agent()?, self.aside("report.json"))
    }
}

/// The agent's binary.
pub fn agent() -> Result<PathBuf> {
    variable("CACHE_AGENT").map(PathBuf::from)
}

/// Prometheus' checker of expositions.
pub fn promtool() -> Result<PathBuf> {
    variable("CACHE_TEST_PROMTOOL").map(PathBuf::from)
}

/// The agent's option that chooses the backend, if the tests are told one.
pub fn backend() -> Option<String> {
    let backend = variable("CACHE_TEST_BACKEND").ok();
    backend.map(|backend| format!("--backend={backend}"))
}

/// Whether runs that take long are wanted.
pub fn soak() -> bool {
    variable("CACHE_TEST_SOAK").is_ok()
}

/// Notes that a test could not run, and why: a skip must not look like a result.
pub fn skip(suite: &str, test: &str, reason: &str) -> Result<()> {
    say(&format!("skipped: {suite}/{test}: {reason}"))?;
    note("CACHE_TEST_SKIPS", &format!("{suite}\t{test}\t{reason}"))
}

/// Adds a line to the file that the variable names, if somebody wants to know.
pub(crate) fn note(name: &str, line: &str) -> Result<()> {
    let Ok(file) = variable(name) else {
        return Ok(());
    };
    let mut notes = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)?;
    Ok(writeln!(notes, "{line}")?)
}

/// Prints a line also when the test passes: the test harness swallows what the macros print.
pub fn say(line: &str) -> Result<()> {
    Ok(writeln!(io::stderr().lock(), "{line}")?)
}

pub(crate) fn variable(name: &str) -> Result<String> {
    let value = env::var(name).ok().filter(|value| !value.is_empty());
    value
        .with_context(|| format!("{name} is not set: run the system tests with `cargo xtask test`"))
}
