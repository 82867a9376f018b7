//! The ring of detail events is full: detail is lost, and nothing else.

use anyhow::Result;
use cache_tests::{identities, scrape};
use rustix::process::Signal;

use crate::{ACTOR, bench, daemon, write_files};

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
    for round in 0..4 {
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
    let directory = bench.root().into_os_string();
    let words = ["files".into(), "5000".into(), "7".into(), directory];
    let traced = trace.run(ACTOR, words)?;
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
