//! Writes that fail: what was written before the failure counts, and nothing else.

use std::{ffi::OsString, fs};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    agent::Traced,
    conformance,
    env::{self, Bench, FileSystem},
    file_system::{fill_up, limit_user, remount},
    report::Observation,
};
use rustix::mount::MountFlags;

use super::{ACTOR, SUITE, on};

/// Room that is left for the actor.
const ROOM: u64 = 4 << 20;
/// A user that no machine has, for whom a quota is set.
const USER: u32 = 54_321;

/// Full, quota'd or read-only: exact where all is observed, else nothing is lost in total.
fn right(traced: &Traced, bench: &Bench, file_system: FileSystem, operation: &str) -> Result<()> {
    let report = traced.report()?;
    let seen = ["unlink", "rename"]
        .iter()
        .all(|needed| report.coverage.get(*needed) == Some(&Observation::Observed));
    let mut found = traced.differences()?;
    if seen {
        found.extend(traced.corrections()?);
        let unattributed = report.unattributed_bytes();
        if unattributed != 0 {
            found.push(format!("{unattributed} B are unattributed"));
        }
    }
    conformance::note(report, file_system, operation, found.is_empty(), seen)?;
    ensure!(bench.walk()?.bytes > 0, "nothing was written");
    conformance::nothing(&found, traced)
}

fn full(file_system: FileSystem) -> Result<()> {
    let bench = Bench::new("full", file_system)?;
    if file_system == FileSystem::Tmpfs {
        remount(bench.base(), MountFlags::empty(), &format!("size={ROOM}"))?;
    } else {
        fill_up(&bench.outside().join("filler"), ROOM)?;
    }
    let words: [OsString; 3] = ["until-full".into(), "ENOSPC".into(), bench.root().into()];
    let traced = bench.trace()?.run(ACTOR, words)?;
    right(&traced, &bench, file_system, "full")
}

#[test]
fn full_ext4() -> Result<()> {
    on(FileSystem::Ext4, "full_ext4", full)
}

#[test]
fn full_xfs() -> Result<()> {
    on(FileSystem::Xfs, "full_xfs", full)
}

#[test]
fn full_btrfs() -> Result<()> {
    on(FileSystem::Btrfs, "full_btrfs", full)
}

#[test]
fn full_tmpfs() -> Result<()> {
    on(FileSystem::Tmpfs, "full_tmpfs", full)
}

#[test]
fn a_quota_that_is_used_up() -> Result<()> {
    on(FileSystem::Ext4, "a_quota_that_is_used_up", |file_system| {
        let bench = Bench::new("quota", file_system)?;
        if let Err(error) = limit_user(bench.base(), USER, ROOM) {
            return env::skip(SUITE, "a_quota_that_is_used_up", &format!("{error:#}"));
        }
        std::os::unix::fs::chown(bench.root(), Some(USER), Some(USER))?;
        let words: [OsString; 4] = [
            "until-full".into(),
            "EDQUOT".into(),
            bench.root().into(),
            USER.to_string().into(),
        ];
        let traced = bench.trace()?.run(ACTOR, words)?;
        right(&traced, &bench, file_system, "quota")
    })
}

fn read_only(file_system: FileSystem) -> Result<()> {
    let bench = Bench::new("read-only", file_system)?;
    let mounted = mount_of(&bench)?;
    let words: [OsString; 3] = ["read-only".into(), mounted, bench.root().into()];
    let traced = bench.trace()?.run(ACTOR, words)?;
    let walked = bench.walk()?;
    ensure!((walked.bytes, walked.files) == (3500, 2), "{walked:?}");
    traced.exact()?;
    right(&traced, &bench, file_system, "read_only")
}

/// Where the bench's file system is mounted: the longest mount point above it.
fn mount_of(bench: &Bench) -> Result<OsString> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let above = points.filter(|point| bench.base().starts_with(point));
    let point = above.max_by_key(|point| point.len());
    Ok(point.context("the bench is on no mount")?.into())
}

#[test]
fn read_only_ext4() -> Result<()> {
    on(FileSystem::Ext4, "read_only_ext4", read_only)
}

#[test]
fn read_only_xfs() -> Result<()> {
    on(FileSystem::Xfs, "read_only_xfs", read_only)
}

#[test]
fn read_only_btrfs() -> Result<()> {
    on(FileSystem::Btrfs, "read_only_btrfs", read_only)
}

#[test]
fn read_only_tmpfs() -> Result<()> {
    on(FileSystem::Tmpfs, "read_only_tmpfs", read_only)
}
