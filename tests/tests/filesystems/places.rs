//! A root that its writers know by other names: bound elsewhere, in a mount namespace of their own,
//! as the root directory of their process; and writers that name files to a ring, not to the kernel.

use std::{ffi::OsString, fs};

use anyhow::{Context as _, Result};
use cache_tests::{
    conformance,
    env::{self, Bench, FileSystem},
    file_system::Mounted,
    report::{Observation, Report},
};
use serde::Deserialize;

use super::ACTOR;

/// Way of the actor to the root, and what the coverage must say for its work to be credited.
const WAYS: [(&str, &[&str]); 5] = [
    ("plain", &NAMES),
    ("bind", &NAMES),
    ("namespace", &NAMES),
    ("chroot", &NAMES),
    ("ring", &["io_uring"]),
];
const NAMES: [&str; 3] = ["truncate", "rename", "unlink"];

/// What the actor leaves: a file cut to this size; another one was removed.
const GROWTH: i64 = 1000;

/// What an actor says before it acts.
#[derive(Debug, Deserialize)]
struct Said {
    way: String,
    pid: u32,
    /// Why it cannot go this way on this machine.
    refused: Option<String>,
}

/// The same work by every way, each in a root of its own.
pub(crate) fn other_places(file_system: FileSystem) -> Result<()> {
    let bench = Bench::new("places", file_system)?;
    let bound = bench.aside("bound");
    fs::create_dir(&bound)?;
    let mut trace = bench.trace_without_root()?;
    for (way, _) in WAYS {
        fs::create_dir(bench.inside().join(way))?;
        trace = trace.root(bench.root().join(way));
    }
    let _mounted = Mounted::bind(&bench.inside().join("bind"), &bound)?;
    let words: [OsString; 3] = [
        "ways".into(),
        bench.inside().into_os_string(),
        bound.clone().into_os_string(),
    ];
    let traced = trace.run(ACTOR, words)?;
    let report = traced.report()?;
    let mut found = traced.differences()?;
    for line in traced.stdout.lines() {
        let said: Said =
            serde_json::from_str(line).with_context(|| format!("the actor said {line}"))?;
        if let Some(reason) = said.refused {
            let test = format!("{}::other_places, {}", file_system.name(), said.way);
            env::skip(super::SUITE, &test, &reason)?;
            continue;
        }
        let needs = WAYS.iter().find(|(way, _)| *way == said.way);
        let (way, needs) = needs.with_context(|| format!("no way is named {}", said.way))?;
        let seen = needs
            .iter()
            .all(|operation| report.coverage.get(*operation) == Some(&Observation::Observed))
            && (file_system != FileSystem::OverlayUpper || report.backend == "fentry");
        let complaint = judged(&bench, way, said.pid, seen, report)?;
        conformance::note(report, file_system, way, complaint.is_none(), seen)?;
        found.extend(complaint);
    }
    conformance::nothing(&found, &traced)
}

/// What is wrong with the account of that process and its root, if anything.
fn judged(
    bench: &Bench,
    way: &str,
    pid: u32,
    seen: bool,
    report: &Report,
) -> Result<Option<String>> {
    let path = bench.root().join(way);
    let root = report.roots.iter().find(|root| root.path == path);
    let root = root.with_context(|| format!("{} is not in the report", path.display()))?;
    let account = report.processes.iter().find(|process| process.pid == pid);
    let credited = account.map_or(0, |account| account.growth_bytes);
    let expected = if way == "ring" { 2 * GROWTH } else { GROWTH };
    let right = if seen {
        let counts = account.map(|account| (account.files_created, account.files_deleted));
        credited == expected && counts == Some((2, 1)) && root.drift_bytes == 0
    } else {
        credited + root.unattributed_bytes == expected && root.ledger_bytes == expected
    };
    Ok((!right).then(|| {
        format!("{way}: {expected} B, but the account is {account:?}, the root's {root:?}")
    }))
}
