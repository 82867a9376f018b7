//! The agent does not run for seconds while the caches grow: the kernel side goes on counting.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use cache_tests::{daemon::Run, identities, wait};
use rustix::process::Signal;

use crate::{bench, go_build, write_files};

/// How long the agent does not run.
const STOPPED: Duration = Duration::from_secs(10);
/// What a build has written when it is well under way.
const UNDER_WAY: u64 = 5_000_000;
/// So large an environment that what a stopped agent is to be told does not fit its ring.
const ENVIRONMENT_BYTES: usize = 16_384;
/// Until a build has written that much, or all, on a busy machine.
const BUILDS: Duration = Duration::from_mins(5);

#[test]
fn an_agent_that_was_stopped_for_seconds_has_the_right_totals() -> Result<()> {
    let bench = bench("stopped")?;
    let daemon = Run::new(&bench, "agent")?.root(bench.root()).ready()?;
    daemon.signal(Signal::STOP)?;
    let stopped = Instant::now();
    let mut round = 0;
    while stopped.elapsed() < STOPPED {
        write_files(&bench, &format!("round{round}"), 100, 1000)?;
        round += 1;
    }
    fs::remove_dir_all(bench.root().join("round0"))?;
    daemon.signal(Signal::CONT)?;
    let exposition = identities::ledger_is_disk(&daemon, "root", &bench.root())?;
    identities::hold(&exposition)?;
    identities::all_is_attributed(&exposition)?;
    let drift = exposition.of_root("go_cache_drift_bytes", "root")?;
    assert_eq!(drift.to_string(), "0");
    assert!(daemon.stop()?.success());
    Ok(())
}

#[test]
fn an_agent_that_was_stopped_during_a_build_has_the_right_totals() -> Result<()> {
    let bench = bench("stopped-build")?;
    let daemon = Run::new(&bench, "agent")?.root(bench.root()).ready()?;
    // Environments are told with each exec.
    let padding = "p".repeat(ENVIRONMENT_BYTES);
    let mut build = go_build(&bench)?.env("PADDING", padding).spawn()?;
    wait::until("the build's first megabytes", BUILDS, || {
        Ok((bench.walk()?.bytes > UNDER_WAY).then_some(()))
    })?;
    daemon.signal(Signal::STOP)?;
    thread::sleep(STOPPED);
    daemon.signal(Signal::CONT)?;
    let status = wait::for_end(&mut build, BUILDS)?;
    ensure!(status.success(), "the build: {status}");
    let exposition = identities::ledger_is_disk(&daemon, "root", &bench.root())?;
    identities::hold(&exposition)?;
    identities::all_is_attributed(&exposition)?;
    let drift = exposition.of_root("go_cache_drift_bytes", "root")?;
    assert_eq!(drift.to_string(), "0");
    let by_build = exposition.value(
        "go_cache_group_growth_bytes_total",
        &[("group", "go-build")],
    )?;
    let all = exposition.value("go_cache_group_growth_bytes_total", &[])?;
    assert_eq!(by_build.to_string(), all.to_string(), "{}", exposition.text);
    let lost = exposition.value("go_cache_agent_process_events_dropped_total", &[])?;
    ensure!(lost > 0.0, "nothing lost in {STOPPED:?} of a build");
    Ok(())
}
