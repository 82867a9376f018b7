//! More processes than there are accounts for, or identities: their bytes are in nobody's account, or in that
//! of `other`; none is missing.

use anyhow::Result;
use cache_tests::{
    actor, cases::crowd_bytes, daemon::Daemon, env::Bench, identities, report::signed, scrape,
};
use rustix::process::Signal;

use crate::{ACTOR, bench, daemon};

/// Processes that write one file each.
const PROCESSES: usize = 200;

/// The agent does not run meanwhile: it makes room as soon as processes end.
fn crowd(bench: &Bench, daemon: &Daemon) -> Result<()> {
    daemon.signal(Signal::STOP)?;
    actor::run(ACTOR, &["crowd", &PROCESSES.to_string()], &bench.root())?;
    daemon.signal(Signal::CONT)
}

fn bytes() -> i64 {
    (0..PROCESSES)
        .map(|index| signed(crowd_bytes(index) as u64))
        .sum()
}

#[test]
fn what_finds_no_account_is_unattributed() -> Result<()> {
    let bench = bench("accounts")?;
    let daemon = daemon(&bench, "accounts = 3")?;
    crowd(&bench, &daemon)?;
    let exposition = identities::ledger_is_disk(&daemon, "root", &bench.root())?;
    identities::hold(&exposition)?;
    assert_eq!(identities::causes(&exposition), ["accounts_full"].into());
    assert!(identities::unattributed(&exposition)? > 0.0);
    let drift = exposition.of_root("go_cache_drift_bytes", "root")?;
    assert_eq!(drift.to_string(), "0");
    let readiness = scrape::get(daemon.address(), "/readyz")?;
    assert_eq!(readiness.status, 200);
    assert!(
        readiness.body.contains("accounts_full"),
        "{}",
        readiness.body
    );
    Ok(())
}

#[test]
fn processes_nobody_knows_have_their_bytes_in_other() -> Result<()> {
    let bench = bench("processes")?;
    let daemon = daemon(&bench, "processes = 1")?;
    crowd(&bench, &daemon)?;
    let exposition = identities::ledger_is_disk(&daemon, "root", &bench.root())?;
    identities::hold(&exposition)?;
    identities::all_is_attributed(&exposition)?;
    assert_eq!(identities::causes(&exposition), ["processes_full"].into());
    let other = exposition.value("go_cache_group_growth_bytes_total", &[("group", "other")])?;
    assert_eq!(other.to_string(), bytes().to_string());
    Ok(())
}

#[test]
fn accounts_of_a_trace_and_nobody_add_up() -> Result<()> {
    let bench = bench("accounts-trace")?;
    let trace = bench.trace()?.option("--map=accounts=5");
    let words = [
        "crowd".into(),
        PROCESSES.to_string().into(),
        bench.root().into_os_string(),
    ];
    let traced = trace.run(ACTOR, words)?;
    let report = traced.exact()?;
    assert_eq!(report.ledger_bytes(), bytes());
    assert!(report.unattributed_bytes() > 0, "{report:#?}");
    assert!(report.command_bytes() > 0, "{report:#?}");
    Ok(())
}
