//! What no system call names.

use anyhow::{Result, bail};
use cache_tests::{
    agent::Traced,
    env::{self, Bench},
    report::Observation,
};

use super::{ACTOR, on_both};

const SUITE: &str = "conformance";

/// Whether the kernel lets the actor use a ring; notes the skip if not.
fn ring_refused(test: &str, traced: &Traced) -> Result<bool> {
    let refused = traced.stdout.contains("refused");
    if refused {
        env::skip(
            SUITE,
            test,
            &format!("no io_uring here: {}", traced.stdout.trim()),
        )?;
    }
    Ok(refused)
}

#[test]
fn io_uring_as_a_whole_is_unattributed() -> Result<()> {
    on_both(|file_system| {
        let bench = Bench::new("ring", file_system)?;
        let file = bench.root().join("file");
        let words = ["ring".into(), file.into_os_string(), "33333".into()];
        let traced = bench.trace()?.run(ACTOR, words)?;
        if ring_refused("io_uring_as_a_whole_is_unattributed", &traced)? {
            return Ok(());
        }
        let report = traced.report()?;
        let root = &report.roots[0];
        assert_eq!(root.after_bytes, 33_333, "{report:#?}");
        match report.coverage.get("io_uring") {
            Some(Observation::Observed) => {
                assert_eq!(report.command_bytes(), 33_333, "{report:#?}");
            }
            Some(Observation::Unattributed) => {
                assert_eq!(
                    report.credited_bytes() + root.unattributed_bytes,
                    33_333,
                    "{report:#?}"
                );
                assert_eq!(root.ledger_bytes, 33_333, "{report:#?}");
            }
            other => bail!("coverage of io_uring is {other:?}"),
        }
        Ok(())
    })
}

#[test]
fn io_uring_writes_to_a_file_opened_by_a_system_call() -> Result<()> {
    on_both(|file_system| {
        let bench = Bench::new("ring-write", file_system)?;
        let file = bench.root().join("file");
        let words = ["ring-write".into(), file.into_os_string(), "44444".into()];
        let traced = bench.trace()?.run(ACTOR, words)?;
        if ring_refused("io_uring_writes_to_a_file_opened_by_a_system_call", &traced)? {
            return Ok(());
        }
        assert_eq!(traced.exact()?.ledger_bytes(), 44_444);
        Ok(())
    })
}
