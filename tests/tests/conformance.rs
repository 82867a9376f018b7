//! Every way a file can change size, by every way of ending, natively and on a tmpfs: the ledger is
//! right to the byte, and so is the process.
//!
//! One run of the agent covers a group of operations: each has a root of its own, and each of its
//! endings a directory and a process of its own.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use cache_tests::{
    agent::Traced,
    cases::{CASES, Case, Ending, Place, crowd_bytes},
    env::{self, Bench, FileSystem},
    report::{Observation, Process},
};
use serde::Deserialize;

const SUITE: &str = "conformance";
const ACTOR: &str = env!("CARGO_BIN_EXE_actor");

/// One test per group and file system, and a check that the table has no other operations.
macro_rules! groups {
    ($($group:ident: $($name:ident)+;)+) => {
        mod native {
            $(#[test]
            fn $group() -> anyhow::Result<()> {
                super::conforms(&[$(stringify!($name)),+], super::FileSystem::Native)
            })+
        }

        mod tmpfs {
            $(#[test]
            fn $group() -> anyhow::Result<()> {
                super::conforms(&[$(stringify!($name)),+], super::FileSystem::Tmpfs)
            })+
        }

        #[test]
        fn every_operation_of_the_table_has_a_test() {
            let tested = [$($(stringify!($name)),+),+];
            let names = CASES.iter().map(|case| case.name);
            let missing: Vec<&str> = names.filter(|name| !tested.contains(name)).collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
    };
}

groups! {
    written:
        write pwrite writev append open_only open_legacy_creat openat2 via_symlink
        truncate_on_open truncate_on_open_to_nothing
        mmap sparse sendfile splice copy_file_range;
    resized:
        ftruncate_up ftruncate_down ftruncate_down_and_write truncate_by_path_while_open
        truncate_by_path_down truncate_by_path_up fallocate fallocate_keep_size;
    renamed_or_removed_while_open:
        tmpfile_linkat tmpfile_never_linked unlink_while_open unlink_existing_while_open
        rename_inside_while_open rename_into_while_open rename_out_while_open rename_over_while_open;
    renamed_or_removed:
        unlink unlinkat_relative rename_inside rename_into rename_out rename_over rename_into_over
        rename_out_over rename_onto_own_link exchange_inside exchange_across failing_calls;
    directories:
        directory_into directory_into_then_write directory_into_then_unlink
        directory_out directory_out_then_write directory_out_and_in directory_inside_then_write
        exchange_file_and_directory remove_tree deep_directories;
    hard_links:
        link_made link_removed all_links_removed links_of_own_file
        link_across_made link_across_removed;
}

/// What an actor says before it acts.
#[derive(Debug, Deserialize)]
struct Said {
    case: String,
    ending: String,
    pid: u32,
}

fn conforms(names: &[&str], file_system: FileSystem) -> Result<()> {
    let bench = Bench::new("conformance", file_system)?;
    let mut trace = bench.trace_without_root()?;
    for name in names {
        prepare(&bench, name)?;
        trace = trace.root(bench.root().join(name));
    }
    let words = [
        "each".into(),
        bench.root().into_os_string(),
        bench.outside().into_os_string(),
    ];
    let traced = trace.run(
        ACTOR,
        words.into_iter().chain(names.iter().map(OsString::from)),
    )?;
    let mut found = Vec::new();
    found.extend(traced.exact().err().map(|error| format!("{error:#}")));
    found.extend(miscredited(names, &traced)?);
    if found.is_empty() {
        return Ok(());
    }
    bail!("on {file_system:?}:\n{}", found.join("\n"))
}

fn prepare(bench: &Bench, name: &str) -> Result<()> {
    let case = Case::named(name)?;
    for ending in case.endings() {
        case.prepare(&Place {
            inside: bench.root().join(name).join(ending.name()),
            outside: bench.outside().join(name).join(ending.name()),
        })?;
    }
    Ok(())
}

/// Every process that was not credited with exactly what it did.
fn miscredited(names: &[&str], traced: &Traced) -> Result<Vec<String>> {
    let mut actors = BTreeMap::new();
    for line in traced.stdout.lines() {
        let said: Said =
            serde_json::from_str(line).with_context(|| format!("the actor said {line}"))?;
        actors.insert(
            said.pid,
            (Case::named(&said.case)?, Ending::named(&said.ending)?),
        );
    }
    let mut found = Vec::new();
    for name in names {
        let endings = Case::named(name)?.endings().len();
        let ran = actors
            .values()
            .filter(|(case, _)| case.name == *name)
            .count();
        if ran != endings {
            found.push(format!("{name}: {ran} of {endings} endings ran"));
        }
    }
    for (&pid, &(case, ending)) in &actors {
        let difference = difference(case, ending, traced.account(pid)?);
        found.extend(
            difference.map(|text| format!("{}, {} ({pid}): {text}", case.name, ending.name())),
        );
    }
    let others = traced.report()?.processes.iter();
    let others = others.filter(|process| !actors.contains_key(&process.pid));
    found.extend(others.map(|process| format!("credited, but did nothing: {process:?}")));
    Ok(found)
}

/// How an account differs from what the table says, if it does; no account means zeros.
fn difference(case: &Case, ending: Ending, account: Option<&Process>) -> Option<String> {
    let of = |field: fn(&Process) -> u64| account.map_or(0, field);
    let growth = account.map_or(0, |process| process.growth_bytes);
    let mut found = Vec::new();
    let expected = case.growth_with(ending);
    if growth != expected {
        found.push(format!("growth {growth} B instead of {expected} B"));
    }
    let counts = [
        (
            "freed",
            of(|process| process.freed_bytes),
            case.freed_with(ending),
        ),
        ("created", of(|process| process.files_created), case.created),
        ("deleted", of(|process| process.files_deleted), case.deleted),
        ("renamed", of(|process| process.files_renamed), case.renamed),
    ];
    for (what, counted, expected) in counts {
        if let Some(expected) = expected.filter(|expected| *expected != counted) {
            found.push(format!("{what} {counted} instead of {expected}"));
        }
    }
    if account.is_some_and(|process| !process.in_command) {
        found.push("not counted as part of the command".to_owned());
    }
    (!found.is_empty()).then(|| found.join(", "))
}

fn on_both(check: impl Fn(FileSystem) -> Result<()>) -> Result<()> {
    check(FileSystem::Native).context("natively")?;
    check(FileSystem::Tmpfs).context("on a tmpfs")
}

fn arguments<'a>(words: &'a [&'a str], path: &'a Path) -> impl Iterator<Item = &'a OsStr> {
    words.iter().map(OsStr::new).chain([path.as_os_str()])
}

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

