//! What the agent must reach, and whether it did.

use serde::Serialize;

use super::{
    Results,
    statistics::{median, ratio_of_medians},
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
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) limit: f64,
    pub(super) met: bool,
}

fn verdict(name: &'static str, value: f64, limit: f64) -> Verdict {
    Verdict {
        name,
        value,
        limit,
        met: value <= limit,
    }
}

pub(super) fn judge(results: &Results) -> Vec<Verdict> {
    let Results {
        pairs,
        programs,
        walk,
    } = results;
    let agents = || pairs.iter().map(|pair| &pair.with.agent);
    let cpu: Vec<_> = pairs
        .iter()
        .map(|pair| (pair.without.cpu_s, pair.with.build.cpu_s))
        .collect();
    let agent_share = median(
        pairs
            .iter()
            .map(|pair| pair.with.agent.cpu_s / pair.with.build.cpu_s),
    );
    let bpf_share = median(programs.iter().map(|run| run.bpf_s() / run.build_cpu_s));
    // A mean may hide it, one run that used too much is too much.
    let worst = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
    let mut verdicts = vec![
        verdict(
            "BPF run time + agent CPU / build CPU",
            bpf_share + agent_share,
            MAX_DIRECT_SHARE,
        ),
        verdict("agent CPU / build CPU", agent_share, MAX_AGENT_SHARE),
        verdict(
            "build CPU with / without",
            ratio_of_medians(&cpu).value,
            MAX_CPU_RATIO,
        ),
        verdict(
            "agent's peak memory, MiB",
            worst(&mut agents().map(|agent| mebibytes(agent.max_rss_bytes))),
            MAX_PEAK_MEMORY_MIB,
        ),
        verdict(
            "events dropped",
            worst(&mut agents().map(|agent| agent.dropped)),
            MAX_DROPPED,
        ),
        verdict(
            "drift, bytes",
            worst(&mut agents().map(|agent| agent.drift_bytes.abs())),
            MAX_DRIFT_BYTES,
        ),
    ];
    if let Some(walk) = walk {
        verdicts.push(verdict(
            "walk / find",
            walk.agent_s / walk.find_s,
            MAX_WALK_RATIO,
        ));
    }
    verdicts
}

#[expect(clippy::cast_precision_loss, reason = "for display; exact below 8 PiB")]
pub(super) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
