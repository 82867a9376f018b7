//! More files open for write than are followed: they are settled when they are closed, or found by a walk.

use anyhow::Result;
use cache_tests::{actor::Holding, identities};

use crate::{ACTOR, bench, daemon};

const FILES: u64 = 50;
const BYTES: u64 = 3000;

#[test]
fn files_beyond_the_map_are_settled_when_they_are_closed() -> Result<()> {
    let bench = bench("open-files")?;
    let daemon = daemon(&bench, "open_files = 2")?;
    let (number, bytes) = (FILES.to_string(), BYTES.to_string());
    let words = ["hold-many".into(), number.into(), bytes.into()];
    let words = words.into_iter().chain([bench.root().into_os_string()]);
    let writer = Holding::start(ACTOR, words, bench.aside("go-on"))?;
    // While they are open, it takes the walk that follows a counted loss.
    let open = daemon.wait_size("root", FILES * BYTES)?;
    writer.release()?;
    identities::hold(&open)?;
    let exposition = identities::ledger_is_disk(&daemon, "root", &bench.root())?;
    identities::hold(&exposition)?;
    assert_eq!(identities::causes(&exposition), ["open_full"].into());
    let size = exposition.of_root("go_cache_size_bytes", "root")?;
    assert_eq!(size.to_string(), (2 * FILES * BYTES).to_string());
    Ok(())
}
