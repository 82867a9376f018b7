//! What an open costs at the agent's hooks, on top of an empty program at the same hook: outside every
//! root, and in one, with one root and with a hundred. The measuring itself is a program of the tests
//! (`tests/src/bin/hooks`), which runs in a VM guest too.

mod repeats;
mod table;
mod vm;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use xtask::{
    build::{self, Profile},
    command::{describe, program},
    paths,
    setup::{self, KERNEL_VERSIONS},
};

use super::{
    json::{self, Machine},
    limits::{self, Verdict, verdict},
    report, statistics, tests_program,
};

/// Enough for a mean within a nanosecond.
const TIMED_CALLS: u64 = 10_000_000;
/// The same instructions each time, but for an interrupt now and then.
const COUNTED_CALLS: u64 = 10_000;
/// Nanoseconds on top of the empty program.
const MAX_ELSEWHERE_NS: f64 = 60.0;
const MAX_OUTSIDE_NS: f64 = 150.0;
const MAX_INSIDE_NS: f64 = 400.0;
/// What runs repeat within: so much may a hundred roots cost more than one and still cost the same.
const SAME_NS: f64 = 10.0;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Opens for each figure (default: 10,000,000; 10,000 where instructions are counted, which repeat)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    calls: Option<u64>,
    /// Count instructions instead, of both backends on this kernel in a virtual machine
    #[arg(long, value_name = "KERNEL", conflicts_with = "agent", value_parser = KERNEL_VERSIONS.map(|(version, _)| version))]
    vm: Option<String>,
    /// Measure this agent instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Write every figure as JSON; - is stdout
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail when a figure misses its limit
    #[arg(long)]
    assert: bool,
}

/// What the measuring program prints.
#[derive(Debug, Deserialize, Serialize)]
struct Measured {
    backend: String,
    calls: u64,
    programs: Vec<Program>,
    figures: Vec<Figure>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Program {
    name: String,
    instructions: Option<u32>,
    verified_instructions: Option<u32>,
    machine_code_bytes: u32,
}

#[derive(Debug, Deserialize, Serialize)]
struct Figure {
    roots: u32,
    place: String,
    access: String,
    empty: f64,
    open: f64,
    rest: f64,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    machine: Machine,
    unit: &'static str,
    backends: &'a [Measured],
    must_reach: &'a [Verdict],
}

pub(super) fn run(options: &Options) -> Result<()> {
    let (unit, backends, verdicts) = match &options.vm {
        None => {
            let measured = measure_here(options)?;
            let verdicts = judge(&measured)?;
            ("ns", vec![measured], verdicts)
        }
        Some(kernel) => {
            let calls = options.calls.unwrap_or(COUNTED_CALLS);
            let backends = ["tracepoint", "fentry"]
                .into_iter()
                .map(|backend| vm::measure(kernel, backend, calls))
                .collect::<Result<Vec<_>>>()?;
            let verdicts = vm::judge(&backends);
            ("instructions", backends, verdicts)
        }
    };
    for measured in &backends {
        table::print(measured, unit);
    }
    report::print_verdicts(&verdicts);
    if let Some(target) = &options.json {
        let document = Document {
            machine: Machine::this(),
            unit,
            backends: &backends,
            must_reach: &verdicts,
        };
        json::write_document(target, &document)?;
    }
    if options.assert {
        limits::assert_met(&verdicts)?;
    }
    Ok(())
}

fn measure_here(options: &Options) -> Result<Measured> {
    let tools = setup::for_build()?;
    let agent = match &options.agent {
        Some(agent) => agent
            .canonicalize()
            .with_context(|| format!("cannot find the agent {}", agent.display()))?,
        None => build::agent(&tools, Profile::Dist)?.agent,
    };
    let empty = build::empty_programs(&tools)?;
    let hooks = tests_program::build("hooks")?;
    let scratch = paths::scratch();
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let mut command = program(hooks);
    command
        .env("CACHE_AGENT", agent)
        .env("CACHE_TEST_SCRATCH", scratch.canonicalize()?)
        .arg("--empty")
        .arg(empty)
        .args(repeats::options(options.calls.unwrap_or(TIMED_CALLS)));
    measured_by(&mut command).map(repeats::merged)
}

/// Runs it with its progress on our stderr, and reads what it prints in the end.
fn measured_by(command: &mut Command) -> Result<Measured> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", describe(command)))?;
    ensure!(
        output.status.success(),
        "`{}` failed with {}",
        describe(command),
        output.status
    );
    let text = String::from_utf8_lossy(&output.stdout);
    // A guest's console knows one stream only: progress comes first.
    let document = text.find("\n{").map_or(text.as_ref(), |at| &text[at..]);
    serde_json::from_str(document).context("cannot read what hooks printed")
}

