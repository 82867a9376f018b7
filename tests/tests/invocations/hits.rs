//! Hits and misses are compile actions: what ran was a miss, whatever became of its files.

use anyhow::{Result, ensure};
use cache_tests::{
    report::{Invocation, Report},
    workshop::{Workshop, the_one},
};

/// Packages of the module.
const PACKAGES: usize = 4;

/// Each compiler that ran for a package is a miss.
fn checked(build: &Invocation, hits: u64, misses: u64) -> Result<()> {
    let compiles = build.processes.get("compile").map_or(0, |ran| ran.count);
    // One of them may have been asked for its version.
    ensure!(build.misses + 1 >= compiles, "{build:#?}");
    ensure!(
        (build.hits, build.misses, build.lookups) == (hits, misses, hits + misses),
        "not {hits} hits and {misses} misses: {build:#?}"
    );
    Ok(())
}

/// `-a` looks nothing up, and builds all of it.
#[test]
fn what_is_built_by_force_missed() -> Result<()> {
    let shop = Workshop::new("forced")?;
    let module = shop.module("forced", PACKAGES)?;
    let script =
        "go build ./... && go build -a ./... && GOFLAGS=-a go build -v ./... && go build -x ./...";
    let traced = shop.trace()?.directory(&module).run("sh", ["-c", script])?;
    let report = traced.exact()?;
    let all = u64::try_from(PACKAGES)?;
    for words in [
        &["go", "build", "-a", "./..."][..],
        &["build", "-v", "./..."],
    ] {
        checked(the_one(report, words)?, 0, all)?;
    }
    let warm = the_one(report, &["build", "-x", "./..."])?;
    ensure!(warm.misses == 0 && warm.hits >= all, "{warm:#?}");
    Ok(())
}

/// What cannot be kept was compiled all the same.
#[test]
fn a_cache_that_takes_nothing_is_missed() -> Result<()> {
    let shop = Workshop::new("readonly")?;
    let module = shop.module("readonly", PACKAGES)?;
    // Of directories that were changed just now go makes no index, which it could not keep.
    let script = "touch p*/p.go && mount --bind $GOCACHE $GOCACHE && mount -o remount,ro,bind $GOCACHE && go build -v ./...";
    let traced = shop.trace()?.directory(&module).run(
        "sh",
        [
            "-c",
            "go build ./p0 && exec unshare -m sh -c \"$1\"",
            "sh",
            script,
        ],
    )?;
    let report = traced.exact()?;
    let build = the_one(report, &["build", "-v", "./..."])?;
    let missed = u64::try_from(PACKAGES - 1)?;
    ensure!(
        build.misses == missed && build.growth_bytes == 0,
        "{build:#?}"
    );
    ensure!((1..=2).contains(&build.hits), "{build:#?}");
    Ok(())
}

/// Equal builds at once each compile what none has put there yet, and say so.
#[test]
fn equal_builds_at_once_each_say_what_they_compiled() -> Result<()> {
    let shop = Workshop::new("at-once")?;
    let module = shop.module("once", PACKAGES)?;
    let script = "for n in 1 2 3 4; do go build -p=$n ./... & done; wait";
    let traced = shop.trace()?.directory(&module).run("sh", ["-c", script])?;
    let report: &Report = traced.exact()?;
    for number in 1..=4 {
        let build = the_one(report, &["build", &format!("-p={number}"), "./..."])?;
        let compiles = build.processes.get("compile").map_or(0, |ran| ran.count);
        ensure!(
            build.misses <= compiles && build.misses + 1 >= compiles,
            "{build:#?}"
        );
        ensure!(build.lookups > 0, "{build:#?}");
    }
    Ok(())
}

/// Where another program keeps the cache, nothing is known of hits.
#[test]
fn a_cache_kept_by_another_program_has_no_ratio() -> Result<()> {
    let shop = Workshop::new("elsewhere")?;
    let module = shop.module("elsewhere", PACKAGES)?;
    let other = shop.place("other");
    let traced = shop.trace()?.directory(&module).run(
        "sh",
        [
            "-c",
            "GOCACHE=$1 go build ./...",
            "sh",
            &other.to_string_lossy(),
        ],
    )?;
    let report = traced.exact()?;
    let build = the_one(report, &["build", "./..."])?;
    let known = (build.hits, build.misses, build.lookups);
    ensure!(known == (0, 0, 0), "{build:#?}");
    Ok(())
}
