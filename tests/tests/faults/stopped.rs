//! The agent does not run for seconds while the caches grow: the kernel side goes on counting.

use std::{
    fs,
    os::unix::fs::symlink,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use cache_tests::{daemon::Run, env::Bench, identities};
use rustix::process::Signal;

use crate::{
    ACTOR, bench,
    build::{Build, UNDER_WAY},
    write_files,
};

/// How long the agent does not run.
const STOPPED: Duration = Duration::from_secs(10);
/// What a build writes meanwhile.
const UNTOLD: u64 = 10_000_000;
/// Of a tool that is executed, the kernel side tells up to 8191 bytes of its environment.
const ENVIRONMENT_BYTES: usize = 16_384;
/// So many times that is twice what the ring of process events holds, which is 1 MiB.
const EXECS: usize = 256;

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
    let build = Build::start(&bench)?;
    build.grows_to(UNDER_WAY)?;
    // However fast it is, most of it is done while nobody is told.
    build.signal(Signal::STOP)?;
    daemon.signal(Signal::STOP)?;
    fill_process_events(&bench)?;
    build.signal(Signal::CONT)?;
    build.grows_by(UNTOLD)?;
    daemon.signal(Signal::CONT)?;
    build.finish()?;
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
    ensure!(lost > 0.0, "nothing lost in {EXECS} execs");
    Ok(())
}

/// Fills the ring of process events of a stopped agent, by a program with the name of a tool.
fn fill_process_events(bench: &Bench) -> Result<()> {
    let tool = bench.aside("make");
    symlink(ACTOR, &tool)?;
    let padding = "p".repeat(ENVIRONMENT_BYTES);
    for _ in 0..EXECS {
        let status = Command::new(&tool)
            .arg("nothing")
            .env("PADDING", &padding)
            .status()?;
        ensure!(status.success(), "the actor: {status}");
    }
    Ok(())
}
