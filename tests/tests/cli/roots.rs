//! Roots that the command removes, moves away or makes anew, and those that never could be watched.

use std::{fs, os::unix::fs::symlink};

use anyhow::Result;
use cache_tests::{agent::Traced, env::Bench, report::Root};

use super::{bench, script, text};

/// What the root holds before the command.
const BEFORE: &str = "12345";

fn filled(name: &str) -> Result<Bench> {
    let bench = bench(name)?;
    fs::write(bench.root().join("before"), BEFORE)?;
    Ok(bench)
}

/// The only root of a report that contradicts itself nowhere.
fn sound(traced: &Traced) -> Result<&Root> {
    let report = traced.report()?;
    assert_eq!(report.contradictions(), [""; 0], "{}", traced.stderr);
    assert_eq!(report.roots[0].drift_bytes, 0, "{report:#?}");
    Ok(&report.roots[0])
}

#[test]
fn a_root_that_the_command_removes_is_empty_in_the_end() -> Result<()> {
    let bench = filled("root-removed")?;
    let command = script("rm -rf \"$1\"; exit 7", bench.root());
    let trace = bench
        .trace_without_root()?
        .option("--root")
        .option(bench.root());
    let traced = trace.run("sh", command)?;
    assert_eq!(traced.code(), 7, "{}", traced.stderr);
    let root = sound(&traced)?;
    assert_eq!((root.before_bytes, root.after_bytes), (5, 0));
    assert_eq!(root.directory, "gone");
    assert_eq!(traced.report()?.command_bytes(), -5);
    assert!(traced.stderr.contains("is gone"), "{}", traced.stderr);
    Ok(())
}

#[test]
fn a_root_that_the_command_makes_anew_is_followed() -> Result<()> {
    let bench = filled("root-anew")?;
    let command = "rm -rf \"$1\"; mkdir \"$1\"; sleep 1; printf 1234567 > \"$1/file\"";
    let traced = bench.trace()?.run("sh", script(command, bench.root()))?;
    let report = traced.exact()?;
    assert_eq!(sound(&traced)?.directory, "replaced");
    assert_eq!(report.command_bytes(), 2, "{report:#?}");
    assert!(traced.stderr.contains("was replaced"), "{}", traced.stderr);
    Ok(())
}

#[test]
fn a_root_made_anew_at_the_very_end_counts_with_what_it_holds() -> Result<()> {
    let bench = filled("root-late")?;
    let late = bench.outside().join("late");
    fs::create_dir(&late)?;
    fs::write(late.join("file"), "1234567")?;
    let command = format!("rm -rf \"$1\"; mv '{}' \"$1\"", text(&late)?);
    let traced = bench.trace()?.run("sh", script(&command, bench.root()))?;
    let report = traced.exact()?;
    assert_eq!(sound(&traced)?.directory, "replaced");
    assert_eq!(
        (report.command_bytes(), report.unattributed_bytes()),
        (-5, 7)
    );
    Ok(())
}

#[test]
fn what_is_moved_away_with_its_root_has_left() -> Result<()> {
    let bench = filled("root-moved")?;
    let away = bench.outside().join("away");
    let away = text(&away)?;
    let command = format!("mv \"$1\" '{away}'; mkdir \"$1\"; sleep 1; printf 123 > \"$1/file\"");
    let traced = bench.trace()?.run("sh", script(&command, bench.root()))?;
    let report = traced.exact()?;
    let root = sound(&traced)?;
    assert_eq!((root.before_bytes, root.after_bytes), (5, 3));
    assert_eq!((root.moved_away_bytes, root.unattributed_bytes), (5, -5));
    assert_eq!(report.command_bytes(), 3, "{report:#?}");
    Ok(())
}

#[test]
fn a_root_that_comes_back_was_never_another() -> Result<()> {
    let bench = filled("root-back")?;
    let away = bench.outside().join("away");
    let away = text(&away)?;
    let command = format!(
        "mv \"$1\" '{away}'; mkdir \"$1\"; sleep 1; printf 1 > \"$1/x\"; rm -r \"$1\"; mv '{away}' \"$1\"; printf 12 > \"$1/y\""
    );
    let traced = bench.trace()?.run("sh", script(&command, bench.root()))?;
    let report = traced.exact()?;
    let root = sound(&traced)?;
    assert_eq!(
        (root.directory.as_str(), root.moved_away_bytes),
        ("same", 0)
    );
    assert_eq!((root.after_bytes, report.command_bytes()), (7, 2));
    Ok(())
}

#[test]
fn a_cache_that_cannot_be_watched_keeps_no_command_from_running() -> Result<()> {
    let bench = bench("root-unwatched")?;
    let (file, link) = (bench.aside("file"), bench.aside("link"));
    fs::write(&file, "")?;
    symlink("nowhere", &link)?;
    for (cache, reason) in [
        (&file, "is not a directory"),
        (&link, "is a link to what does not exist"),
    ] {
        let trace = bench.trace_without_root()?.env("GOCACHE", cache);
        let trace = trace.env("GOMODCACHE", bench.root().join("mod"));
        let traced = trace.run("sh", script("exit 3", ""))?;
        assert_eq!(traced.code(), 3, "{}", traced.stderr);
        let root = sound(&traced)?;
        assert_eq!(root.directory, "unwatched");
        let trouble = root.trouble.as_deref().unwrap_or_default();
        assert!(trouble.contains(reason), "{trouble}");
        assert!(traced.stderr.contains(reason), "{}", traced.stderr);
    }
    Ok(())
}
