//! Who changes a cache without being a build tool, and go commands by another name, as the daemon tells them.

use std::{os::unix::fs::symlink, process::Command};

use anyhow::{Result, ensure};
use cache_tests::workshop::Workshop;

use super::daemon::{go, told, told_of, watching};

/// Two builds with a removal between them: the removal is a record, and the reason of the second build.
#[test]
fn a_removal_is_told_and_is_the_reason_of_the_next_build() -> Result<()> {
    let shop = Workshop::new("removal")?;
    let module = shop.module("removal", 60)?;
    let cache = shop.bench.root();
    let (daemon, state) = watching(&shop)?;
    let build = |jobs: &str| go(&shop, &["build", jobs, "./..."], &module, &cache);
    build("-p=2")?;
    told(&daemon, &state, "example.com/removal")?;
    let entries = std::fs::read_dir(&cache)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    let removed = Command::new("rm").arg("-rf").args(entries).status()?;
    ensure!(removed.success(), "rm: {removed}");
    let record = told_of(&daemon, &state, "the removal", |record| {
        record["tool"] == "other"
    })?;
    let argv = record["argv"].to_string();
    ensure!(argv.starts_with("[\"rm\",\"-rf\""), "{record:#}");
    ensure!(record["freed_bytes"].as_u64() > Some(100_000), "{record:#}");
    build("-p=3")?;
    let record = told_of(&daemon, &state, "the second build", |record| {
        record["argv"].to_string().contains("-p=3")
    })?;
    let causes = record["cause"].to_string();
    ensure!(
        causes.contains("\"removed\"") && causes.contains("by rm -rf"),
        "{record:#}"
    );
    Ok(())
}

/// A go command that is called by its version, by a shell that nobody follows.
#[test]
fn a_go_command_of_one_version_is_an_invocation() -> Result<()> {
    let shop = Workshop::new("version")?;
    let module = shop.module("version", 4)?;
    let cache = shop.bench.root();
    let (daemon, state) = watching(&shop)?;
    let named = shop.place("go1.99rc1");
    symlink(shop.go.program(), &named)?;
    let mut command = Command::new(&named);
    command
        .env_clear()
        .envs(shop.go.environment(&shop.bench.outside(), &cache))
        .current_dir(&module)
        .args(["build", "./..."]);
    let status = command.status()?;
    ensure!(status.success(), "{status}");
    let record = told(&daemon, &state, "example.com/version")?;
    ensure!(
        record["tool"] == "go" && record["verb"] == "build",
        "{record:#}"
    );
    ensure!(record["misses"] == 4, "{record:#}");
    Ok(())
}
