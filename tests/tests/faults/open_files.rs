//! More files open for write than are followed: they are settled when they are closed, or found by a walk.

use std::{fs, process::Command};

use anyhow::Result;
use cache_tests::identities;

use crate::{ACTOR, bench, daemon};

const FILES: u64 = 50;
const BYTES: u64 = 3000;

#[test]
fn files_beyond_the_map_are_settled_when_they_are_closed() -> Result<()> {
    let bench = bench("open-files")?;
    let daemon = daemon(&bench, "open_files = 2")?;
    let sign = bench.aside("go-on");
    let mut writer = Command::new(ACTOR)
        .args(["hold-many", &FILES.to_string(), &BYTES.to_string()])
        .args([bench.root(), sign.clone()])
        .spawn()?;
    // While they are open, it takes the walk that follows a counted loss.
    let open = daemon.wait_size("root", FILES * BYTES);
    fs::write(&sign, "")?;
    assert!(writer.wait()?.success());
    identities::hold(&open?)?;
    let exposition = identities::ledger_is_disk(&daemon, "root", &bench.root())?;
    identities::hold(&exposition)?;
    assert_eq!(identities::causes(&exposition), ["open_full"].into());
    let size = exposition.of_root("go_cache_size_bytes", "root")?;
    assert_eq!(size.to_string(), (2 * FILES * BYTES).to_string());
    Ok(())
}