#[test]
fn an_inode_that_serves_ten_thousand_files() -> Result<()> {
    on_both(|file_system| {
        let bench = Bench::new("inode-reuse", file_system)?;
        let traced = bench
            .trace()?
            .run(ACTOR, arguments(&["reuse", "10000"], &bench.root()))?;
        let report = traced.exact()?;
        assert_eq!(report.processes.len(), 1, "{report:#?}");
        let process = &report.processes[0];
        assert_eq!(process.growth_bytes, 10 * 11, "{report:#?}");
        assert_eq!(
            (process.files_created, process.files_deleted),
            (10_000, 9990),
            "{report:#?}"
        );
        Ok(())
    })
}

#[test]
fn twenty_thousand_processes() -> Result<()> {
    const PROCESSES: usize = 20_000;
    let bench = Bench::new("crowd", FileSystem::Native)?;
    let number = PROCESSES.to_string();
    let traced = bench
        .trace()?
        .run(ACTOR, arguments(&["crowd", &number], &bench.root()))?;
    let report = traced.exact()?;
    let bytes: usize = (0..PROCESSES).map(crowd_bytes).sum();
    assert_eq!(report.command_bytes(), i64::try_from(bytes)?);
    assert_eq!(report.roots[0].files_created, u64::try_from(PROCESSES)?);
    assert_eq!(report.unattributed_bytes(), 0);
    Ok(())
}

/// Whether the kernel lets the actor use a ring; notes the skip if not.
fn ring_refused(test: &str, traced: &Traced) -> Result<bool> {
    let refused = traced.stdout.contains("refused");
    if refused {
        env::skip(
            SUITE,
            test,
            &format!("no io_uring here: {}", traced.stdout.trim()),
        )?;
    }
    Ok(refused)
}

#[test]
fn io_uring_as_a_whole_is_unattributed() -> Result<()> {
    on_both(|file_system| {
        let bench = Bench::new("ring", file_system)?;
        let file = bench.root().join("file");
        let words = ["ring".into(), file.into_os_string(), "33333".into()];
        let traced = bench.trace()?.run(ACTOR, words)?;
        if ring_refused("io_uring_as_a_whole_is_unattributed", &traced)? {
            return Ok(());
        }
        let report = traced.report()?;
        let root = &report.roots[0];
        assert_eq!(root.after_bytes, 33_333, "{report:#?}");
        match report.coverage.get("io_uring") {
            Some(Observation::Observed) => {
                assert_eq!(report.command_bytes(), 33_333, "{report:#?}")
            }
            Some(Observation::Unattributed) => {
                assert_eq!(
                    report.credited_bytes() + root.unattributed_bytes,
                    33_333,
                    "{report:#?}"
                );
                assert_eq!(root.ledger_bytes, 33_333, "{report:#?}");
            }
            other => bail!("coverage of io_uring is {other:?}"),
        }
        Ok(())
    })
}

#[test]
fn io_uring_writes_to_a_file_opened_by_a_system_call() -> Result<()> {
    on_both(|file_system| {
        let bench = Bench::new("ring-write", file_system)?;
        let file = bench.root().join("file");
        let words = ["ring-write".into(), file.into_os_string(), "44444".into()];
        let traced = bench.trace()?.run(ACTOR, words)?;
        if ring_refused("io_uring_writes_to_a_file_opened_by_a_system_call", &traced)? {
            return Ok(());
        }
        assert_eq!(traced.exact()?.ledger_bytes(), 44_444);
        Ok(())
    })
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