fn judge(measured: &Measured) -> Result<Vec<Verdict>> {
    let most =
        |place: &str, access: &str| worst(measured, |it| it.place == place && it.access == access);
    let mut verdicts = Vec::new();
    for (name, place, access, limit) in [
        (
            "open elsewhere for reading, ns",
            "elsewhere",
            "read",
            MAX_ELSEWHERE_NS,
        ),
        (
            "open elsewhere for writing, ns",
            "elsewhere",
            "write",
            MAX_ELSEWHERE_NS,
        ),
        (
            "open outside every root for reading, ns",
            "outside",
            "read",
            MAX_OUTSIDE_NS,
        ),
        (
            "open outside every root for writing, ns",
            "outside",
            "write",
            MAX_OUTSIDE_NS,
        ),
        (
            "open in a root for reading, ns",
            "inside",
            "read",
            MAX_INSIDE_NS,
        ),
        (
            "open in a root for writing, ns",
            "inside",
            "write",
            MAX_INSIDE_NS,
        ),
    ] {
        verdicts.push(verdict(name, most(place, access)?, limit));
    }
    let most_roots = measured.figures.iter().map(|figure| figure.roots).max();
    let roots = most_roots.context("hooks measured nothing")?;
    verdicts.push(verdict(
        format!("open with {roots} roots, more than with one, ns"),
        growth(measured, roots),
        SAME_NS,
    ));
    Ok(verdicts)
}

fn worst(measured: &Measured, which: impl Fn(&Figure) -> bool) -> Result<f64> {
    measured
        .figures
        .iter()
        .filter(|figure| which(figure))
        .map(|figure| figure.open)
        .max_by(f64::total_cmp)
        .context("hooks left out a figure")
}

/// By how much an open costs more with `roots` roots than with one, on average over places and accesses.
fn growth(measured: &Measured, roots: u32) -> f64 {
    let with = |roots: u32| measured.figures.iter().filter(move |it| it.roots == roots);
    let differences = with(1)
        .zip(with(roots))
        .map(|(one, many)| many.open - one.open);
    statistics::mean(differences)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(roots: u32, place: &str, access: &str, open: f64) -> Figure {
        Figure {
            roots,
            place: place.to_owned(),
            access: access.to_owned(),
            empty: 30.0,
            open,
            rest: 0.0,
        }
    }

    #[test]
    fn the_worst_figure_is_judged_and_roots_are_compared_place_by_place() {
        let figures = [1, 100]
            .into_iter()
            .flat_map(|roots| {
                let more = f64::from(roots);
                [
                    figure(roots, "elsewhere", "read", 20.0),
                    figure(roots, "elsewhere", "write", 30.0),
                    figure(roots, "outside", "read", 20.0),
                    figure(roots, "outside", "write", 20.0 + more),
                    figure(roots, "inside", "read", 20.0),
                    figure(roots, "inside", "write", 500.0),
                ]
            })
            .collect();
        let measured = Measured {
            backend: "tracepoint".to_owned(),
            calls: 1,
            programs: Vec::new(),
            figures,
        };
        let verdicts = judge(&measured).unwrap();
        let met: Vec<bool> = verdicts.iter().map(|verdict| verdict.met).collect();
        assert_eq!(met, [true, true, true, true, true, false, false]);
        assert!((verdicts[3].value - 120.0).abs() < 1e-9, "{verdicts:?}");
        assert!(
            (verdicts[6].value - 99.0 / 6.0).abs() < 1e-9,
            "{verdicts:?}"
        );
    }
}
