//! Caches that the command sets itself, of which its environment says nothing.

use std::{ffi::OsString, path::Path};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    agent::{Trace, Traced},
    go::open_directory,
    report::{Report, Root, signed},
    tree,
    workshop::{Workshop, the_one, whole, write},
};

/// Builds in a row: each may find the agent late.
const ROUNDS: usize = 10;

/// A trace that finds its roots itself, in a module whose Makefile says where caches are.
fn made(shop: &Workshop, module: &Path, settings: &str) -> Result<Trace> {
    let makefile = format!("{settings}\nbuild:\n\tgo build ./...\n");
    write(&module.join("Makefile"), &makefile)?;
    let trace = shop.bench.trace_without_root()?.directory(module);
    let places = shop.bench.outside();
    Ok(trace.envs(shop.go.environment(&places, &shop.bench.root())))
}

fn root<'a>(report: &'a Report, path: &Path) -> Result<&'a Root> {
    let root = report.roots.iter().find(|root| root.path == path);
    root.with_context(|| format!("{} is no root: {:#?}", path.display(), report.roots))
}

/// Nothing contradicts itself, and no ledger needed a correction.
fn sound(traced: &Traced) -> Result<&Report> {
    let report = traced.report()?;
    let contradictions = report.contradictions();
    ensure!(contradictions.is_empty(), "{contradictions:?}");
    let drifts = report.roots.iter().any(|root| root.drift_bytes != 0);
    ensure!(!drifts && traced.code() == 0, "{}", traced.stderr);
    whole(report)?;
    Ok(report)
}

/// Whether it is there already or not, all that the build adds is its own, to the byte.
#[test]
fn a_cache_that_a_makefile_sets_is_watched() -> Result<()> {
    let shop = Workshop::new("makefile")?;
    let other = shop.place("other");
    for round in 0..ROUNDS * 2 {
        let module = shop.module(&format!("made{round}"), 3)?;
        let is_old = round >= ROUNDS;
        if !is_old && other.exists() {
            std::fs::remove_dir_all(&other)?;
        }
        let before = if is_old {
            tree::walk(&other, &[])?.bytes
        } else {
            0
        };
        let settings = format!("export GOCACHE := {}", other.display());
        let traced = made(&shop, &module, &settings)?.run("make", ["build"])?;
        let report = sound(&traced)?;
        let after = tree::walk(&other, &[])?.bytes;
        let root = root(report, &other)?;
        ensure!(
            (root.before_bytes, root.after_bytes) == (before, after) && after > before + 1_000,
            "{before} to {after} B: {root:#?}"
        );
        ensure!(
            root.found_after_s.is_some() && root.kind == "gobuild",
            "{root:#?}"
        );
        let build = the_one(report, &["go", "build", "./..."])?;
        let grown = signed(after) - signed(before);
        ensure!(build.growth_bytes == grown, "{grown} B: {build:#?}");
        ensure!(
            build.misses == 3 && report.elsewhere.is_empty(),
            "{report:#?}"
        );
        let is_told = traced
            .stderr
            .contains("what changed there before is not told");
        ensure!(is_told == is_old, "{}", traced.stderr);
    }
    Ok(())
}

/// The user says what is watched: of another cache there is a line, with what to do.
#[test]
fn with_given_roots_another_cache_is_told() -> Result<()> {
    let shop = Workshop::new("given")?;
    let module = shop.module("given", 3)?;
    let [builds, modules] = [shop.place("builds"), shop.place("modules")];
    open_directory(&modules.join("cache"))?;
    let settings = format!(
        "export GOCACHE := {}\nexport GOMODCACHE := {}",
        builds.display(),
        modules.display()
    );
    let trace = made(&shop, &module, &settings)?.root(shop.bench.root());
    let traced = trace.run("make", ["build"])?;
    let report = traced.exact()?;
    ensure!(report.roots.len() == 1, "{:#?}", report.roots);
    let build = the_one(report, &["go", "build", "./..."])?;
    for (path, kind) in [(&builds, "gobuild"), (&modules, "gomod")] {
        let mut told = report.elsewhere.iter().filter(|one| one.path == *path);
        let one = told.next().context("not told")?;
        ensure!(
            told.next().is_none() && one.kind == kind,
            "{:#?}",
            report.elsewhere
        );
        ensure!(one.invocation == build.id, "{one:#?}");
        let path = path.display();
        let line = format!(
            "cache {path} was used by `go build ./...` (make) and is not watched: add --root {path}"
        );
        ensure!(traced.stderr.contains(&line), "{}", traced.stderr);
    }
    Ok(())
}

/// What only a container shows is no root of a trace.
#[test]
fn a_containers_cache_is_told() -> Result<()> {
    let shop = Workshop::new("told")?;
    let module = shop.module("told", 3)?;
    let cache = shop.place("inner");
    open_directory(&cache)?;
    let script = "mount -t tmpfs none \"$GOCACHE\" && go build ./... && du -s \"$GOCACHE\"";
    let words = ["--mount", "--propagation=private", "sh", "-c", script];
    let trace = made(&shop, &module, "")?.env("GOCACHE", shop.bench.root());
    let inner = OsString::from(format!("GOCACHE={}", cache.display()));
    let command = ["unshare".into()]
        .into_iter()
        .chain(words.map(OsString::from));
    let command = [inner].into_iter().chain(command);
    let traced = trace.run("env", command)?;
    let report = sound(&traced)?;
    ensure!(
        report.roots.iter().all(|root| root.path != cache),
        "{:#?}",
        report.roots
    );
    let told = report.elsewhere.iter().find(|one| one.path == cache);
    let told = told.with_context(|| format!("not told: {}", traced.stderr))?;
    ensure!(told.reason.contains("mount namespace"), "{told:#?}");
    Ok(())
}
