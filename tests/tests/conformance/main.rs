//! Every way a file can change size, by every way of ending, natively and on a tmpfs: the ledger is
//! right to the byte, and so is the process.
//!
//! One run of the agent covers a group of operations: each has a root of its own, and each of its
//! endings a directory and a process of its own.

mod ring;
mod single;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use cache_tests::{
    agent::Traced,
    cases::{CASES, Case, Ending, Place},
    env::{Bench, FileSystem},
    report::Process,
};
use serde::Deserialize;

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
        rename_out_over rename_onto_own_link exchange_inside exchange_across failing_calls
        not_regular_files;
    directories:
        directory_into directory_into_then_write directory_into_then_unlink
        directory_out directory_out_then_write directory_out_and_in directory_inside_then_write
        exchange_file_and_directory remove_tree deep_directories;
    hard_links:
        link_made link_removed all_links_removed links_of_own_file
        link_across_made link_across_removed rename_over_one_of_two_links;
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
