//! A root in trouble is in trouble alone.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    process::Command,
};

use anyhow::{Result, ensure};
use cache_tests::wait;
use rustix::fs::{Mode, OFlags, mkdirat, openat};

use crate::{ATTACK, ATTACKER, Attacker, Host, RECOVERS};

/// Short walks: each finds the root in the middle of something.
const OFTEN: &str = "walk_interval = \"1s\"";

#[test]
fn a_root_that_is_removed_and_made_again_in_a_loop_ends_nothing() -> Result<()> {
    let mut host = Host::new("flaps", OFTEN)?;
    let script = "while :; do rmdir attacked; mkdir attacked; done";
    let attacker = Attacker::start(script, &host.bench.outside())?;
    wait::until("six losses", 4 * RECOVERS, || {
        Ok((host.logged("root is gone")? == 6).then_some(()))
    })?;
    wait::pause(ATTACK);
    drop(attacker);
    fs::create_dir_all(host.attacked())?;
    host.is_unharmed()?;
    let (gone, watched) = (host.logged("root is gone")?, host.logged("watching root")?);
    // It, and the other one.
    ensure!((gone, watched) == (6, 7), "{}", host.daemon.log()?);
    host.wait_told("root attacked: its directory came and went too often")
}

#[test]
fn a_cache_that_is_removed_and_filled_all_the_time_ends_nothing() -> Result<()> {
    let mut host = Host::new("refilled", OFTEN)?;
    host.attack(
        "while :; do mkdir -p attacked/a/b/c; : > attacked/a/b/c/f; : > attacked/f; rm -rf attacked/*; done",
    )?;
    host.is_unharmed()
}

#[test]
fn a_cache_that_is_removed_between_walks_is_let_go() -> Result<()> {
    let mut host = Host::new("removed", OFTEN)?;
    fs::remove_dir(host.attacked())?;
    host.is_unharmed()?;
    ensure!(host.logged("root is gone")? == 1, "{}", host.daemon.log()?);
    Ok(())
}

#[test]
fn a_root_of_8100_levels_is_walked_as_deep_as_the_hooks_see_and_told() -> Result<()> {
    let mut host = Host::new("deep", OFTEN)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut directory = openat(rustix::fs::CWD, host.attacked(), flags, Mode::empty())?;
    for _ in 0..8_100 {
        mkdirat(&directory, "d", Mode::RWXU)?;
        directory = openat(&directory, "d", flags, Mode::empty())?;
    }
    host.wait_told("root attacked: directories lie deeper than 128 levels: 1")?;
    let descriptors = fs::read_dir(format!("/proc/{}/fd", host.daemon.pid()))?.count();
    ensure!(descriptors < 400, "{descriptors} descriptors");
    host.is_unharmed()?;
    // The bench would take a descriptor for each level.
    let status = Command::new("rm")
        .arg("-rf")
        .arg(host.attacked())
        .status()?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[test]
fn a_cache_whose_name_is_a_line_of_the_log_forges_none() -> Result<()> {
    let mut host = Host::new("forged", "discover = true")?;
    let script = "cd tools; mkdir -p \"$cache/00\"; while :; do GOCACHE=$cache ./go build; done";
    go(&host, "GOCACHE=\"$GOCACHE\"")?;
    let cache = host
        .bench
        .outside()
        .join("x\n2026-01-01T00:00:00Z ERROR forged\u{9b}\u{202e}");
    let cache = cache.display();
    let attacker = Attacker::start(&format!("cache='{cache}'; {script}"), &host.bench.outside())?;
    wait::until("the cache", RECOVERS, || {
        Ok((host.logged("gobuild:uid65534")? > 0).then_some(()))
    })?;
    drop(attacker);
    host.is_unharmed()?;
    let log = host.daemon.log()?;
    ensure!(
        log.contains("x\\n2026-01-01T00:00:00Z ERROR forged\\u{9b}\\u{202e}"),
        "{log}"
    );
    let forged = log.lines().filter(|line| line.starts_with("2026-01-01"));
    ensure!(forged.count() == 0, "{log}");
    Ok(())
}

/// A `go` of the attacker's, whose tool is told these variables.
pub(super) fn go(host: &Host, variables: &str) -> Result<()> {
    let tools = host.bench.outside().join("tools");
    fs::create_dir(&tools)?;
    chown(&tools, Some(ATTACKER), Some(ATTACKER))?;
    fs::copy("/bin/sh", tools.join("compile"))?;
    let go = tools.join("go");
    let text = format!("#!/bin/sh\n{variables} ${{0%go}}compile -c 'sleep 0.5'\n");
    fs::write(&go, text)?;
    fs::set_permissions(&go, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[test]
fn what_go_commands_call_their_cache_is_no_root_on_proc() -> Result<()> {
    let mut host = Host::new("pseudo", "discover = true")?;
    go(&host, "GOCACHE=/proc/$$")?;
    let attacker = Attacker::start("while :; do tools/go build; done", &host.bench.outside())?;
    // However many commands name them.
    wait::until("refusals", 4 * RECOVERS, || {
        let exposition = host.daemon.scrape()?;
        let failures = exposition.value("go_cache_agent_root_failures_total", &[])?;
        Ok((failures > 3.0).then_some(()))
    })?;
    drop(attacker);
    host.is_unharmed()?;
    let log = host.daemon.log()?;
    ensure!(
        host.logged("lies on proc, which holds no files of its own")? == 1,
        "{log}"
    );
    Ok(())
}
