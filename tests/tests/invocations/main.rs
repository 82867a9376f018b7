//! Invocations, packages and causes: every byte lands in the right invocation, which the tests know beforehand
//! by the names of the modules they made.

mod causes;
mod containers;
mod daemon;
mod helpers;
mod hits;
mod other_caches;
mod pinned;
mod planted;
mod reload;
mod settings;
mod storms;
mod strangers;
mod surroundings;
mod trims;
mod unmounts;

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    report::Invocation,
    workshop::{Workshop, bytes_of, the_one, whole, write},
};

const SUITE: &str = "invocations";

/// A Makefile and a `go generate` line: each byte counts at the innermost command, which knows its parents.
#[test]
fn nested_commands_know_their_parents() -> Result<()> {
    let shop = Workshop::new("nested")?;
    let module = shop.module("outer", 3)?;
    shop.module("inner", 3)?;
    write(
        &module.join("gen.go"),
        "package outer\n\n//go:generate go -C ../inner build ./...\n",
    )?;
    write(
        &module.join("Makefile"),
        "all:\n\tgo generate .\n\tgo build ./...\n\tcd ../inner && go vet ./...\n",
    )?;
    let traced = shop.trace()?.directory(&module).run("make", ["all"])?;
    let report = traced.exact()?;
    whole(report)?;
    let make = the_one(report, &["make", "all"])?;
    let generate = the_one(report, &["generate", "."])?;
    let inner = the_one(report, &["-C", "../inner", "build", "./..."])?;
    let outer = the_one(report, &["go", "build", "./..."])?;
    let vet = the_one(report, &["vet", "./..."])?;
    let parents = [make, generate, inner, outer, vet].map(|one| one.parent.as_deref());
    let of_make = Some(make.id.as_str());
    ensure!(
        parents == [None, of_make, Some(generate.id.as_str()), of_make, of_make],
        "{parents:?}"
    );
    ensure!(make.growth_bytes == 0 && make.tool == "make", "{make:#?}");
    for (invocation, own, other) in [(inner, "inner", "outer"), (outer, "outer", "inner")] {
        ensure!(
            bytes_of(report, invocation, own) > 5_000,
            "{own}: {:#?}",
            report.packages
        );
        ensure!(
            bytes_of(report, invocation, other) == 0,
            "{own} has bytes of {other}"
        );
        ensure!(
            invocation.module == format!("example.com/{own}"),
            "{invocation:#?}"
        );
    }
    described(outer, &shop)
}

/// What a record tells besides bytes.
fn described(invocation: &Invocation, shop: &Workshop) -> Result<()> {
    let Invocation {
        tool,
        verb,
        version,
        cwd,
        user,
        exit_code,
        lookups,
        hits,
        misses,
        processes,
        ..
    } = invocation;
    ensure!(
        (tool.as_str(), verb.as_str()) == ("go", "build"),
        "{tool} {verb}"
    );
    ensure!(
        *version == format!("go{}", shop.go.version),
        "version {version}"
    );
    let directory = shop.place("src").join("outer");
    ensure!(*cwd == directory.to_string_lossy(), "cwd {cwd}");
    ensure!(user == "root" && *exit_code == Some(0), "{invocation:#?}");
    ensure!(*lookups == hits + misses && *misses == 4, "{invocation:#?}");
    let compiles = processes.get("compile").context("no compiler ran")?;
    // Three packages, and once for its version.
    ensure!(
        compiles.count >= 3 && compiles.cpu_s > 0.0,
        "{processes:#?}"
    );
    Ok(())
}

/// A second build finds what the first one left.
#[test]
fn a_warm_build_hits() -> Result<()> {
    let shop = Workshop::new("warm")?;
    let module = shop.module("warm", 4)?;
    for is_warm in [false, true] {
        let traced = shop
            .trace()?
            .directory(&module)
            .run("go", ["build", "./..."])?;
        let report = traced.exact()?;
        whole(report)?;
        let build = the_one(report, &["build", "./..."])?;
        if is_warm {
            ensure!(build.growth_bytes == 0 && build.misses == 0, "{build:#?}");
            ensure!(build.hits >= 4 && build.lookups == build.hits, "{build:#?}");
        } else {
            ensure!(build.misses >= 4 && build.hits < build.misses, "{build:#?}");
        }
    }
    Ok(())
}

/// `go test` of several packages of the standard library: nearly all of it has a name.
#[test]
fn tests_of_the_standard_library_have_packages() -> Result<()> {
    let shop = Workshop::new("std")?;
    let words = ["test", "-run=NONE", "strings", "bytes", "sort"];
    let traced = shop
        .trace()?
        .directory(&shop.go.goroot.join("src"))
        .run("go", words)?;
    let report = traced.exact()?;
    whole(report)?;
    let test = the_one(report, &words)?;
    let unmapped = report.unmapped_bytes();
    ensure!(
        unmapped * 100 <= test.growth_bytes,
        "{unmapped} of {} B unmapped",
        test.growth_bytes
    );
    let variants = ["strings [strings.test]", "strings.test"];
    for variant in variants {
        let is_there = report
            .packages
            .iter()
            .any(|package| package.path == variant);
        ensure!(is_there, "no package {variant}");
    }
    Ok(())
}

/// A program that exists for a moment only is recorded from what the kernel side took down.
#[test]
fn the_shortest_command_is_recorded() -> Result<()> {
    let shop = Workshop::new("short")?;
    let script = "for n in 1 2 3; do go env -json GOVERSION >/dev/null; done; go build nonsense";
    let traced = shop
        .trace()?
        .directory(&shop.place("src"))
        .run("sh", ["-c", script])?;
    let report = traced.report()?;
    let short: Vec<_> = report
        .invocations
        .iter()
        .filter(|invocation| invocation.verb == "env")
        .collect();
    ensure!(short.len() == 3, "{:#?}", report.invocations);
    for invocation in short {
        ensure!(
            invocation.argv == ["go", "env", "-json", "GOVERSION"],
            "{invocation:#?}"
        );
        ensure!(
            invocation.uid == 0 && invocation.exit_code == Some(0),
            "{invocation:#?}"
        );
        ensure!(
            invocation.cwd == shop.place("src").to_string_lossy(),
            "{invocation:#?}"
        );
    }
    let failed = the_one(report, &["build", "nonsense"])?;
    ensure!(failed.exit_code == Some(1), "{failed:#?}");
    Ok(())
}
