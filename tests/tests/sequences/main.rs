//! Random sequences of changes, by one process and by four that take turns, with directories that cross the root's
//! border: the ledger is right to the byte, nothing is unattributed, and each process is credited with what it did.
//!
//! One run of the agent covers many sequences, each on a root of its own. Seeds are fixed, unless long runs are wanted:
//! then they are new ones, without end. A sequence that fails is shrunk and kept in `regressions.txt`, which later runs
//! try first.

use std::{collections::HashMap, fs, time::Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use cache_tests::{
    env::{self, Bench, FileSystem},
    sequence::{Act, Step},
    wait,
};
use proptest::{
    prelude::*,
    test_runner::{
        Config, FileFailurePersistence, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner,
    },
};
use serde::Deserialize;

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");
const SUITE: &str = "sequences";

/// Sequences in one run of the agent.
const IN_ONE_RUN: usize = 12;
/// Runs of the agent where seeds are fixed.
const RUNS: u32 = 6;

/// What the actor says of a process.
#[derive(Debug, Deserialize)]
struct Said {
    sequence: usize,
    pid: u32,
    growth: i64,
}

/// What a sequence may hold.
#[derive(Clone, Copy, Debug)]
struct Range {
    processes: usize,
    /// Truncations of files that nobody may have looked at since their directory came in.
    cuts: bool,
    exchanges: bool,
}

fn steps(range: Range) -> impl Strategy<Value = Vec<Step>> {
    let Range {
        processes,
        cuts,
        exchanges,
    } = range;
    let act = prop_oneof![
        3 => Just(Act::MakeDirectory),
        6 => Just(Act::Create),
        2 => Just(Act::Append),
        2 => Just(if cuts { Act::Truncate } else { Act::Append }),
        2 => Just(Act::Unlink),
        4 => Just(Act::MoveFile),
        2 => Just(Act::Replace),
        2 => Just(if exchanges { Act::ExchangeFiles } else { Act::MoveFile }),
        8 => Just(Act::MoveDirectory),
        2 => Just(Act::ExchangeDirectories),
        1 => Just(Act::RemoveTree),
        2 => Just(Act::MoveOpenFile),
    ];
    let step = (0..processes, act, any::<[u16; 2]>(), 0..9000u64);
    let step = step.prop_map(|(process, act, which, bytes)| Step {
        process,
        act,
        which: which.map(usize::from),
        bytes,
    });
    prop::collection::vec(step, 1..80)
}

fn check(sequences: &[Vec<Step>], file_system: FileSystem) -> Result<()> {
    let bench = Bench::new(SUITE, file_system)?;
    let (file, mut trace) = (bench.aside("steps.json"), bench.trace_without_root()?);
    fs::write(&file, serde_json::to_vec(sequences)?)?;
    for number in 0..sequences.len() {
        let own = bench.root().join(number.to_string());
        fs::create_dir(&own)?;
        fs::create_dir(bench.outside().join(number.to_string()))?;
        trace = trace.root(own);
    }
    let words = ["sequences".into(), file.into_os_string()];
    let places = [bench.inside().into(), bench.outside().into()];
    let traced = trace.run(ACTOR, words.into_iter().chain(places))?;
    let report = traced.exact()?;
    let growth: HashMap<u32, i64> = report
        .processes
        .iter()
        .map(|process| (process.pid, process.growth_bytes))
        .collect();
    for line in traced.stdout.lines() {
        let said: Said = serde_json::from_str(line)?;
        let credited = growth.get(&said.pid).copied().unwrap_or(0);
        ensure!(
            credited == said.growth,
            "sequence {}: {credited} B are credited for {said:?}\n{report:#?}",
            said.sequence
        );
    }
    let unattributed = report.unattributed_bytes();
    ensure!(
        unattributed == 0,
        "{unattributed} B are unattributed\n{report:#?}"
    );
    Ok(())
}

/// Random sequences until one is wrong; then the shortest that is.
fn run(file_system: FileSystem, range: Range) -> Result<()> {
    let soak = env::soak();
    let kept = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/sequences/regressions.txt"
    );
    let config = Config {
        cases: if soak {
            u32::MAX
        } else {
            RUNS.div_ceil(wait::patience())
        },
        // An emulated machine has no time for it.
        max_shrink_iters: if wait::patience() > 1 { 0 } else { 40 },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(kept))),
        ..Config::default()
    };
    let rng = if soak {
        TestRunner::default().new_rng()
    } else {
        TestRng::deterministic_rng(RngAlgorithm::ChaCha)
    };
    let started = Instant::now();
    let sequences = prop::collection::vec(steps(range), 1..=IN_ONE_RUN);
    let outcome = TestRunner::new_with_rng(config, rng).run(&sequences, |sequences| {
        let right = check(&sequences, file_system);
        right.map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    match outcome {
        Ok(()) => env::say(&format!("{:?}", started.elapsed())),
        Err(TestError::Abort(reason)) => Err(anyhow!("{reason}")),
        Err(TestError::Fail(reason, sequences)) => {
            Err(anyhow!("{reason}")).with_context(|| format!("{sequences:#?}"))
        }
    }
}

fn on(file_system: FileSystem, test: &str, processes: usize) -> Result<()> {
    if let Some(reason) = file_system.missing()? {
        return env::skip(SUITE, test, &reason);
    }
    let sees_all = env::backend().is_some_and(|option| option.ends_with("fentry"));
    let range = Range {
        processes,
        cuts: processes == 1 || sees_all,
        // XFS leaves the status time of files alone that are exchanged.
        exchanges: file_system != FileSystem::Xfs || sees_all,
    };
    run(file_system, range)
}

/// A module per file system.
macro_rules! file_systems {
    ($($module:ident $name:ident;)+) => {
        $(mod $module {
            use anyhow::Result;
            use cache_tests::env::FileSystem;

            #[test]
            fn one_process() -> Result<()> {
                let test = concat!(stringify!($module), "::one_process");
                super::on(FileSystem::$name, test, 1)
            }

            #[test]
            fn four_processes() -> Result<()> {
                let test = concat!(stringify!($module), "::four_processes");
                super::on(FileSystem::$name, test, 4)
            }
        })+
    };
}

file_systems! {
    ext4 Ext4;
    xfs Xfs;
    btrfs Btrfs;
    tmpfs Tmpfs;
}
