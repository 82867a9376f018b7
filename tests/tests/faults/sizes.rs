//! No room for the sizes of closed files, or for system calls under way: the walk that follows puts the totals
//! right, and says by how much they were wrong.

use std::{fs, process::Command};

use anyhow::{Result, ensure};
use cache_tests::{env, identities};

use crate::{ACTOR, bench, daemon, write_files};

/// Writers at the same time, each of which makes and removes as many files.
const WRITERS: usize = 6;
const CYCLES: &str = "3000";

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
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let directory = bench.root().join(number.to_string());
        fs::create_dir(&directory)?;
        let mut writer = Command::new(ACTOR);
        writers.push(writer.args(["reuse", CYCLES]).arg(directory).spawn()?);
    }
    for mut writer in writers {
        let status = writer.wait()?;
        ensure!(status.success(), "the actor: {status}");
    }
    let exposition = identities::ledger_is_disk(&daemon, "root", &bench.root())?;
    identities::hold(&exposition)?;
    assert!(
        identities::lost(&exposition, "pending_full")? > 0.0,
        "{}",
        exposition.text
    );
    Ok(())
}
