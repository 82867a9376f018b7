//! The agent is gone for a while. What changed meanwhile is drift of its first walk, unattributed, told once;
//! from then on it is exact again.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    actor::Holding,
    daemon::{Daemon, Run},
    env::Bench,
    identities,
    report::signed,
    wait,
};
use rustix::process::Signal;

use crate::{
    ACTOR, bench,
    build::{Build, UNDER_WAY, UNSEEN},
    write_files,
};

/// What the log says of growth that nobody watched.
const UNWATCHED: &str = "while no agent watched";
/// The agent remembers at most that late.
const REMEMBERS: Duration = Duration::from_secs(10);

/// A daemon that shares the state directory with those before and after it.
fn run(bench: &Bench, name: &str) -> Result<Daemon> {
    let run = Run::new(bench, name)?.root(bench.root());
    run.state(&state(bench)).ready()
}

fn state(bench: &Bench) -> PathBuf {
    bench.aside("state")
}

/// Size of the root as the last agent left it.
fn remembered(state: &Path) -> Result<u64> {
    let text = fs::read_to_string(state.join("roots.json"))?;
    let document: serde_json::Value = serde_json::from_str(&text)?;
    let bytes = document["roots"][0]["bytes"].as_u64();
    bytes.with_context(|| format!("no root in {text}"))
}

/// Net growth of the root since the agent started, by its counters.
fn growth(daemon: &Daemon) -> Result<i64> {
    let exposition = daemon.scrape()?;
    let of = |name| exposition.of_root(name, "root");
    let growth = of("go_cache_growth_bytes_total")? - of("go_cache_freed_bytes_total")?;
    Ok(growth.to_string().parse()?)
}

#[track_caller]
fn told(daemon: &Daemon, times: usize) -> Result<()> {
    let log = daemon.log()?;
    let lines = log.lines().filter(|line| line.contains(UNWATCHED));
    assert_eq!(lines.count(), times, "{log}");
    Ok(())
}

#[test]
fn a_restarted_agent_is_right_again_also_about_files_that_are_open() -> Result<()> {
    let bench = bench("restarted")?;
    let first = Run::new(&bench, "first")?.root(bench.root()).ready()?;
    write_files(&bench, "before", 20, 300)?;
    let file = bench.root().join("open").into_os_string();
    let words = ["hold".into(), file, "5000".into()];
    let writer = Holding::start(ACTOR, words, bench.aside("go-on"))?;
    first.wait_size("root", 20 * 300 + 5000)?;
    first.signal(Signal::KILL)?;
    drop(first);
    write_files(&bench, "between", 20, 300)?;
    let second = Run::new(&bench, "second")?.root(bench.root()).ready()?;
    writer.release()?;
    fs::remove_dir_all(bench.root().join("before"))?;
    let exposition = second.wait_size("root", 20 * 300 + 10_000)?;
    assert_eq!(
        exposition
            .of_root("go_cache_growth_bytes_total", "root")?
            .to_string(),
        "5000"
    );
    assert_eq!(
        exposition
            .of_root("go_cache_freed_bytes_total", "root")?
            .to_string(),
        "6000"
    );
    Ok(())
}

#[test]
fn an_agent_killed_during_a_build_and_started_again_knows_what_it_missed() -> Result<()> {
    let bench = bench("killed-build")?;
    let first = run(&bench, "first")?;
    let build = Build::start(&bench)?;
    build.grows_to(UNDER_WAY)?;
    // Else it may have nothing left to do by then.
    build.signal(Signal::STOP)?;
    wait::until("the agent's memory", REMEMBERS, || {
        Ok((remembered(&state(&bench)).unwrap_or(0) > 0).then_some(()))
    })?;
    build.signal(Signal::CONT)?;
    build.grows_by(UNSEEN)?;
    first.signal(Signal::KILL)?;
    drop(first);
    let remembered = remembered(&state(&bench))?;
    build.grows_by(UNSEEN)?;
    let second = run(&bench, "second")?;
    told(&second, 1)?;
    let drift = second.scrape()?.of_root("go_cache_drift_bytes", "root")?;
    let missed: i64 = (-drift).to_string().parse()?;
    ensure!(missed >= signed(UNSEEN), "drift {drift} B");
    build.finish()?;
    let exposition = identities::ledger_is_disk(&second, "root", &bench.root())?;
    identities::hold(&exposition)?;
    assert_eq!(
        growth(&second)?,
        signed(bench.walk()?.bytes) - signed(remembered)
    );
    // What the walk found, and nothing since.
    assert_eq!(
        identities::unattributed(&exposition)?.to_string(),
        (-drift).to_string()
    );
    told(&second, 1)
}

#[test]
fn growth_between_two_runs_is_known_to_the_byte() -> Result<()> {
    let bench = bench("between-runs")?;
    let first = run(&bench, "first")?;
    write_files(&bench, "watched", 20, 300)?;
    first.wait_size("root", 20 * 300)?;
    assert!(first.stop()?.success());
    assert_eq!(remembered(&state(&bench))?, 20 * 300);
    write_files(&bench, "unwatched", 10, 77)?;
    fs::remove_file(bench.root().join("watched/file0"))?;
    let second = run(&bench, "second")?;
    let exposition = identities::ledger_is_disk(&second, "root", &bench.root())?;
    identities::hold(&exposition)?;
    assert_eq!(growth(&second)?, 10 * 77 - 300);
    assert_eq!(
        exposition
            .of_root("go_cache_drift_bytes", "root")?
            .to_string(),
        (300 - 10 * 77).to_string()
    );
    told(&second, 1)?;
    assert!(second.stop()?.success());
    let third = run(&bench, "third")?;
    assert_eq!(growth(&third)?, 0);
    told(&third, 0)
}

#[test]
fn a_damaged_memory_is_told_and_does_no_harm() -> Result<()> {
    let bench = bench("damaged-memory")?;
    write_files(&bench, "before", 3, 300)?;
    fs::create_dir(state(&bench))?;
    fs::write(
        state(&bench).join("roots.json"),
        "{\"version\":1,\"roots\":[{",
    )?;
    let daemon = run(&bench, "agent")?;
    assert_eq!(growth(&daemon)?, 0);
    let log = daemon.log()?;
    assert!(
        log.contains("the sizes of the last run cannot be read"),
        "{log}"
    );
    assert!(daemon.stop()?.success());
    assert_eq!(remembered(&state(&bench))?, 900);
    Ok(())
}
