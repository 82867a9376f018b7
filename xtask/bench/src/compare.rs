//! The cost contract: cold builds watched by nobody, by the agent, and by what a person would use instead,
//! side by side in one run.

mod audit;
mod bpftrace;
mod chart;
mod du;
mod notify;
mod observer;
mod summary;
mod table;
mod watcher;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde::Serialize;
use xtask::{
    build::{self, Profile},
    paths,
    setup::{self, TestTools},
};

use self::{
    observer::{Claim, Observer, Usage},
    summary::Summary,
};
use super::{
    json::{self, Machine},
    limits::{self, Verdict},
    programs::{self, ProgramCosts},
    report, tree,
    workload::{Build, Workload},
};

/// Builds with BPF statistics; they repeat well.
const MAX_STATISTICS_RUNS: u32 = 3;
/// Those whose cost in the kernel the kernel itself tells.
const WITH_PROGRAMS: [Observer; 2] = [Observer::Agent, Observer::Bpftrace];
/// What an observer gets to work off its queues before it is asked.
const SETTLE: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Builds with each observer, in turn; 6 and more give a 95 % interval
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Build these instead of std: for a look, not for a claim
    #[arg(
        long,
        value_name = "PACKAGE",
        value_delimiter = ',',
        default_value = "std"
    )]
    packages: Vec<String>,
    /// Write every figure as JSON; - is stdout
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the CPU ratios as SVG
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// Fail when a figure misses its limit
    #[arg(long)]
    assert: bool,
}

/// One watched build.
#[derive(Debug, Serialize)]
struct Run {
    observer: Observer,
    build: Build,
    /// CPU time until it was ready to watch.
    start_cpu_s: f64,
    /// Since then.
    usage: Usage,
    claim: Claim,
    /// By how much the cache really grew.
    disk_bytes: u64,
}

#[derive(Debug)]
struct Results {
    rounds: Vec<Vec<Run>>,
    /// Why an observer could not watch here.
    refused: BTreeMap<&'static str, String>,
    /// By name of the observer.
    programs: BTreeMap<&'static str, Vec<ProgramCosts>>,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    machine: Machine,
    packages: &'a [String],
    observers: &'a [Summary],
    rounds: &'a [Vec<Run>],
    bpf: &'a BTreeMap<&'static str, Vec<ProgramCosts>>,
    must_reach: &'a [Verdict],
}

pub(super) fn run(options: &Options) -> Result<()> {
    let tools = setup::for_test()?;
    let agent = build::agent(&tools.build, Profile::Dist)?.agent;
    let folder = paths::scratch().join("compare");
    let results = measure(options, &tools, &agent, &folder);
    // Gigabytes, and of no use after a failure either.
    let removed = fs::remove_dir_all(&folder);
    let results = results?;
    removed.with_context(|| format!("cannot remove {}", folder.display()))?;
    let summaries = summary::of_all(&results);
    let verdicts = summary::judge(&summaries, &results);
    let title = format!(
        "cold go build {}, {} rounds",
        options.packages.join(" "),
        options.rounds
    );
    table::print(&title, &summaries)?;
    report::print_verdicts(&verdicts);
    if let Some(target) = &options.json {
        let document = Document {
            machine: Machine::this(),
            packages: &options.packages,
            observers: &summaries,
            rounds: &results.rounds,
            bpf: &results.programs,
            must_reach: &verdicts,
        };
        json::write_document(target, &document)?;
    }
    if let Some(target) = &options.chart {
        chart::draw(target, &title, &summaries)?;
    }
    if options.assert {
        limits::assert_met(&verdicts)?;
    }
    Ok(())
}

