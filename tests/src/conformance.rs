//! One run of the agent over many operations, and what its report must say of each.
//!
//! What the report's coverage calls observed must be exact: each process credited with exactly what
//! the table says. What it calls unattributed must be conserved: what processes were not credited
//! with is in the root's unattributed account, and both together are the disk.

use std::{collections::BTreeMap, ffi::OsString};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{
    agent::Traced,
    cases::{Case, Ending, Place},
    env::{self, Bench, FileSystem},
    file_system::has_unnamed_files,
    report::{Observation, Process, Report},
};

/// What an actor says before it acts.
#[derive(Debug, Deserialize)]
struct Said {
    case: String,
    ending: String,
    pid: u32,
}

/// Who did what.
type Actors = BTreeMap<u32, (&'static Case, Ending)>;

/// One operation's verdict on one file system, for the table of what is exact where.
#[derive(Debug, Serialize)]
struct Verdict<'a> {
    backend: &'a str,
    file_system: &'a str,
    operation: &'a str,
    #[serde(rename = "verdict")]
    is: &'a str,
}

/// Notes whether that operation was reported right, and whether all of it could be seen.
pub fn note(
    report: &Report,
    file_system: FileSystem,
    operation: &str,
    is_right: bool,
    is_observed: bool,
) -> Result<()> {
    let verdict = Verdict {
        backend: &report.backend,
        file_system: file_system.name(),
        operation,
        is: match (is_right, is_observed) {
            (false, _) => "failed",
            (true, true) => "exact",
            (true, false) => "unattributed",
        },
    };
    env::note("CACHE_TEST_VERDICTS", &serde_json::to_string(&verdict)?)
}

/// An error that names everything `found`, with all that the agent said.
pub fn nothing(found: &[String], traced: &Traced) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let report = traced.report()?;
    bail!("{}\n{report:#?}\n{}", found.join("\n"), traced.stderr)
}

/// Lets the actor perform the operations `names` on that file system, and compares.
pub fn conforms(actor: &str, names: &[&str], file_system: FileSystem) -> Result<()> {
    let bench = Bench::new("conformance", file_system)?;
    let mut names = names.to_vec();
    if !has_unnamed_files(&bench.inside())? {
        names.retain(|name| !name.starts_with("tmpfile"));
        env::say(&format!("{} has no O_TMPFILE here", file_system.name()))?;
    }
    let mut trace = bench.trace_without_root()?;
    for name in &names {
        prepare(&bench, name)?;
        trace = trace.root(bench.root().join(name));
    }
    let words = [
        "each".into(),
        bench.inside().into_os_string(),
        bench.outside().into_os_string(),
    ];
    let traced = trace.run(
        actor,
        words.into_iter().chain(names.iter().map(OsString::from)),
    )?;
    let found = judge(&names, file_system, &bench, &traced)?;
    if found.is_empty() {
        return Ok(());
    }
    // Without the report, which has hundreds of processes.
    bail!(
        "on {file_system:?}:\n{}\n{}",
        found.join("\n"),
        traced.stderr
    )
}

fn prepare(bench: &Bench, name: &str) -> Result<()> {
    let case = Case::named(name)?;
    for ending in case.endings() {
        case.prepare(&Place {
            inside: bench.inside().join(name).join(ending.name()),
            outside: bench.outside().join(name).join(ending.name()),
        })?;
    }
    Ok(())
}

/// Everything that is not as it must be; notes a verdict per operation.
fn judge(
    names: &[&str],
    file_system: FileSystem,
    bench: &Bench,
    traced: &Traced,
) -> Result<Vec<String>> {
    let report = traced.report()?;
    let actors = actors(traced)?;
    let mut found = traced.differences()?;
    let mut all_observed = true;
    for name in names {
        let case = Case::named(name)?;
        let observed = observed(case, file_system, report);
        all_observed &= observed;
        let complaints = if observed {
            miscredited(case, &actors, traced)?
        } else {
            Vec::from_iter(unconserved(case, bench, report)?)
        };
        note(report, file_system, name, complaints.is_empty(), observed)?;
        found.extend(complaints);
    }
    if all_observed {
        found.extend(traced.corrections()?);
        let others = report.processes.iter();
        let others = others.filter(|process| !actors.contains_key(&process.pid));
        found.extend(others.map(|process| format!("credited, but did nothing: {process:?}")));
    }
    Ok(found)
}

fn actors(traced: &Traced) -> Result<Actors> {
    let mut actors = BTreeMap::new();
    for line in traced.stdout.lines() {
        let said: Said =
            serde_json::from_str(line).with_context(|| format!("the actor said {line}"))?;
        actors.insert(
            said.pid,
            (Case::named(&said.case)?, Ending::named(&said.ending)?),
        );
    }
    Ok(actors)
}

/// What file systems keep from the inode status time, which the `tracepoint` backend goes by: XFS leaves that of
/// two files alone that a rename exchanges; overlayfs passes on that of the layer below.
const UNSEEN_BY_STATUS: [(FileSystem, &[&str]); 2] = [
    (FileSystem::Xfs, &["exchange_across"]),
    (
        FileSystem::OverlayMerged,
        &[
            "tmpfile_linkat",
            "directory_into_then_unlink",
            "directory_out_then_write",
            "links_of_own_file",
            "link_across_made",
        ],
    ),
];

/// Whether the agent can see all that the case needs, by what it says and what `conformance.md` says.
fn observed(case: &Case, file_system: FileSystem, report: &Report) -> bool {
    // System calls name the overlay's inode, the ledger those of the upper directory.
    let is_unseen = file_system == FileSystem::OverlayUpper
        || UNSEEN_BY_STATUS
            .iter()
            .any(|(on, names)| *on == file_system && names.contains(&case.name));
    let reached = report.backend == "fentry" || !is_unseen;
    let state = |operation: &&str| report.coverage.get(*operation);
    reached
        && case
            .needs
            .iter()
            .all(|operation| state(operation) == Some(&Observation::Observed))
}

/// Every process of the case that was not credited with exactly what it did.
fn miscredited(case: &Case, actors: &Actors, traced: &Traced) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let own: Vec<_> = actors
        .iter()
        .filter(|(_, (performed, _))| performed.name == case.name)
        .collect();
    let endings = case.endings().len();
    if own.len() != endings {
        found.push(format!(
            "{}: {} of {endings} endings ran",
            case.name,
            own.len()
        ));
    }
    for (pid, (_, ending)) in own {
        let difference = difference(case, *ending, traced.account(*pid)?);
        found.extend(
            difference.map(|text| format!("{}, {} ({pid}): {text}", case.name, ending.name())),
        );
    }
    Ok(found)
}

/// How the root's ledger differs from what the case amounts to, if it does. Who has it is left open; that all of
/// it is conserved, what was not seen in the unattributed account, is an identity of the report.
fn unconserved(case: &Case, bench: &Bench, report: &Report) -> Result<Option<String>> {
    let path = bench.root().join(case.name);
    let root = report.roots.iter().find(|root| root.path == path);
    let root = root.with_context(|| format!("{} is not in the report", path.display()))?;
    let endings = case.endings().iter();
    let expected: i64 = endings.map(|ending| case.growth_with(*ending)).sum();
    Ok((root.ledger_bytes != expected).then(|| {
        format!(
            "{}: ledger {} B instead of {expected} B, unattributed {} B, drift {} B",
            case.name, root.ledger_bytes, root.unattributed_bytes, root.drift_bytes
        )
    }))
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
