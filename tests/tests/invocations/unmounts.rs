//! File systems that a job mounts for its build, and unmounts while the agent runs.

use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    daemon::{Daemon, Run},
    file_system::Mounted,
    go::open_directory,
    report::signed,
    tree, wait,
    workshop::{Workshop, write},
};
use serde_json::Value;

use super::daemon::{all_told, build, discovering};

/// What a job's clean-up waits for at most.
const UNMOUNTS: Duration = Duration::from_secs(2);
const ROUNDS: usize = 4;
/// Until the agent has seen a mount: what a volume holds before that is the size that growth is counted from.
const SEEN: Duration = Duration::from_millis(200);

/// Unmounts as a job does when its build has ended, and nothing else than umount tells it whether that worked.
fn unmount(place: &Path) -> Result<()> {
    let started = Instant::now();
    wait::until("umount", UNMOUNTS, || {
        let output = Command::new("umount").arg(place).output()?;
        Ok(output.status.success().then_some(()))
    })
    .with_context(|| format!("busy after {:?}", started.elapsed()))
}

/// A module whose build adds something each time.
fn edit(module: &Path, round: usize) -> Result<()> {
    let text = format!("package p0\n\nconst Round = \"{round}\"\n");
    write(&module.join("p0/round.go"), &text)
}

/// Growth of the cache by builds in a row, each on what `mount` mounts for it.
fn builds(shop: &Workshop, cache: &Path, mount: impl Fn() -> Result<Mounted>) -> Result<Vec<i64>> {
    let module = shop.module("mounted", 3)?;
    let mut grown = Vec::new();
    for round in 0..ROUNDS {
        let mounted = mount()?;
        thread::sleep(SEEN);
        edit(&module, round)?;
        let before = signed(tree::walk(cache, &[])?.bytes);
        build(shop, &module, cache)?;
        grown.push(signed(tree::walk(cache, &[])?.bytes) - before);
        ensure!(grown.iter().all(|bytes| *bytes > 0), "{grown:?}");
        if round + 1 < ROUNDS {
            unmount(cache)?;
        } else {
            // The figures of the last one are looked at.
            std::mem::forget(mounted);
        }
    }
    Ok(grown)
}

/// Every byte is told once: by the record of its build, and by the root.
fn exact(daemon: &Daemon, state: &Path, name: &str, cache: &Path, grown: &[i64]) -> Result<()> {
    let is_build = |record: &Value| record["module"] == "example.com/mounted";
    let told = all_told(daemon, state, ROUNDS, is_build)?;
    let mut growth: Vec<_> = told
        .iter()
        .map(|record| record["growth_bytes"].as_i64())
        .collect();
    growth.reverse();
    let expected: Vec<_> = grown.iter().copied().map(Some).collect();
    ensure!(
        growth == expected,
        "{expected:?}: {told:#?}\n{}",
        daemon.log()?
    );
    let path = cache.to_string_lossy();
    for (record, bytes) in told.iter().rev().zip(grown) {
        let share = &record["roots"][path.as_ref()];
        ensure!(share["growth_bytes"] == *bytes, "{bytes} B: {record:#}");
    }
    let bytes = tree::walk(cache, &[])?.bytes;
    daemon.wait_size(name, bytes)?;
    daemon.wait_metric("go_cache_drift_bytes", name, 0)?;
    let sum: i64 = grown.iter().sum();
    daemon.wait_metric("go_cache_growth_bytes_total", name, u64::try_from(sum)?)?;
    Ok(())
}

/// A cache in memory, one for each build: found in use, and unmounted at once.
#[test]
fn a_file_system_is_unmounted_right_after_the_build() -> Result<()> {
    let shop = Workshop::new("unmounts")?;
    let cache = shop.place("memory");
    open_directory(&cache)?;
    let (daemon, state) = discovering(&shop)?;
    let grown = builds(&shop, &cache, || Mounted::tmpfs(&cache))?;
    let outcome = exact(&daemon, &state, "gobuild:uid0", &cache, &grown);
    unmount(&cache)?;
    outcome
}

/// One volume, mounted for each build: what it holds comes back with it.
#[test]
fn a_volume_comes_back_with_what_it_holds() -> Result<()> {
    let shop = Workshop::new("volume")?;
    let (cache, volume) = (shop.place("mounted"), shop.place("volume"));
    open_directory(&cache)?;
    open_directory(&volume)?;
    let (daemon, state) = discovering(&shop)?;
    let grown = builds(&shop, &cache, || Mounted::bind(&volume, &cache))?;
    let outcome = exact(&daemon, &state, "gobuild:uid0", &cache, &grown);
    unmount(&cache)?;
    outcome
}

/// A root that the administrator named is no other.
#[test]
fn a_configured_root_is_unmounted_too() -> Result<()> {
    let shop = Workshop::new("named")?;
    let cache = shop.place("memory");
    open_directory(&cache)?;
    let state = shop.place("state");
    let daemon = Run::new(&shop.bench, "agent")?
        .root(&cache)
        .state(&state)
        .ready()?;
    let grown = builds(&shop, &cache, || Mounted::tmpfs(&cache))?;
    let outcome = exact(&daemon, &state, "memory", &cache, &grown);
    unmount(&cache)?;
    outcome
}
