//! Who ran an invocation, and for which job, as its environment tells.

use anyhow::{Result, ensure};
use cache_tests::workshop::{Workshop, the_one};

/// The caller of sudo stands beside root; what a user claims of himself does not.
#[test]
fn who_called_sudo_is_told_for_root_only() -> Result<()> {
    let shop = Workshop::new("sudo")?;
    let module = shop.module("sudo", 1)?;
    let claim = "go build ./...; setpriv --reuid 65534 --clear-groups go vet ./...";
    let trace = shop.trace()?.directory(&module).env("SUDO_USER", "alice");
    let traced = trace.run("sh", ["-c", claim])?;
    let report = traced.exact()?;
    let build = the_one(report, &["build", "./..."])?;
    let told = (build.user.as_str(), build.sudo_user.as_str());
    ensure!(told == ("root", "alice"), "{build:#?}");
    let vet = the_one(report, &["go", "vet", "./..."])?;
    ensure!(vet.uid == 65534 && vet.sudo_user.is_empty(), "{vet:#?}");
    Ok(())
}

/// Gitea sets the variables of GitHub too, and parallel jobs have an index.
#[test]
fn the_job_and_its_leg_are_told() -> Result<()> {
    let shop = Workshop::new("jobs")?;
    let module = shop.module("jobs", 1)?;
    for (variables, expected) in [
        (
            "GITEA_ACTIONS=true GITHUB_ACTIONS=true GITHUB_JOB=lint",
            ["gitea", "lint", ""],
        ),
        (
            "BUILDKITE=true BUILDKITE_LABEL=lint BUILDKITE_PARALLEL_JOB=3",
            ["buildkite", "lint", "3"],
        ),
    ] {
        let variables = variables.split(' ').filter_map(|pair| pair.split_once('='));
        let trace = shop.trace()?.directory(&module);
        let trace = variables.fold(trace, |trace, (name, value)| trace.env(name, value));
        let traced = trace.run("go", ["build", "./..."])?;
        let build = the_one(traced.exact()?, &["build", "./..."])?;
        let told =
            ["system", "job", "leg"].map(|fact| build.ci.get(fact).map_or("", String::as_str));
        ensure!(told == expected, "{build:#?}");
    }
    Ok(())
}