fn measure(options: &Options, tools: &TestTools, agent: &Path, folder: &Path) -> Result<Results> {
    let newest = tools.go.last().context("set-up gave no Go toolchain")?;
    let workload = Workload::new(&newest.goroot, folder, &options.packages)?;
    eprintln!("bench: one build to warm the page cache");
    workload.build()?;
    let mut results = Results {
        rounds: Vec::new(),
        refused: BTreeMap::new(),
        programs: BTreeMap::new(),
    };
    let started = Instant::now();
    for round in 1..=options.rounds {
        let left = left(started, round - 1, options.rounds);
        eprintln!("bench: round {round} of {}{left}", options.rounds);
        let runs = measure_round(round, &workload, agent, &mut results.refused)?;
        results.rounds.push(runs);
    }
    let runs = options.rounds.min(MAX_STATISTICS_RUNS);
    for observer in WITH_PROGRAMS {
        if results.refused.contains_key(observer.name()) {
            continue;
        }
        let costs = (1..=runs).map(|run| {
            eprintln!(
                "bench: BPF statistics of {}, run {run} of {runs}",
                observer.name()
            );
            programs_of(observer, &workload, agent, &tools.bpftool)
        });
        let costs = costs.collect::<Result<_>>()?;
        results.programs.insert(observer.name(), costs);
    }
    Ok(results)
}

/// What its programs cost in one build.
fn programs_of(
    observer: Observer,
    workload: &Workload,
    agent: &Path,
    bpftool: &Path,
) -> Result<ProgramCosts> {
    workload.clear()?;
    let mut watch = observer.start(agent, workload)?;
    let pid = watch.bpf_pid();
    let pid = pid.with_context(|| format!("{} has no BPF programs", observer.name()))?;
    let (build, programs) = programs::during(pid, bpftool, || workload.build_into_present_cache())?;
    let own_cpu_s = watch.usage()?.cpu_s;
    watch.stop(&workload.cache())?;
    Ok(ProgramCosts {
        build_cpu_s: build.cpu_s,
        own_cpu_s,
        programs,
    })
}

fn left(started: Instant, done: u32, rounds: u32) -> String {
    if done == 0 {
        return String::new();
    }
    let each = started.elapsed() / done;
    let minutes = (each * (rounds - done)).as_secs().div_ceil(60);
    format!(", about {minutes} min left")
}

fn measure_round(
    round: u32,
    workload: &Workload,
    agent: &Path,
    refused: &mut BTreeMap<&'static str, String>,
) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let order = order(round);
    for (number, observer) in order.iter().enumerate() {
        if refused.contains_key(observer.name()) {
            continue;
        }
        eprintln!(
            "bench:   {} of {}: {}",
            number + 1,
            order.len(),
            observer.name()
        );
        match measure_one(*observer, workload, agent)? {
            Ok(run) => runs.push(run),
            // Without these two there is nothing to compare.
            Err(reason) if matches!(observer, Observer::Nothing | Observer::Agent) => {
                return Err(reason);
            }
            Err(reason) => {
                eprintln!("bench:   {} is refused: {reason:#}", observer.name());
                refused.insert(observer.name(), format!("{reason:#}"));
            }
        }
    }
    Ok(runs)
}

/// Each round starts with another one, and every second goes backwards: a machine that slows down with time,
/// or a neighbour's leftovers, favour nobody.
fn order(round: u32) -> Vec<Observer> {
    let mut order = Observer::ALL.to_vec();
    if round.is_multiple_of(2) {
        order.reverse();
    }
    let shift = usize::try_from(round - 1).unwrap_or_default() % order.len();
    order.rotate_left(shift);
    order
}

/// The outer error ends the run, the inner one is the observer's.
fn measure_one(observer: Observer, workload: &Workload, agent: &Path) -> Result<Result<Run>> {
    workload.clear()?;
    let mut watch = match observer.start(agent, workload) {
        Ok(watch) => watch,
        Err(reason) => return Ok(Err(reason)),
    };
    let start_cpu_s = match watch.usage() {
        Ok(usage) => usage.cpu_s,
        Err(reason) => return Ok(Err(reason)),
    };
    let build = workload.build_into_present_cache()?;
    thread::sleep(SETTLE);
    let said = match watch.usage() {
        Ok(usage) => watch.stop(&workload.cache()).map(|claim| (usage, claim)),
        Err(reason) => Err(reason),
    };
    let disk_bytes = tree::walk(&workload.cache())?.bytes;
    Ok(said.map(|(usage, claim)| Run {
        observer,
        build,
        start_cpu_s,
        usage: Usage {
            cpu_s: usage.cpu_s - start_cpu_s,
            ..usage
        },
        claim,
        disk_bytes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_goes_first_once() {
        let firsts: Vec<&str> = (1..=7).map(|round| order(round)[0].name()).collect();
        let mut distinct = firsts.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 7, "{firsts:?}");
    }
}
