//! auditd with a watch on the directory. It names files and processes, and tells no bytes.
//!
//! Whoever uses auditing on this machine already is left alone: then the observer is refused.

use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use xtask::{
    command::{ask, program},
    setup::{self, Auditd},
};

use super::{
    observer::{Claim, Usage, Watch},
    watcher::Watcher,
};
use crate::{
    process::{cpu_of, kernel_thread},
    workload::Workload,
};

/// What Debian's rules set; the kernel's own 64 are gone at once.
const BACKLOG: &str = "8192";
/// In the kernel, records go through this thread.
const KERNEL_THREAD: &str = "kauditd";

pub(super) struct Audit {
    // Stopped before the rules go: fields drop in this order.
    watcher: Watcher,
    kernel_cpu_s: f64,
    lost: u64,
    rules: Rules,
}

pub(super) fn start(workload: &Workload) -> Result<Audit> {
    let auditd = setup::auditd()?;
    let before = status(&auditd)?;
    ensure!(
        field(&before, "pid")? == 0,
        "an audit daemon of this machine is running"
    );
    let rules = Rules::watch(auditd, &workload.cache(), &before)?;
    let configuration = workload.aside("audit");
    write_configuration(&configuration)?;
    let mut command = rules.program(&rules.auditd.daemon);
    command.args(["-n", "-c"]).arg(&configuration);
    let watcher = Watcher::start(command, None, workload)?;
    let enabled = status(&rules.auditd)?;
    ensure!(
        field(&enabled, "enabled")? == 1 && field(&enabled, "pid")? != 0,
        "auditd started, but the kernel audits nothing"
    );
    Ok(Audit {
        watcher,
        kernel_cpu_s: kernel_cpu()?,
        lost: field(&enabled, "lost")?,
        rules,
    })
}

impl Watch for Audit {
    fn usage(&mut self) -> Result<Usage> {
        let usage = self.watcher.usage()?;
        Ok(Usage {
            cpu_s: usage.cpu_s + kernel_cpu()? - self.kernel_cpu_s,
            ..usage
        })
    }

    fn stop(self: Box<Self>, _cache: &Path) -> Result<Claim> {
        let lost = field(&status(&self.rules.auditd)?, "lost")?;
        self.watcher.stop("TERM")?;
        Ok(Claim {
            bytes: None,
            lost: Some(lost.saturating_sub(self.lost)),
        })
    }
}

fn kernel_cpu() -> Result<f64> {
    kernel_thread(KERNEL_THREAD).map_or(Ok(0.0), cpu_of)
}

/// The watch, taken back when dropped.
#[derive(Debug)]
struct Rules {
    auditd: Auditd,
    watch: Vec<OsString>,
    backlog: String,
}

/// No process is audited. The kernel never quite forgets that auditing was on once: without this rule all
/// processes started later would be slower, and the next observer with them.
const NEVER: [&str; 2] = ["task,never", "-a"];

impl Rules {
    fn watch(auditd: Auditd, cache: &Path, before: &str) -> Result<Self> {
        let rules = list(&auditd)?;
        let only_never = rules == ["-a never,task"];
        ensure!(
            only_never || rules.is_empty() && field(before, "enabled")? == 0,
            "auditing is in use on this machine"
        );
        let mut folder = OsString::from("dir=");
        folder.push(cache);
        let rules = Self {
            auditd,
            watch: vec![
                "always,exit".into(),
                "-F".into(),
                folder,
                "-F".into(),
                "perm=wa".into(),
            ],
            backlog: field(before, "backlog_limit")?.to_string(),
        };
        if only_never {
            rules.control(["-d", NEVER[0]])?;
        }
        rules.control(["-b", BACKLOG])?;
        rules.control(std::iter::once("-a".into()).chain(rules.watch.iter().cloned()))?;
        Ok(rules)
    }

    fn control(&self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Result<String> {
        let mut command = self.program(&self.auditd.control);
        command.args(arguments.into_iter().map(Into::into));
        ask(&mut command)
    }

    fn program(&self, path: &Path) -> Command {
        program_of(&self.auditd, path)
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        let undone = [
            self.control(std::iter::once("-d".into()).chain(self.watch.iter().cloned())),
            self.control(["-e", "0"]),
            self.control(["-b", &self.backlog]),
            self.control([NEVER[1], NEVER[0]]),
        ];
        for error in undone.into_iter().filter_map(Result::err) {
            eprintln!("bench: cannot undo what auditd needed: {error:#}");
        }
    }
}

fn program_of(auditd: &Auditd, path: &Path) -> Command {
    let mut command = program(path);
    if let Some(libraries) = &auditd.libraries {
        let folders = ["lib", "usr/lib"]
            .map(|folder| libraries.join(folder))
            .map(|folder| with_triplet(&folder));
        if let Ok(path) = std::env::join_paths(folders.into_iter().flatten()) {
            command.env("LD_LIBRARY_PATH", path);
        }
    }
    command
}

/// Debian's libraries lie in a folder named after the architecture.
fn with_triplet(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}

fn status(auditd: &Auditd) -> Result<String> {
    ask(program_of(auditd, &auditd.control).arg("-s"))
}

fn list(auditd: &Auditd) -> Result<Vec<String>> {
    let text = ask(program_of(auditd, &auditd.control).arg("-l"))?;
    Ok(text
        .lines()
        .filter(|line| *line != "No rules")
        .map(str::to_owned)
        .collect())
}

/// `lost 12`, one in a line.
fn field(status: &str, name: &str) -> Result<u64> {
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let Some(value) = value else {
        bail!("auditctl tells no {name}");
    };
    value
        .trim()
        .parse()
        .with_context(|| format!("auditctl tells {name} {value}"))
}

/// One log that is never rotated, so that its size is what it is.
fn write_configuration(folder: &Path) -> Result<()> {
    let plugins = folder.join("plugins.d");
    fs::create_dir_all(&plugins).with_context(|| format!("cannot make {}", plugins.display()))?;
    // It refuses folders that others may read.
    for own in [folder, &plugins] {
        fs::set_permissions(own, fs::Permissions::from_mode(0o750))?;
    }
    let text = format!(
        "local_events = yes\nwrite_logs = yes\nlog_file = {}\nlog_format = RAW\n\
        flush = INCREMENTAL_ASYNC\nfreq = 50\nmax_log_file = 4096\nmax_log_file_action = IGNORE\n\
        space_left = 75\nspace_left_action = IGNORE\nadmin_space_left = 50\n\
        admin_space_left_action = IGNORE\ndisk_full_action = IGNORE\ndisk_error_action = IGNORE\n\
        priority_boost = 4\nq_depth = 2000\noverflow_action = IGNORE\nplugin_dir = {}\n",
        folder.join("audit.log").display(),
        plugins.display()
    );
    let path = folder.join("auditd.conf");
    fs::write(&path, text)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o640)))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "enabled 1\nbacklog_limit 8192\nlost 12\nbacklog 3\n";
        assert_eq!(field(status, "backlog").unwrap(), 3);
        assert_eq!(field(status, "lost").unwrap(), 12);
        assert!(field(status, "back").is_err());
    }
}
