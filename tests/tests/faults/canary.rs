//! The canary: the agent proves itself, says when it cannot, and leaves no trace among the roots.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    actor::Holding,
    daemon::{Daemon, Run},
    env::Bench,
    identities,
    scrape::{self, Exposition},
    tree, wait,
};
use rustix::process::Signal;

use crate::{ACTOR, bench, configuration};

/// Some runs of a canary that runs every second.
const RUNS: Duration = Duration::from_secs(20);
const EVERY_SECOND: &str = "canary_interval = \"1s\"\nwalk_interval = \"1s\"\n";
const PROVED: &str = "go_cache_agent_canary_timestamp_seconds";

/// When it last proved everything.
fn proved_at(daemon: &Daemon) -> Result<f64> {
    daemon.scrape()?.value(PROVED, &[])
}

/// Waits for another proof than the last one.
fn wait_for_proof(daemon: &Daemon) -> Result<f64> {
    let before = proved_at(daemon).unwrap_or(0.0);
    let waited = wait::until("a proof", RUNS, || {
        Ok(proved_at(daemon).ok().filter(|proved| *proved > before))
    });
    waited.with_context(|| daemon.log().unwrap_or_default())
}

fn degraded_by_canary(exposition: &Exposition) -> Result<bool> {
    let sentences = exposition.value("go_cache_agent_degraded", &[("reason", "canary")])?;
    Ok(sentences > 0.0)
}

fn wait_for_degraded(daemon: &Daemon, expected: bool) -> Result<Exposition> {
    let waited = wait::until("a change of condition", RUNS, || {
        let exposition = daemon.scrape()?;
        let is_so = degraded_by_canary(&exposition)? == expected;
        Ok(is_so.then_some(exposition))
    });
    waited.with_context(|| daemon.log().unwrap_or_default())
}

fn observed(exposition: &Exposition) -> Result<f64> {
    let labels = [("observation", "observed")];
    exposition.value("go_cache_agent_coverage_operations", &labels)
}

fn page(daemon: &Daemon, path: &str) -> Result<String> {
    Ok(scrape::get(daemon.address(), path)?.body)
}

/// Names of all roots in the metrics.
fn roots(exposition: &Exposition) -> BTreeSet<&str> {
    let sizes = exposition.samples.iter().filter_map(|sample| {
        let labels = sample.series.strip_prefix("go_cache_size_bytes{root=\"")?;
        labels.split('"').next()
    });
    sizes.collect()
}

#[test]
fn the_canary_proves_operations_and_is_no_root() -> Result<()> {
    let bench = bench("canary")?;
    let configuration = configuration(&bench, EVERY_SECOND)?;
    let run = Run::new(&bench, "agent")?.config(&configuration);
    // In the worst place: below a root.
    let state = bench.root().join("state");
    let daemon = run.state(&state).ready()?;
    for _ in 0..3 {
        wait_for_proof(&daemon)?;
    }
    fs::write(bench.root().join("file"), [b'x'; 321])?;
    let tree = tree::walk(&bench.root(), &[state.join("canary")])?;
    let exposition = daemon.wait_metric("go_cache_files", "root", tree.files)?;
    identities::hold(&exposition)?;
    let drift = exposition.of_root("go_cache_drift_bytes", "root")?;
    assert_eq!(drift.to_string(), "0", "{}", daemon.log()?);
    assert!(!degraded_by_canary(&exposition)?);
    assert_eq!(roots(&exposition), ["root"].into());
    let start = page(&daemon, "/")?;
    for operation in ["open", "write", "mmap", "rename", "unlink"] {
        ensure!(start.contains(operation), "{operation} is not in {start}");
    }
    assert!(start.contains("Proved by the canary at"), "{start}");
    assert_eq!(page(&daemon, "/readyz")?, "ready\n");
    assert!(daemon.stop()?.success());
    let left = fs::read_dir(state.join("canary"))?.count();
    assert_eq!(left, 0);
    Ok(())
}

