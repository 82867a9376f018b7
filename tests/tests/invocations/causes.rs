//! Why a cache grew, told by one trace of several builds.

use std::process::Command;

use anyhow::{Result, bail, ensure};
use cache_tests::{
    env, go,
    report::Cause,
    workshop::{Workshop, the_one, whole},
};

use serde_json::Value;

use super::SUITE;

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
            ("first_build", "of example.com/cause in this cache: "),
        ),
        (
            &["build", "-v", "./..."],
            ("settings:GOFLAGS", "\"-mod=mod\" -> \"-gcflags=-l\""),
        ),
        (
            &["-tags=x", "-gcflags=-N", "./..."],
            ("settings:gcflags", "\"\" -> \"-N\""),
        ),
    ] {
        let build = the_one(report, words)?;
        let is_told = build
            .cause
            .iter()
            .any(|cause| cause.kind == expected.0 && cause.detail.starts_with(expected.1));
        ensure!(is_told, "{words:?}: {:?}, not {expected:?}", build.cause);
    }
    Ok(())
}

/// What happens to a module and its cache between two builds is told, the latter also by a later trace.
#[test]
fn what_happened_between_builds_is_named() -> Result<()> {
    let shop = Workshop::new("between")?;
    let module = shop.module("between", 40)?;
    let scripts = [
        "go build ./... && for file in p*/p.go; do echo 'var V = 1' >>$file; done && go build -p=2 ./...",
        "go clean -cache",
        "go build -p=3 ./... && cp -r . ../copy && cd ../copy && go build -p=4 ./...",
    ];
    let mut told = Vec::new();
    for script in scripts {
        let trace = shop.trace()?.directory(&module);
        let traced = trace.run("sh", ["-c", script])?;
        let report = traced.exact()?;
        whole(report)?;
        let builds = report.invocations.iter().filter(|one| one.verb == "build");
        let causes = builds.flat_map(|build| build.cause.clone());
        // Of directories that were changed just now there is no index.
        told.extend(causes.filter(|cause| cause.kind != "index"));
    }
    let told: Vec<_> = told
        .iter()
        .map(|cause| (cause.kind.as_str(), cause.detail.as_str()))
        .collect();
    let [first, second, (third, by), (fourth, places)] = told[..] else {
        bail!("{told:?}");
    };
    ensure!(first.0 == "first_build", "{told:?}");
    let changed =
        "example.com/between/p0, example.com/between/p1, example.com/between/p10 and 37 more";
    ensure!(second == ("source", changed), "{told:?}");
    ensure!(
        third == "cleaned" && by.starts_with("by go clean -cache of root at "),
        "{told:?}"
    );
    ensure!(
        fourth == "directory" && places.contains("/src/copy: example.com/between/p0"),
        "{told:?}"
    );
    Ok(())
}

/// `why` tells each package's reason from the history, also against another invocation than the previous build.
#[test]
fn each_package_has_its_reason() -> Result<()> {
    let shop = Workshop::new("why")?;
    let module = shop.module("why", 3)?;
    let script = "go build ./... && echo 'var V = 1' >>p1/p.go && go build -p=2 ./... && go build -gcflags=-N ./...";
    let traced = shop.trace()?.directory(&module).run("sh", ["-c", script])?;
    let report = traced.exact()?;
    let why = |words: &[&str]| -> Result<Value> {
        let output = Command::new(env::agent()?)
            .args(["why", "--json", "--state-dir"])
            .arg(shop.bench.aside("report.state"))
            .args(words)
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "why {words:?}: {text}");
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let reasons = |told: &Value| -> Vec<String> {
        let packages = told["packages"].as_array().into_iter().flatten();
        let one = |it: &Value| {
            let first = &it["reasons"][0];
            format!("{} {} {}", it["path"], first["kind"], first["detail"]).replace('"', "")
        };
        packages.map(one).collect()
    };
    let [first, second] = [&["go", "build", "./..."][..], &["build", "-p=2", "./..."]]
        .map(|words| the_one(report, words).map(|one| one.id.clone()));
    let (first, second) = (first?, second?);
    let told = reasons(&why(&[&second])?);
    ensure!(told == ["example.com/why/p1 source "], "{told:?}");
    let told = why(&["last", "--against", &first])?;
    let expected = ["p0", "p1", "p2"]
        .map(|name| format!(r"example.com/why/{name} settings:gcflags \\ -> \-N\"));
    ensure!(reasons(&told) == expected, "{:?}", reasons(&told));
    ensure!(told["packages"][0]["against"] == first.as_str(), "{told}");
    let told = reasons(&why(&[&first, "--package", "example.com/why/p2"])?);
    ensure!(told == ["example.com/why/p2 first_build "], "{told:?}");
    Ok(())
}

/// Two toolchains in one cache: the version is the cause.
#[test]
fn another_toolchain_is_named() -> Result<()> {
    let toolchains = go::toolchains()?;
    let [old, .., new] = toolchains.as_slice() else {
        return env::skip(
            SUITE,
            "another_toolchain_is_named",
            "CACHE_TEST_GO names fewer toolchains",
        );
    };
    let shop = Workshop::new("toolchains")?;
    let module = shop.module("toolchains", 40)?;
    let script = "unset GOROOT; \"$1/bin/go\" build ./... && \"$2/bin/go\" build -v ./...";
    let [one, other] = [old, new].map(|go| go.goroot.display().to_string());
    let trace = shop.trace()?.directory(&module);
    let traced = trace.run("sh", ["-c", script, "sh", &one, &other])?;
    let report = traced.exact()?;
    whole(report)?;
    let build = the_one(report, &["build", "-v", "./..."])?;
    let change = format!("{} -> {}", old.version, new.version);
    let is_told = |cause: &Cause| cause.kind == "toolchain" && cause.detail == change;
    ensure!(build.cause.iter().any(is_told), "{change}: {build:#?}");
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
