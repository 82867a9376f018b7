//! go's own daily trim.

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Result, ensure};
use cache_tests::workshop::{Workshop, the_one, whole};

const DAY: Duration = Duration::from_hours(24);
/// Sizes of an entry and of its object.
const PLANTED: [(&str, usize); 2] = [("a", 175), ("d", 50_000)];
/// Entries that nobody has used for long.
const OLD: u8 = 20;

/// What a build's trim deletes is go's, not the builder's.
#[test]
fn what_go_trims_is_nobodys_deletion() -> Result<()> {
    let shop = Workshop::new("trims")?;
    let module = shop.module("trims", 3)?;
    let cache = shop.bench.root();
    let trace = || Ok::<_, anyhow::Error>(shop.trace()?.directory(&module));
    whole(trace()?.run("go", ["build", "./..."])?.exact()?)?;
    plant(&cache)?;
    let traced = trace()?.run("go", ["build", "-v", "./..."])?;
    let report = traced.exact()?;
    whole(report)?;
    let trim = the_one(report, &["go", "trim"])?;
    let build = the_one(report, &["build", "-v", "./..."])?;
    let bytes: usize = PLANTED.iter().map(|(_, bytes)| bytes).sum();
    let expected = (bytes * usize::from(OLD), PLANTED.len() * usize::from(OLD));
    let found = (
        usize::try_from(trim.freed_bytes)?,
        usize::try_from(trim.files_deleted)?,
    );
    ensure!(found == expected, "{expected:?}: {trim:#?}");
    ensure!(trim.parent.as_ref() == Some(&build.id), "{trim:#?}");
    ensure!(
        (build.freed_bytes, build.files_deleted) == (0, 0),
        "{build:#?}"
    );
    ensure!(traced.stderr.contains("go trim"), "{}", traced.stderr);
    Ok(())
}

/// Entries that have not been used for six days, in a cache that was last trimmed two days ago.
fn plant(cache: &Path) -> Result<()> {
    let now = SystemTime::now();
    for number in 0..OLD {
        for (kind, bytes) in PLANTED {
            let directory = cache.join(format!("{number:02x}"));
            let name = format!("{number:02x}{:062x}-{kind}", u32::MAX);
            let path = directory.join(name);
            fs::write(&path, vec![b'x'; bytes])?;
            File::options()
                .write(true)
                .open(&path)?
                .set_modified(now - DAY * 6)?;
        }
    }
    let trimmed = (now - DAY * 2).duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(fs::write(
        cache.join("trim.txt"),
        trimmed.as_secs().to_string(),
    )?)
}
