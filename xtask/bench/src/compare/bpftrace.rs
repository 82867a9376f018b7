//! bpftrace with a script of a screen (`cache.bt`): bytes written and files opened, per process.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use xtask::{
    command::{ask, program},
    setup,
};

use super::{
    observer::{Claim, Usage, Watch},
    watcher::Watcher,
};
use crate::workload::Workload;

const SCRIPT: &str = include_str!("cache.bt");
/// The longest string bpftrace compares.
const MAX_STRING: usize = 200;
const TRACEFS: &str = "/sys/kernel/tracing";

pub(super) struct Bpftrace(Watcher);

pub(super) fn start(workload: &Workload) -> Result<Bpftrace> {
    let bpftrace = setup::observer("bpftrace", "bpftrace")?;
    ensure_tracefs()?;
    let folder = format!("{}/", workload.cache().display());
    ensure!(
        folder.len() < MAX_STRING,
        "bpftrace cannot compare a path of {} bytes",
        folder.len()
    );
    let script = SCRIPT
        .replace("FOLDER", &folder)
        .replace("LENGTH", &folder.len().to_string());
    let path = workload.aside("cache.bt");
    fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
    let mut command = program(bpftrace);
    command
        .env("BPFTRACE_STRLEN", MAX_STRING.to_string())
        .arg(&path);
    Watcher::start(command, Some("Attaching"), workload).map(Bpftrace)
}

/// The agent mounts it for itself; bpftrace does not.
fn ensure_tracefs() -> Result<()> {
    if Path::new(TRACEFS).join("events").exists() {
        return Ok(());
    }
    ask(program("mount").args(["-t", "tracefs", "tracefs", TRACEFS])).map(drop)
}

impl Watch for Bpftrace {
    fn usage(&mut self) -> Result<Usage> {
        self.0.usage()
    }

    fn bpf_pid(&self) -> Option<u32> {
        Some(self.0.pid())
    }

    fn stop(self: Box<Self>, _cache: &Path) -> Result<Claim> {
        let said = self.0.stop("INT")?;
        Ok(Claim {
            bytes: Some(bytes(&said.output)),
            lost: Some(lost(&said.output) + lost(&said.errors)),
        })
    }
}

/// `@bytes[go, 4711]: 1234`, one for each process.
fn bytes(output: &str) -> u64 {
    output
        .lines()
        .filter(|line| line.starts_with("@bytes["))
        .filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok())
        .sum()
}

/// `Lost 12 events`, as often as it happened.
fn lost(output: &str) -> u64 {
    output
        .lines()
        .filter_map(|line| line.strip_prefix("Lost ")?.strip_suffix(" events"))
        .filter_map(|count| count.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_all_processes_are_summed() {
        let output = "Attaching 7 probes...\nLost 3 events\n\n@bytes[go, 12]: 100\n\
            @bytes[a: b, 13]: 20\n@files[go, 12]: 7\n@inside[12, 3]: 1\nLost 4 events\n";
        assert_eq!((bytes(output), lost(output)), (120, 7));
    }
}
