//! Invocations as the daemon follows them: told to the history, counted in metrics, and leading to caches that
//! nobody named.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use cache_tests::{
    daemon::{Daemon, Run},
    env,
    report::signed,
    tree, wait,
    workshop::{Workshop, write},
};
use serde_json::Value;

/// Until a finished invocation is in the history.
const TOLD: Duration = Duration::from_secs(20);

/// A build by a daemon that watches its cache: one record, with all its bytes.
#[test]
fn the_daemon_remembers_invocations() -> Result<()> {
    let shop = Workshop::new("remembers")?;
    let module = shop.module("remembers", 6)?;
    let (daemon, state) = watching(&shop)?;
    build(&shop, &module, &shop.bench.root())?;
    let bytes = signed(shop.bench.walk()?.bytes);
    let record = told(&daemon, &state, "example.com/remembers")?;
    ensure!(
        record["growth_bytes"] == bytes,
        "{bytes} B on disk: {record:#}"
    );
    ensure!(
        record["exit_code"] == 0 && record["verb"] == "build",
        "{record:#}"
    );
    let misses = record["misses"].as_u64().unwrap_or(0);
    ensure!(misses >= 6, "{record:#}");
    let exposition = daemon.scrape()?;
    let of_go = |name: &str| exposition.value(name, &[("group", "go")]);
    ensure!(
        of_go("go_cache_invocations_total")? >= 1.0,
        "no invocation counted"
    );
    ensure!(
        of_go("go_cache_lookups_total")? >= 6.0,
        "no look-up counted"
    );
    Ok(())
}

/// An agent that watches the cache of the workshop, and its state directory.
pub(super) fn watching(shop: &Workshop) -> Result<(Daemon, PathBuf)> {
    let state = shop.place("state");
    let run = Run::new(&shop.bench, "agent")?;
    let daemon = run.root(shop.bench.root()).state(&state).ready()?;
    Ok((daemon, state))
}

/// An agent that looks for caches itself, but not for those of others on this machine, and its state directory.
pub(super) fn discovering(shop: &Workshop) -> Result<(Daemon, PathBuf)> {
    let (config, places) = (shop.place("agent.toml"), shop.bench.outside());
    let allow = [places.join("**"), "/mnt/**".into()];
    write(
        &config,
        &format!("discover = true\n[invocations]\nallow = {allow:?}\n"),
    )?;
    let state = shop.place("state");
    let daemon = Run::new(&shop.bench, "agent")?
        .config(&config)
        .state(&state)
        .ready()?;
    Ok((daemon, state))
}

/// A cache that nobody named becomes a root while the first build fills it; nothing of it is lost.
#[test]
fn a_cache_in_use_is_discovered() -> Result<()> {
    let shop = Workshop::new("discovers")?;
    let module = shop.module("discovers", 40)?;
    let (daemon, state) = discovering(&shop)?;
    let cache = shop.place("unknown");
    build(&shop, &module, &cache)?;
    let bytes = tree::walk(&cache, &[])?.bytes;
    let record = told(&daemon, &state, "example.com/discovers")?;
    let path = cache.to_string_lossy();
    let root = &record["roots"][path.as_ref()];
    ensure!(
        root["growth_bytes"] == bytes,
        "{bytes} B in {path}: {record:#}\n{}",
        daemon.log()?
    );
    let exposition = daemon.scrape()?;
    let size = exposition.of_root("go_cache_size_bytes", "gobuild:uid0")?;
    ensure!(size.to_string() == bytes.to_string(), "{size} of {bytes} B");
    Ok(())
}

