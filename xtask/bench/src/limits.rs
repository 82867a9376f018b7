//! What the agent must reach, and whether it did.

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{
    agent::Figures,
    cost::{Pair, Results},
    programs::ProgramCosts,
    statistics::{median, ratio_of_medians},
    walk::Walk,
};

/// Of the build's CPU time.
const MAX_DIRECT_SHARE: f64 = 0.008;
const MAX_AGENT_SHARE: f64 = 0.003;
/// CPU with the agent over CPU without.
const MAX_CPU_RATIO: f64 = 1.02;
const MAX_PEAK_MEMORY_MIB: f64 = 32.0;
const MAX_DROPPED: f64 = 0.0;
const MAX_DRIFT_BYTES: f64 = 0.0;
/// The agent's walk over find's.
const MAX_WALK_RATIO: f64 = 1.5;

#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) limit: f64,
    pub(super) met: bool,
}

pub(super) fn verdict(name: impl Into<String>, value: f64, limit: f64) -> Verdict {
    Verdict {
        name: name.into(),
        value,
        limit,
        met: value <= limit,
    }
}

/// For a run that asserts: an error that tells how many figures miss their limit.
pub(super) fn assert_met(verdicts: &[Verdict]) -> Result<()> {
    let missed = verdicts.iter().filter(|verdict| !verdict.met).count();
    ensure!(missed == 0, "{missed} figures miss their limit");
    Ok(())
}

pub(super) fn judge(results: &Results) -> Vec<Verdict> {
    let Results {
        pairs,
        programs,
        walk,
    } = results;
    let mut verdicts = Vec::from(judge_costs(pairs, programs));
    verdicts.extend(judge_agent(pairs));
    if let Some(Walk {
        agent_s, find_s, ..
    }) = walk
    {
        verdicts.push(verdict("walk / find", agent_s / find_s, MAX_WALK_RATIO));
    }
    verdicts
}

fn judge_costs(pairs: &[Pair], programs: &[ProgramCosts]) -> [Verdict; 3] {
    let cpu: Vec<_> = pairs
        .iter()
        .map(|pair| (pair.without.cpu_s, pair.with.build.cpu_s))
        .collect();
    let agent = median(
        pairs
            .iter()
            .map(|pair| pair.with.agent.cpu_s / pair.with.build.cpu_s),
    );
    let bpf = median(programs.iter().map(|run| run.bpf_s() / run.build_cpu_s));
    let ratio = ratio_of_medians(&cpu).value;
    [
        verdict(
            "BPF run time + agent CPU / build CPU",
            bpf + agent,
            MAX_DIRECT_SHARE,
        ),
        verdict("agent CPU / build CPU", agent, MAX_AGENT_SHARE),
        verdict("build CPU with / without", ratio, MAX_CPU_RATIO),
    ]
}

/// By the worst run: one that used too much memory or lost an event is one too many.
fn judge_agent(pairs: &[Pair]) -> [Verdict; 3] {
    let worst = |figure: fn(&Figures) -> f64| {
        pairs
            .iter()
            .map(|pair| figure(&pair.with.agent))
            .fold(0.0, f64::max)
    };
    let memory = worst(|agent| mebibytes(agent.max_rss_bytes));
    [
        verdict("agent's peak memory, MiB", memory, MAX_PEAK_MEMORY_MIB),
        verdict("events dropped", worst(|agent| agent.dropped), MAX_DROPPED),
        verdict(
            "drift, bytes",
            worst(|agent| agent.drift_bytes.abs()),
            MAX_DRIFT_BYTES,
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "for display; exact below 8 PiB")]
pub(super) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
