//! Crowds, shared files, and roots in odd places: each with a run of its own.

use std::{ffi::OsString, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use cache_tests::{
    actor::Holding,
    cases::crowd_bytes,
    env::{Bench, FileSystem},
    wait,
};

use super::{ACTOR, arguments, on_both};

/// Processes here need far less to get to where they wait.
const STARTS: Duration = Duration::from_secs(20);

#[test]
fn two_writers_of_one_file() -> Result<()> {
    on_both(|file_system| {
        let bench = Bench::new("two-writers", file_system)?;
        let traced = bench.trace()?.run(
            ACTOR,
            arguments(&["two-writers"], &bench.root().join("file")),
        )?;
        let report = traced.exact()?;
        assert_eq!(report.command_bytes(), 200_000, "{report:#?}");
        assert_eq!(report.roots[0].files_created, 1, "{report:#?}");
        Ok(())
    })
}

/// The hook of the one that found the file may run before the hook of the one that made it.
#[test]
fn two_that_create_one_file_at_once() -> Result<()> {
    let files: usize = if wait::patience() > 1 { 2000 } else { 20_000 };
    let bench = Bench::new("same-names", FileSystem::Native)?;
    let number = files.to_string();
    let traced = bench
        .trace()?
        .run(ACTOR, arguments(&["same-names", &number], &bench.root()))?;
    let report = traced.exact()?;
    assert_eq!(report.command_bytes(), i64::try_from(files)? * 2000);
    assert_eq!(report.roots[0].files_created, u64::try_from(files)?);
    Ok(())
}

#[test]
fn an_inode_that_serves_many_files() -> Result<()> {
    // Every thousandth stays.
    let files: usize = if wait::patience() > 1 { 2000 } else { 10_000 };
    on_both(|file_system| {
        let bench = Bench::new("inode-reuse", file_system)?;
        let number = files.to_string();
        let traced = bench
            .trace()?
            .run(ACTOR, arguments(&["reuse", &number], &bench.root()))?;
        let report = traced.exact()?;
        assert_eq!(report.processes.len(), 1, "{report:#?}");
        let process = &report.processes[0];
        let left = files / 1000;
        assert_eq!(
            process.growth_bytes,
            i64::try_from(left)? * 11,
            "{report:#?}"
        );
        assert_eq!(
            (process.files_created, process.files_deleted),
            (files as u64, (files - left) as u64),
            "{report:#?}"
        );
        Ok(())
    })
}

#[test]
fn a_crowd_of_processes() -> Result<()> {
    // An emulated machine gets as many as it can do in the same time.
    let processes: usize = if wait::patience() > 1 { 2000 } else { 20_000 };
    let bench = Bench::new("crowd", FileSystem::Native)?;
    let number = processes.to_string();
    let traced = bench
        .trace()?
        .run(ACTOR, arguments(&["crowd", &number], &bench.root()))?;
    let report = traced.exact()?;
    let bytes: usize = (0..processes).map(crowd_bytes).sum();
    assert_eq!(report.command_bytes(), i64::try_from(bytes)?);
    assert_eq!(report.roots[0].files_created, u64::try_from(processes)?);
    assert_eq!(report.unattributed_bytes(), 0);
    Ok(())
}

#[test]
fn nested_roots_count_for_the_innermost() -> Result<()> {
    on_both(|file_system| {
        let bench = Bench::new("nested", file_system)?;
        let inner = bench.root().join("inner");
        fs::create_dir(&inner)?;
        let trace = bench.trace()?.root(inner.clone());
        let traced = trace.run(ACTOR, arguments(&["files", "3", "500"], &inner))?;
        let report = traced.exact()?;
        let ledger_of = |path: &Path| {
            report
                .roots
                .iter()
                .find(|root| root.path == path)
                .map(|root| root.ledger_bytes)
        };
        assert_eq!(ledger_of(&inner), Some(1500), "{report:#?}");
        assert_eq!(ledger_of(&bench.root()), Some(0), "{report:#?}");
        Ok(())
    })
}

#[test]
fn a_root_that_appears_while_it_is_watched() -> Result<()> {
    let bench = Bench::new("appears", FileSystem::Native)?;
    let root = bench.outside().join("cache");
    let script =
        "mkdir -p \"$1\" && printf 12345 > \"$1/a\" && mkdir \"$1/d\" && printf 123 > \"$1/d/b\"";
    let words = [
        "-c".into(),
        script.into(),
        "sh".into(),
        root.clone().into_os_string(),
    ];
    let traced = bench.trace_without_root()?.root(root).run("sh", words)?;
    assert_eq!(traced.exact()?.ledger_bytes(), 8);
    Ok(())
}

#[test]
fn a_move_from_one_root_to_another_changes_both() -> Result<()> {
    on_both(|file_system| {
        let bench = Bench::new("two-roots", file_system)?;
        let (one, two) = (bench.root(), bench.outside());
        fs::write(one.join("file"), [b'x'; 700])?;
        fs::create_dir(one.join("directory"))?;
        fs::write(one.join("directory/file"), [b'x'; 50])?;
        let script = "mv \"$1/file\" \"$1/directory\" \"$2\"";
        let words = [
            "-c".into(),
            script.into(),
            "sh".into(),
            one.clone().into(),
            two.clone().into(),
        ];
        let words: [OsString; 5] = words;
        let traced = bench.trace()?.root(two.clone()).run("sh", words)?;
        let report = traced.exact()?;
        for (path, ledger) in [(one, -750), (two, 750)] {
            let root = report.roots.iter().find(|root| root.path == path);
            assert_eq!(
                root.map(|root| root.ledger_bytes),
                Some(ledger),
                "{report:#?}"
            );
        }
        Ok(())
    })
}

#[test]
fn a_bind_mount_leads_to_the_same_root() -> Result<()> {
    on_both(|file_system| {
        let bench = Bench::new("bind", file_system)?;
        let other = bench.outside();
        let _mounted = bench.show_root_at(&other)?;
        let traced = bench
            .trace()?
            .run(ACTOR, arguments(&["files", "7", "100"], &other))?;
        assert_eq!(traced.exact()?.command_bytes(), 700);
        Ok(())
    })
}

#[test]
fn a_file_that_was_open_before_belongs_to_who_opened_it() -> Result<()> {
    on_both(|file_system| {
        let bench = Bench::new("open-before", file_system)?;
        let (file, go_on, done) = (
            bench.root().join("file"),
            bench.aside("go-on"),
            bench.aside("done"),
        );
        let words = ["hold".into(), file.clone().into_os_string(), "1000".into()];
        let writer = Holding::start(ACTOR, words, go_on)?;
        let writer_pid = writer.pid()?;
        wait::for_size(&file, 1000, STARTS)?;
        let script = ": > \"$1.ready\"; until test -e \"$1\"; do sleep 0.05; done";
        let words: [OsString; 4] = ["-c".into(), script.into(), "sh".into(), done.clone().into()];
        let tracing = bench.trace()?.start("sh", words)?;
        wait::for_size(&bench.aside("done.ready"), 0, STARTS)?;
        writer.release()?;
        fs::write(&done, "")?;
        let traced = tracing.finish()?;
        let report = traced.exact()?;
        let account = traced
            .account(writer_pid)?
            .with_context(|| format!("{report:#?}"))?;
        assert_eq!(
            (account.growth_bytes, account.in_command),
            (1000, false),
            "{report:#?}"
        );
        Ok(())
    })
}
