//! The ring of detail events is full: detail is lost, and nothing else.

use std::{ffi::OsString, fs, path::Path, time::Duration};

use anyhow::Result;
use cache_tests::{
    agent::{Trace, Traced},
    daemon::send,
    env::Bench,
    identities, scrape, wait,
};
use rustix::process::Signal;

use crate::{ACTOR, bench, daemon, write_files};

/// Far more than a traced actor needs.
const ACTS: Duration = Duration::from_mins(1);

#[test]
fn a_full_ring_with_a_stopped_reader_costs_detail_only() -> Result<()> {
    let bench = bench("ring")?;
    let daemon = daemon(&bench, "ring_bytes = 4096")?;
    daemon.signal(Signal::STOP)?;
    write_files(&bench, "stopped", 500, 1000)?;
    daemon.signal(Signal::CONT)?;
    let exposition = identities::ledger_is_disk(&daemon, "root", &bench.root())?;
    identities::hold(&exposition)?;
    identities::all_is_attributed(&exposition)?;
    assert_eq!(identities::causes(&exposition), ["ring_full"].into());
    // A thousand events, of which a page holds some thirty.
    assert!(identities::lost(&exposition, "ring_full")? > 900.0);
    Ok(())
}

#[test]
fn walks_under_a_ring_that_overflows_correct_nothing() -> Result<()> {
    let bench = bench("ring-walks")?;
    let daemon = daemon(&bench, "ring_bytes = 4096")?;
    // The first round fills it for certain, the others while the agent reads and walks.
    daemon.signal(Signal::STOP)?;
    write_files(&bench, "round0", 3000, 10)?;
    daemon.signal(Signal::CONT)?;
    for round in 1..4 {
        write_files(&bench, &format!("round{round}"), 3000, 10)?;
    }
    let exposition = identities::ledger_is_disk(&daemon, "root", &bench.root())?;
    identities::hold(&exposition)?;
    identities::all_is_attributed(&exposition)?;
    assert!(identities::lost(&exposition, "ring_full")? > 0.0);
    let log = daemon.log()?;
    assert!(!log.contains("corrected into unattributed"), "{log}");
    let readiness = scrape::get(daemon.address(), "/readyz")?;
    assert_eq!(readiness.status, 200, "{}", readiness.body);
    Ok(())
}

#[test]
fn a_trace_with_a_full_ring_has_exact_accounts() -> Result<()> {
    let bench = bench("ring-trace")?;
    let trace = bench.trace()?.option("--map=ring_bytes=4096");
    let traced = unread(&bench, trace, "files 5000 7")?;
    let report = traced.report()?;
    assert_eq!(
        report.contradictions_but_losses(),
        [""; 0],
        "{}",
        traced.stderr
    );
    assert_eq!(report.command_bytes(), 5000 * 7);
    assert_eq!(report.unattributed_bytes(), 0);
    assert!(report.lost() > 0, "{:?}", report.events);
    Ok(())
}

/// Traces an actor that does what `words` say in the root, while the agent does not run.
fn unread(bench: &Bench, trace: Trace, words: &str) -> Result<Traced> {
    let script = format!(
        ": > \"$1\"; until test -e \"$2\"; do sleep 0.05; done; \"$4\" {words} \"$5\"; : > \"$3\""
    );
    let [ready, begin, done] = ["ready", "begin", "done"].map(|name| bench.aside(name));
    let arguments = [&ready, &begin, &done, Path::new(ACTOR), &bench.root()].map(OsString::from);
    let words = ["-c".into(), script.into(), "sh".into()];
    let tracing = trace.start("sh", words.into_iter().chain(arguments))?;
    wait::for_size(&ready, 0, ACTS)?;
    send(tracing.pid(), Signal::STOP)?;
    fs::write(begin, "")?;
    wait::for_size(&done, 0, ACTS)?;
    send(tracing.pid(), Signal::CONT)?;
    tracing.finish()
}
