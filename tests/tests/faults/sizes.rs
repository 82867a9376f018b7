//! No room for the sizes of closed files, or for system calls under way: the walk that follows puts the totals
//! right, and says by how much they were wrong.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Result, ensure};
use cache_tests::{env, identities, wait};

use crate::{ACTOR, bench, daemon, write_files};

/// Writers at the same time, each of which makes and removes as many files.
const WRITERS: usize = 6;
const CYCLES: &str = "3000";
/// Until what the writers do by chance has happened, and is in the metrics.
const HAPPENS: Duration = Duration::from_mins(2);

#[test]
fn sizes_that_are_not_remembered_are_found_again() -> Result<()> {
    let bench = bench("sizes")?;
    write_files(&bench, "before", 100, 2000)?;
    let daemon = daemon(&bench, "files = 5")?;
    for index in 0..100 {
        // Truncated as it is opened: how large it was is known from memory only.
        fs::write(bench.root().join(format!("before/file{index}")), [b'n'; 99])?;
    }
    let exposition = identities::ledger_is_disk(&daemon, "root", &bench.root())?;
    identities::hold(&exposition)?;
    let causes = identities::causes(&exposition);
    if env::backend().is_some_and(|backend| backend.ends_with("fentry")) {
        // These hooks see the size before it is cut.
        assert_eq!(causes, [].into());
        return Ok(());
    }
    assert_eq!(causes, ["sizes_full"].into());
    let log = daemon.log()?;
    assert!(log.contains("corrected into unattributed"), "{log}");
    Ok(())
}

#[test]
fn calls_that_are_not_followed_are_found_by_a_walk() -> Result<()> {
    let bench = bench("calls")?;
    let daemon = daemon(&bench, "calls = 1")?;
    // Until two calls were under way at once, which is a matter of chance.
    let mut round = 0;
    wait::until("a call that is not followed", HAPPENS, || {
        write_at_once(&bench.root().join(format!("round{round}")))?;
        round += 1;
        let exposition = daemon.scrape()?;
        let lost = identities::lost(&exposition, "pending_full");
        Ok(lost.is_ok_and(|lost| lost > 0.0).then_some(()))
    })?;
    let exposition = identities::ledger_is_disk(&daemon, "root", &bench.root())?;
    identities::hold(&exposition)?;
    assert!(
        identities::lost(&exposition, "pending_full")? > 0.0,
        "{}",
        exposition.text
    );
    Ok(())
}

/// Lets all writers write below `directory`.
fn write_at_once(directory: &Path) -> Result<()> {
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let own = directory.join(number.to_string());
        fs::create_dir_all(&own)?;
        let mut writer = Command::new(ACTOR);
        writers.push(writer.args(["reuse", CYCLES]).arg(own).spawn()?);
    }
    for mut writer in writers {
        let status = writer.wait()?;
        ensure!(status.success(), "the actor: {status}");
    }
    Ok(())
}