/// Two builds fill a cache that nobody named, at once: what neither alone can have written is nobody's, and nothing
/// counts twice.
#[test]
fn two_builds_in_a_new_cache() -> Result<()> {
    let shop = Workshop::new("together")?;
    let modules = [shop.module("first", 40)?, shop.module("second", 40)?];
    let (daemon, state) = discovering(&shop)?;
    let cache = shop.place("unknown");
    thread::scope(|scope| {
        let builds = modules.each_ref();
        let builds = builds.map(|module| scope.spawn(|| build(&shop, module, &cache)));
        let ended = builds.map(thread::ScopedJoinHandle::join);
        let ended = ended.map(|ended| ended.map_err(|_| anyhow!("a build panicked"))?);
        ended.into_iter().collect::<Result<()>>()
    })?;
    let bytes = tree::walk(&cache, &[])?.bytes;
    let path = cache.to_string_lossy();
    let mut sum = 0;
    for module in ["first", "second"] {
        let record = told(&daemon, &state, &format!("example.com/{module}"))?;
        let growth = record["roots"][path.as_ref()]["growth_bytes"].as_u64();
        let growth = growth.with_context(|| format!("{record:#}"))?;
        ensure!(growth > 300_000, "{growth} B: {record:#}");
        sum += growth;
    }
    ensure!(
        sum <= bytes,
        "{sum} B by builds, {bytes} B on disk\n{}",
        daemon.log()?
    );
    let exposition = daemon.scrape()?;
    let of = |group| exposition.value("go_cache_group_growth_bytes_total", &[("group", group)]);
    let (built, unattributed) = (of("go-build")?, of("unattributed")?);
    ensure!(
        built.to_string() == sum.to_string()
            && (built + unattributed).to_string() == bytes.to_string(),
        "{built} and {unattributed} of {bytes} B, {sum} B by builds"
    );
    Ok(())
}

/// `go -C` works elsewhere than where it was started, however early somebody looks.
#[test]
fn a_change_of_directory_is_followed() -> Result<()> {
    let shop = Workshop::new("changes")?;
    let [started, works] = [shop.module("started", 2)?, shop.module("works", 2)?];
    let (daemon, state) = watching(&shop)?;
    go(
        &shop,
        &["-C", "../works", "build", "./..."],
        &started,
        &shop.bench.root(),
    )?;
    let record = told(&daemon, &state, "example.com/works")?;
    ensure!(
        record["cwd"] == works.to_string_lossy().as_ref(),
        "{record:#}"
    );
    Ok(())
}

pub(super) fn build(shop: &Workshop, module: &Path, cache: &Path) -> Result<()> {
    go(shop, &["build", "./..."], module, cache)
}

pub(super) fn go(shop: &Workshop, words: &[&str], module: &Path, cache: &Path) -> Result<()> {
    let status = shop.go(module, cache).args(words).status()?;
    ensure!(status.success(), "go {}: {status}", words.join(" "));
    Ok(())
}

/// The record of the build in this module, once the history has it.
pub(super) fn told(daemon: &Daemon, state: &Path, module: &str) -> Result<Value> {
    told_of(daemon, state, module, |record| record["module"] == module)
}

/// The newest record that is like this, once the history has it; `what` is what an error calls it.
pub(super) fn told_of(
    daemon: &Daemon,
    state: &Path,
    what: &str,
    is_it: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let mut all = wait_told(daemon, state, what, |all| {
        let found = all.into_iter().find(|record| is_it(record));
        found.map(|found| vec![found])
    })?;
    all.pop().context("no record")
}

/// All records that are like this, newest first, once the history has so many.
pub(super) fn all_told(
    daemon: &Daemon,
    state: &Path,
    count: usize,
    is_it: impl Fn(&Value) -> bool,
) -> Result<Vec<Value>> {
    wait_told(daemon, state, "records", |mut all| {
        all.retain(|record| is_it(record));
        (all.len() >= count).then_some(all)
    })
}

fn wait_told(
    daemon: &Daemon,
    state: &Path,
    what: &str,
    choose: impl Fn(Vec<Value>) -> Option<Vec<Value>>,
) -> Result<Vec<Value>> {
    let mut last = String::new();
    let waited = wait::until("the record", TOLD, || {
        let output = Command::new(env::agent()?)
            .args(["invocations", "--json", "--limit", "1000", "--state-dir"])
            .arg(state)
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let found: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        last = format!("{found:#}\n{}", String::from_utf8_lossy(&output.stderr));
        let all = found["invocations"].as_array().cloned();
        Ok(choose(all.unwrap_or_default()))
    });
    waited.with_context(|| format!("{what}: {last}\n{}", daemon.log().unwrap_or_default()))
}
