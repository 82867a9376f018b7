//! The table for people, on stderr.

use std::collections::BTreeMap;

use super::{
    cost::{Pair, Results},
    limits::{Verdict, mebibytes},
    programs::{Cost, ProgramCosts},
    statistics::{Ratio, median, ratio_of_medians},
    walk::Walk,
    workload::Build,
};

pub(super) fn print(results: &Results, verdicts: &[Verdict]) {
    let Results {
        pairs,
        programs,
        walk,
    } = results;
    print_pairs(pairs);
    print_programs(programs);
    if let Some(Walk {
        files,
        find_s,
        agent_s,
    }) = walk
    {
        eprintln!("\nwalk of {files} files: {agent_s:.3} s, find {find_s:.3} s");
    }
    print_verdicts(verdicts);
}

/// What must be reached, and whether it was.
pub(super) fn print_verdicts(verdicts: &[Verdict]) {
    eprintln!(
        "\n{:<48} {:>10} {:>10}",
        "must reach", "measured", "at most"
    );
    for Verdict {
        name,
        value,
        limit,
        met,
    } in verdicts
    {
        let met = if *met { "met" } else { "NOT MET" };
        eprintln!("{name:<48} {value:>10.4} {limit:>10.4}  {met}");
    }
}

/// A figure of one build, where it was measured.
type Figure = fn(&Build) -> Option<f64>;

/// Ratios with over without of whatever was measured in every pair.
pub(super) fn ratios(pairs: &[Pair]) -> Vec<(&'static str, f64, f64, Ratio)> {
    let figures: [(&'static str, Figure); 3] = [
        ("wall_s", |build| Some(build.wall_s)),
        ("cpu_s", |build| Some(build.cpu_s)),
        ("user_giga_instructions", |build| {
            build.instructions.map(in_billions)
        }),
    ];
    figures
        .into_iter()
        .filter_map(|(name, figure)| {
            let values: Option<Vec<_>> = pairs
                .iter()
                .map(|pair| Some((figure(&pair.without)?, figure(&pair.with.build)?)))
                .collect();
            let values = values?;
            let without = median(values.iter().map(|pair| pair.0));
            let with = median(values.iter().map(|pair| pair.1));
            Some((name, without, with, ratio_of_medians(&values)))
        })
        .collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a build's count has 13 digits, f64 holds 15"
)]
fn in_billions(count: u64) -> f64 {
    count as f64 / 1e9
}

fn print_pairs(pairs: &[Pair]) {
    eprintln!(
        "\n{:<24} {:>10} {:>10} {:>8}   95 % interval, {} pairs",
        "cold go build std",
        "without",
        "with",
        "ratio",
        pairs.len()
    );
    for (name, without, with, Ratio { value, low, high }) in ratios(pairs) {
        eprintln!("{name:<24} {without:>10.2} {with:>10.2} {value:>8.4}   {low:.4} to {high:.4}");
    }
    let agents = || pairs.iter().map(|pair| &pair.with.agent);
    eprintln!(
        "agent itself: CPU {:.3} s, peak memory {:.1} MiB, dropped {}, drift {} B",
        median(agents().map(|agent| agent.cpu_s)),
        agents()
            .map(|agent| mebibytes(agent.max_rss_bytes))
            .fold(0.0, f64::max),
        agents().map(|agent| agent.dropped).sum::<f64>(),
        agents()
            .map(|agent| agent.drift_bytes.abs())
            .fold(0.0, f64::max),
    );
}

fn print_programs(runs: &[ProgramCosts]) {
    let mut sums = BTreeMap::<&str, Cost>::new();
    for (name, cost) in runs.iter().flat_map(|run| &run.programs) {
        let sum = sums.entry(name).or_default();
        sum.runs += cost.runs;
        sum.total_ns += cost.total_ns;
    }
    let builds = u64::try_from(runs.len()).unwrap_or(u64::MAX).max(1);
    eprintln!(
        "\n{:<24} {:>12} {:>9} {:>10}   mean of {builds} builds with BPF statistics",
        "BPF program", "runs", "mean ns", "ms"
    );
    for (name, Cost { runs, total_ns }) in sums {
        let mean = total_ns.checked_div(runs).unwrap_or_default();
        let (runs, milliseconds) = (runs / builds, total_ns / builds / 1_000_000);
        eprintln!("{name:<24} {runs:>12} {mean:>9} {milliseconds:>10}");
    }
    let share = median(runs.iter().map(|run| run.bpf_s() / run.build_cpu_s));
    eprintln!("all together {:.3} % of the build's CPU", share * 100.0);
}