#[test]
fn figures_that_differ_degrade_the_agent_until_they_are_right_again() -> Result<()> {
    let bench = bench("canary-differs")?;
    let configuration = configuration(&bench, &format!("{EVERY_SECOND}[maps]\nopen_files = 1\n"))?;
    let daemon = Run::new(&bench, "agent")?.config(&configuration).ready()?;
    wait_for_proof(&daemon)?;
    let whole = observed(&daemon.scrape()?)?;
    // Now there is no room for the canary's own open file.
    let file = bench.root().join("file").into_os_string();
    let words = ["hold".into(), file, "100".into()];
    let writer = Holding::start(ACTOR, words, bench.aside("go-on"))?;
    let differs = wait_for_degraded(&daemon, true)?;
    let readiness = page(&daemon, "/readyz")?;
    writer.release()?;
    let sentence = "degraded: the canary's figures differ after: close, write";
    assert!(readiness.contains(sentence), "{readiness}");
    assert!(readiness.starts_with("ready\n"), "{readiness}");
    assert_eq!(observed(&differs)?.to_string(), (whole - 2.0).to_string());
    let recovered = wait_for_degraded(&daemon, false)?;
    assert_eq!(observed(&recovered)?.to_string(), whole.to_string());
    let log = daemon.log()?;
    assert_eq!(
        log.matches("the canary's figures differ").count(),
        1,
        "{log}"
    );
    assert_eq!(
        log.matches("the canary's figures are right").count(),
        2,
        "{log}"
    );
    identities::ledger_is_disk(&daemon, "root", &bench.root())?;
    Ok(())
}

#[test]
fn the_canary_can_be_switched_off_and_on() -> Result<()> {
    let bench = bench("canary-off")?;
    let file = configuration(&bench, "canary_interval = \"off\"\n")?;
    let state = bench.aside("state");
    let run = Run::new(&bench, "agent")?.config(&file);
    let daemon = run.state(&state).ready()?;
    assert!(proved_at(&daemon).is_err());
    assert!(!state.join("canary").exists());
    assert!(page(&daemon, "/")?.contains("the canary is off"));
    configuration(&bench, EVERY_SECOND)?;
    daemon.signal(Signal::HUP)?;
    wait_for_proof(&daemon)?;
    configuration(&bench, "canary_interval = \"off\"\n")?;
    daemon.signal(Signal::HUP)?;
    wait::until("the canary's end", RUNS, || {
        Ok(proved_at(&daemon).is_err().then_some(()))
    })?;
    assert!(page(&daemon, "/")?.contains("the canary is off"));
    Ok(())
}

/// It says so once, and the agent goes on.
fn cannot_run(bench: &Bench, state: &Path, says: &str) -> Result<()> {
    let configuration = configuration(bench, EVERY_SECOND)?;
    let run = Run::new(bench, "agent")?.config(&configuration);
    let daemon = run.state(state).ready()?;
    fs::write(bench.root().join("file"), [b'x'; 55])?;
    daemon.wait_size("root", 55)?;
    assert_eq!(proved_at(&daemon)?.to_string(), "0");
    assert!(page(&daemon, "/")?.contains("Not proved"));
    let log = daemon.log()?;
    assert_eq!(log.matches(says).count(), 1, "{log}");
    assert!(daemon.stop()?.success());
    Ok(())
}

#[test]
fn without_a_state_directory_there_is_no_canary() -> Result<()> {
    let bench = bench("canary-nowhere")?;
    let state = bench.aside("state");
    fs::write(&state, "not a directory")?;
    cannot_run(&bench, &state, "no canary runs")
}

#[test]
fn the_canary_follows_no_link() -> Result<()> {
    let bench = bench("canary-link")?;
    let (state, elsewhere) = (bench.aside("state"), bench.aside("elsewhere"));
    fs::create_dir(&state)?;
    fs::create_dir(&elsewhere)?;
    fs::write(elsewhere.join("file"), "precious")?;
    symlink(&elsewhere, state.join("canary"))?;
    cannot_run(&bench, &state, "the canary cannot run")?;
    assert_eq!(fs::read_to_string(elsewhere.join("file"))?, "precious");
    Ok(())
}
