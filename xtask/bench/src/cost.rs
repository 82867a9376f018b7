//! What the agent costs: cold `go build std` alternately without and with it, the run time of its
//! BPF programs, and its walk against `find`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::Serialize;
use xtask::{
    build::{self, Profile},
    paths,
    setup::{self, TestTools},
};

use super::{
    agent::{Agent, Figures},
    json, limits,
    programs::{self, ProgramCosts},
    report,
    walk::{self, Walk},
    workload::{Build, Workload},
};

/// Enough for an interval of a few percent on a quiet machine (about 12 minutes here).
const PAIRS: u32 = 10;
const QUICK_PAIRS: u32 = 3;
const WALK_FILES: u32 = 1_000_000;
const QUICK_WALK_FILES: u32 = 100_000;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// 3 pairs and a walk over 100,000 files: for a look, not for a claim
    #[arg(long)]
    quick: bool,
    /// Builds without and with the agent, in turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pairs: Option<u32>,
    /// Files in the tree that is walked; 0 leaves the walk out
    #[arg(long, value_name = "N")]
    walk_files: Option<u32>,
    /// Write every figure as JSON; - is stdout
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail when a figure misses its limit
    #[arg(long)]
    assert: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Observed {
    pub(super) build: Build,
    pub(super) agent: Figures,
}

#[derive(Debug, Serialize)]
pub(super) struct Pair {
    pub(super) without: Build,
    pub(super) with: Observed,
}

/// Everything measured.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) pairs: Vec<Pair>,
    pub(super) programs: Vec<ProgramCosts>,
    pub(super) walk: Option<Walk>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let tools = setup::for_test()?;
    let binary = build::agent(&tools.build, Profile::Dist)?.agent;
    let folder = paths::scratch().join("bench");
    let results = measure(options, &tools, &binary, &folder);
    // Gigabytes, and of no use after a failure either.
    let removed = fs::remove_dir_all(&folder);
    let results = results?;
    removed.with_context(|| format!("cannot remove {}", folder.display()))?;
    let verdicts = limits::judge(&results);
    report::print(&results, &verdicts);
    if let Some(target) = &options.json {
        json::write(target, &results, &verdicts)?;
    }
    if options.assert {
        limits::assert_met(&verdicts)?;
    }
    Ok(())
}

fn measure(options: &Options, tools: &TestTools, binary: &Path, folder: &Path) -> Result<Results> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let newest = tools.go.last().context("set-up gave no Go toolchain")?;
    let workload = Workload::new(&newest.goroot, folder, &["std".to_owned()])?;
    let (pairs, walk_files) = if options.quick {
        (QUICK_PAIRS, QUICK_WALK_FILES)
    } else {
        (PAIRS, WALK_FILES)
    };
    let pairs = options.pairs.unwrap_or(pairs);
    let walk = match options.walk_files.unwrap_or(walk_files) {
        0 => None,
        files => Some(walk::measure(files, binary, &folder.join("tree"))?),
    };
    eprintln!("bench: one build to warm the page cache");
    workload.build()?;
    let measured = (1..=pairs)
        .map(|number| {
            eprintln!("bench: pair {number} of {pairs}");
            measure_pair(number, &workload, binary)
        })
        .collect::<Result<Vec<Pair>>>()?;
    let programs = programs::measure(pairs.min(QUICK_PAIRS), &workload, binary, &tools.bpftool)?;
    Ok(Results {
        pairs: measured,
        programs,
        walk,
    })
}

/// Which of the two goes first alternates too, so that a machine that slows down with time favours
/// neither.
fn measure_pair(number: u32, workload: &Workload, binary: &Path) -> Result<Pair> {
    Ok(if number.is_multiple_of(2) {
        let with = observed(workload, binary)?;
        Pair {
            without: workload.build()?,
            with,
        }
    } else {
        let without = workload.build()?;
        Pair {
            without,
            with: observed(workload, binary)?,
        }
    })
}

fn observed(workload: &Workload, binary: &Path) -> Result<Observed> {
    workload.clear()?;
    let agent = Agent::start(binary, workload)?;
    let build = workload.build_into_present_cache()?;
    let figures = agent.figures()?;
    agent.stop()?;
    Ok(Observed {
        build,
        agent: figures,
    })
}
