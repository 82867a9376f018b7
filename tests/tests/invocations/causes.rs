//! Why a cache grew, told by one trace of several builds.

use anyhow::{Result, ensure};
use cache_tests::workshop::{Workshop, the_one, whole};

/// Settings that change between builds of one module are named.
#[test]
fn settings_that_differ_are_named() -> Result<()> {
    let shop = Workshop::new("causes")?;
    let module = shop.module("cause", 40)?;
    let script = "go build ./... && GOFLAGS=-gcflags=-l go build -v ./... && go build -tags=x -gcflags=-N ./...";
    let traced = shop.trace()?.directory(&module).run("sh", ["-c", script])?;
    let report = traced.exact()?;
    whole(report)?;
    for (words, expected) in [
        (
            &["go", "build", "./..."][..],
            ("first build", "of example.com/cause in this cache"),
        ),
        (
            &["build", "-v", "./..."],
            ("GOFLAGS", "\"-mod=mod\" -> \"-gcflags=-l\""),
        ),
        (
            &["-tags=x", "-gcflags=-N", "./..."],
            ("gcflags", "\"\" -> \"-N\""),
        ),
    ] {
        let build = the_one(report, words)?;
        let is_told = build
            .cause
            .iter()
            .any(|cause| (cause.kind.as_str(), cause.detail.as_str()) == expected);
        ensure!(is_told, "{words:?}: {:?}, not {expected:?}", build.cause);
    }
    Ok(())
}

/// Secrets of command lines are in no report.
#[test]
fn secrets_are_masked() -> Result<()> {
    let shop = Workshop::new("secrets")?;
    let module = shop.module("secrets", 1)?;
    let words = ["build", "-ldflags", "-s -X main.token=geheim1 -w", "./..."];
    let trace = shop.trace()?.directory(&module);
    let trace = trace.env("GITLAB_CI", "true").env("CI_JOB_NAME", "lint");
    let trace = trace
        .env("CI_JOB_TOKEN", "geheim2")
        .env("MY_PASSWORD", "geheim3");
    let traced = trace.run("go", words)?;
    let report = traced.exact()?;
    let build = &report.invocations[0];
    ensure!(
        build.argv
            == [
                "go",
                "build",
                "-ldflags",
                "-s -X main.token=*** -w",
                "./..."
            ],
        "{build:#?}"
    );
    ensure!(
        build.ci.get("job").map(String::as_str) == Some("lint"),
        "{build:#?}"
    );
    let told = format!("{:?}", report.invocations);
    ensure!(!told.contains("geheim"), "{told}");
    Ok(())
}
