//! What an open costs at the agent's hooks, on top of an empty program at the same hook: outside every
//! root, and in one, with one root and with a hundred. The measuring itself is a program of the tests
//! (`tests/src/bin/hooks`), which runs in a VM guest too.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{
    json::{self, Machine},
    limits::{self, Verdict, verdict},
    report, statistics, tests_program,
};
use crate::{
    build,
    command::{describe, program},
    paths, setup,
};

/// Nanoseconds on top of the empty program.
const MAX_ELSEWHERE_NS: f64 = 60.0;
const MAX_OUTSIDE_NS: f64 = 150.0;
const MAX_INSIDE_NS: f64 = 400.0;
/// What runs repeat within: so much may a hundred roots cost more than one and still cost the same.
const SAME_NS: f64 = 10.0;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Opens for each figure
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    calls: u64,
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
    #[serde(flatten)]
    measured: &'a Measured,
    must_reach: &'a [Verdict],
}

pub(super) fn run(options: &Options) -> Result<()> {
    let tools = setup::for_build()?;
    let agent = match &options.agent {
        Some(agent) => agent
            .canonicalize()
            .with_context(|| format!("cannot find the agent {}", agent.display()))?,
        None => build::agent(&tools)?.agent,
    };
    let empty = build::empty_programs(&tools)?;
    let measured = measure(options.calls, &agent, &empty)?;
    let verdicts = judge(&measured)?;
    print(&measured);
    report::print_verdicts(&verdicts);
    if let Some(target) = &options.json {
        let document = Document {
            machine: Machine::this(),
            measured: &measured,
            must_reach: &verdicts,
        };
        json::write_document(target, &document)?;
    }
    if options.assert {
        limits::assert_met(&verdicts)?;
    }
    Ok(())
}

fn measure(calls: u64, agent: &Path, empty: &Path) -> Result<Measured> {
    let hooks = tests_program::build("hooks")?;
    let scratch = paths::scratch();
    std::fs::create_dir_all(&scratch)
        .with_context(|| format!("cannot make {}", scratch.display()))?;
    let mut command = program(hooks);
    command
        .env("CACHE_AGENT", agent)
        .env("CACHE_TEST_SCRATCH", scratch.canonicalize()?)
        .arg("--empty")
        .arg(empty)
        .args(["--calls", &calls.to_string()])
        .stderr(Stdio::inherit());
    let output = command
        .output()
        .with_context(|| format!("cannot start `{}`", describe(&command)))?;
    ensure!(
        output.status.success(),
        "`{}` failed with {}",
        describe(&command),
        output.status
    );
    serde_json::from_slice(&output.stdout).context("cannot read what hooks printed")
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

fn print(measured: &Measured) {
    let Measured {
        backend,
        calls,
        programs,
        figures,
    } = measured;
    eprintln!(
        "\nbackend {backend}, mean of {calls} calls in ns; open and rest are on top of empty"
    );
    eprintln!(
        "{:>5}  {:<10} {:<7} {:>8} {:>8} {:>8}",
        "roots", "place", "access", "empty", "open", "rest"
    );
    for Figure {
        roots,
        place,
        access,
        empty,
        open,
        rest,
    } in figures
    {
        eprintln!("{roots:>5}  {place:<10} {access:<7} {empty:>8.1} {open:>8.1} {rest:>8.1}");
    }
    eprintln!(
        "\n{:<20} {:>12} {:>10} {:>13}",
        "program", "instructions", "verified", "machine code"
    );
    let number = |count: &Option<u32>| count.map_or("-".to_owned(), |count| count.to_string());
    for Program {
        name,
        instructions,
        verified_instructions,
        machine_code_bytes,
    } in programs
    {
        eprintln!(
            "{name:<20} {:>12} {:>10} {machine_code_bytes:>11} B",
            number(instructions),
            number(verified_instructions)
        );
    }
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
