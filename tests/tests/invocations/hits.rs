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
    checked(the_one(report, &["build", "-x", "./..."])?, all, 0)
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
    checked(build, 1, missed)
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
        // Those that another build had put there by then were found.
        ensure!(build.lookups == u64::try_from(PACKAGES)?, "{build:#?}");
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
    ensure!(known == (0, u64::try_from(PACKAGES)?, 0), "{build:#?}");
    Ok(())
}

/// Indexes and results of tests are looked up too, and are no hits.
#[test]
fn look_ups_of_indexes_and_tests_are_told_apart() -> Result<()> {
    let shop = Workshop::new("apart")?;
    let module = shop.module("apart", PACKAGES)?;
    let test = "package p0\nimport \"testing\"\nfunc TestP(t *testing.T) {}\n";
    std::fs::write(module.join("p0/p_test.go"), test)?;
    let script =
        "go list -deps -test ./p0 > $1 && go test ./p0 && go test -v=false ./p0 && go list ./...";
    let listed = shop.place("listed");
    let traced = shop
        .trace()?
        .directory(&module)
        .run("sh", ["-c", script, "sh", &listed.to_string_lossy()])?;
    let report = traced.exact()?;
    let cold = the_one(report, &["test", "./p0"])?;
    let warm = the_one(report, &["test", "-v=false", "./p0"])?;
    // Each package is one action, and the test's program is one more, which is not kept.
    let listed = std::fs::read_to_string(listed)?;
    let compiled = listed
        .lines()
        .filter(|line| *line != "unsafe" && !line.ends_with("p0.test"));
    let packages = u64::try_from(compiled.count())?;
    ensure!(
        cold.hits == 0 && cold.misses >= packages,
        "{packages}: {cold:#?}"
    );
    // Only the test's program, unless its result could be kept.
    let links = warm.processes.get("link").map_or(0, |ran| ran.count);
    ensure!(warm.misses <= links.min(1), "{warm:#?}");
    ensure!(
        warm.hits <= packages + 1 && warm.hits + 1 >= packages,
        "{packages}: {warm:#?}"
    );
    ensure!(warm.index_lookups > 0 && warm.test_lookups > 0, "{warm:#?}");
    let list = the_one(report, &["list", "./..."])?;
    ensure!(list.lookups == 0 && list.index_lookups > 0, "{list:#?}");
    Ok(())
}
