//! The work whose cost is compared: a cold `go build std`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use xtask::{
    command::{ask, describe, program},
    paths,
};

use super::process::children_cpu;

#[derive(Debug)]
pub(super) struct Workload {
    goroot: PathBuf,
    folder: PathBuf,
    packages: Vec<String>,
    /// perf, where this machine counts instructions.
    perf: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub(super) struct Build {
    pub(super) wall_s: f64,
    /// User and system time of the whole tree.
    pub(super) cpu_s: f64,
    /// In user space: kernel ones do not repeat.
    pub(super) instructions: Option<u64>,
}

impl Workload {
    /// A build of `packages` by the toolchain in `goroot`, with everything it needs in `folder`.
    pub(super) fn new(goroot: &Path, folder: &Path, packages: &[String]) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let workload = Self {
            goroot: goroot.canonicalize()?,
            packages: packages.to_owned(),
            perf: perf_with_counters(&folder.join("perf.txt")),
            folder,
        };
        if workload.perf.is_none() {
            eprintln!("bench: perf counts no instructions here, times only");
        }
        workload.clear()?;
        Ok(workload)
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.folder.join("go-build")
    }

    /// Where the cache is, and everything beside it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A place beside the cache.
    pub(super) fn aside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Empties the cache, and waits for the disk, so that one run does not pay for another's
    /// writes.
    pub(super) fn clear(&self) -> Result<()> {
        let cache = self.cache();
        if cache.exists() {
            fs::remove_dir_all(&cache)
                .with_context(|| format!("cannot remove {}", cache.display()))?;
        }
        for folder in ["go-build", "mod", "home", "tmp"].map(|name| self.folder.join(name)) {
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        ask(&mut program("sync")).map(drop)
    }

    pub(super) fn build(&self) -> Result<Build> {
        self.clear()?;
        self.build_into_present_cache()
    }

    /// For when the agent watches the cache already: it must not be removed under it.
    pub(super) fn build_into_present_cache(&self) -> Result<Build> {
        let counts = self.folder.join("perf.txt");
        let mut command = self.command(&counts);
        let cpu_before = children_cpu()?;
        let started = Instant::now();
        let output = command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start `{}`", describe(&command)))?;
        let wall_s = started.elapsed().as_secs_f64();
        let cpu_s = children_cpu()? - cpu_before;
        ensure!(
            output.status.success(),
            "`{}` failed with {}: {}",
            describe(&command),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let instructions = self.perf.as_ref().and_then(|_| read_instructions(&counts));
        Ok(Build {
            wall_s,
            cpu_s,
            instructions,
        })
    }

    fn command(&self, counts: &Path) -> Command {
        let go = self.goroot.join("bin/go");
        let mut command = match &self.perf {
            Some(perf) => {
                let mut command = counting(perf, counts);
                command.arg(go);
                command
            }
            None => program(go),
        };
        command
            .arg("build")
            .args(&self.packages)
            .current_dir(&self.folder)
            .env("GOROOT", &self.goroot)
            .env("GOCACHE", self.cache())
            .env("GOMODCACHE", self.folder.join("mod"))
            .env("GOTMPDIR", self.folder.join("tmp"))
            // Not the user's: go writes its telemetry there.
            .env("HOME", self.folder.join("home"))
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "-mod=mod")
            .env("GOPROXY", "off");
        command
    }
}

fn counting(perf: &Path, counts: &Path) -> Command {
    let mut command = program(perf);
    command
        .args(["stat", "--event=instructions:u", "--field-separator=,"])
        .arg("--output")
        .arg(counts)
        .arg("--");
    command
}

fn perf_with_counters(counts: &Path) -> Option<PathBuf> {
    let perf = paths::find_program("perf")?;
    ask(counting(&perf, counts).arg("true")).ok()?;
    read_instructions(counts).map(|_| perf)
}

fn read_instructions(counts: &Path) -> Option<u64> {
    parse_instructions(&fs::read_to_string(counts).ok()?)
}

/// `1234,,instructions:u,...`; `<not supported>` instead of the number on most virtual machines.
fn parse_instructions(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains(",instructions:u"))?;
    line.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_where_there_are_any() {
        let counted = "# started on Sat\n\n4711,,instructions:u,100,100.00,,\n";
        assert_eq!(parse_instructions(counted), Some(4711));
        let refused = "<not supported>,,instructions:u,0,100.00,,\n";
        assert_eq!(parse_instructions(refused), None);
    }
}
