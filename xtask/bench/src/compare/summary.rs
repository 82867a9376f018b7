//! All rounds of an observer in one line, and whether the agent keeps its contract.

use serde::Serialize;

use super::{Results, Run, observer::Observer};
use crate::{
    limits::{Verdict, verdict},
    programs::ProgramCosts,
    statistics::{PairedRatio, median, paired_ratio},
};

/// CPU time of the build and of the agent over that of a build that nobody watches.
const MAX_CPU_RATIO: f64 = 1.01;
/// BPF run time and agent's CPU time, of the build's.
const MAX_DIRECT_SHARE: f64 = 0.005;

#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) observer: Observer,
    pub(super) name: &'static str,
    pub(super) event_based: bool,
    pub(super) refused: Option<String>,
    pub(super) measured: Option<Figures>,
}

/// Ratios are to the build that nobody watches, of the same round.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) wall: PairedRatio,
    pub(super) build_cpu: PairedRatio,
    /// The build's and the observer's own.
    pub(super) total_cpu: PairedRatio,
    /// The observer's own while it watched, median.
    pub(super) cpu_s: f64,
    /// What its BPF programs ran, median; nothing where it has none.
    pub(super) bpf_s: Option<f64>,
    /// Its own before, once: programs are compiled, loaded and verified. In no ratio.
    pub(super) start_cpu_s: f64,
    pub(super) max_rss_bytes: Option<u64>,
    /// In the worst round; nothing where it cannot tell.
    pub(super) lost: Option<u64>,
    /// Bytes it says the cache grew minus those on the disk, in the worst round; nothing where it tells none.
    pub(super) error_bytes: Option<i64>,
}

impl Run {
    fn total_cpu_s(&self) -> f64 {
        self.build.cpu_s + self.usage.cpu_s
    }

    fn error_bytes(&self) -> Option<i64> {
        let claimed = i64::try_from(self.claim.bytes?).unwrap_or(i64::MAX);
        let on_disk = i64::try_from(self.disk_bytes).unwrap_or(i64::MAX);
        Some(claimed.saturating_sub(on_disk))
    }
}

pub(super) fn of_all(results: &Results) -> Vec<Summary> {
    Observer::ALL
        .into_iter()
        .map(|observer| Summary {
            observer,
            name: observer.name(),
            event_based: observer.is_event_based(),
            refused: results.refused.get(observer.name()).cloned(),
            measured: figures(observer, results),
        })
        .collect()
}

fn figures(observer: Observer, results: &Results) -> Option<Figures> {
    fn run_of(runs: &[Run], who: Observer) -> Option<&Run> {
        runs.iter().find(|run| run.observer == who)
    }
    let programs = results.programs.get(observer.name());
    let pairs: Vec<(&Run, &Run)> = results
        .rounds
        .iter()
        .filter_map(|runs| run_of(runs, Observer::Nothing).zip(run_of(runs, observer)))
        .collect();
    if pairs.is_empty() {
        return None;
    }
    let ratio = |figure: fn(&Run) -> f64| {
        let values: Vec<_> = pairs
            .iter()
            .map(|(alone, watched)| (figure(alone), figure(watched)))
            .collect();
        paired_ratio(&values)
    };
    let watched = || pairs.iter().map(|(_, watched)| watched);
    Some(Figures {
        wall: ratio(|run| run.build.wall_s),
        build_cpu: ratio(|run| run.build.cpu_s),
        total_cpu: ratio(Run::total_cpu_s),
        cpu_s: median(watched().map(|run| run.usage.cpu_s)),
        bpf_s: programs.map(|runs| median(runs.iter().map(ProgramCosts::bpf_s))),
        start_cpu_s: median(watched().map(|run| run.start_cpu_s)),
        max_rss_bytes: watched().filter_map(|run| run.usage.max_rss_bytes).max(),
        lost: watched().filter_map(|run| run.claim.lost).max(),
        error_bytes: watched()
            .filter_map(|run| run.error_bytes())
            .max_by_key(|error| error.unsigned_abs()),
    })
}

pub(super) fn judge(summaries: &[Summary], results: &Results) -> Vec<Verdict> {
    let figures = |observer| {
        let summary = summaries.iter().find(|it| it.observer == observer);
        summary.and_then(|summary| summary.measured.as_ref())
    };
    let Some(agent) = figures(Observer::Agent) else {
        return Vec::new();
    };
    let others = summaries
        .iter()
        .filter(|it| it.event_based && it.observer != Observer::Agent)
        .filter_map(|it| Some(it.measured.as_ref()?.total_cpu.value))
        .min_by(f64::total_cmp);
    let interval = agent.total_cpu.interval.map_or_else(
        || "no interval".to_owned(),
        |[low, high]| format!("95 %: {low:.4} to {high:.4}"),
    );
    let mut verdicts = vec![
        verdict(
            format!("CPU ratio, agent's own included ({interval})"),
            agent.total_cpu.value,
            MAX_CPU_RATIO,
        ),
        verdict(
            "BPF run time + agent CPU / build CPU",
            direct_share(results),
            MAX_DIRECT_SHARE,
        ),
        verdict(
            "agent's error against the disk, bytes",
            absolute(agent.error_bytes),
            0.0,
        ),
        verdict("agent's lost events", count(agent.lost), 0.0),
    ];
    if let (Some(own), Some(other)) = (direct(agent), figures(Observer::Bpftrace).and_then(direct))
    {
        verdicts.push(verdict(
            "BPF run time + own CPU in s, against bpftrace",
            own,
            other,
        ));
    }
    // Where every other one was refused, the table says so and there is nothing to be better than.
    if let Some(best) = others {
        verdicts.push(verdict(
            "CPU ratio, against the best other event-based one",
            agent.total_cpu.value,
            best,
        ));
    }
    verdicts
}

/// Seconds, where the kernel tells what the programs cost.
fn direct(figures: &Figures) -> Option<f64> {
    Some(figures.bpf_s? + figures.cpu_s)
}

/// BPF run time from the builds with statistics, the agent's CPU time from those without.
fn direct_share(results: &Results) -> f64 {
    let programs = results.programs.get(Observer::Agent.name());
    let programs = programs.into_iter().flatten();
    let bpf = median(programs.map(|run| run.bpf_s() / run.build_cpu_s));
    let agent = median(
        results
            .rounds
            .iter()
            .flatten()
            .filter(|run| run.observer == Observer::Agent)
            .map(|run| run.usage.cpu_s / run.build.cpu_s),
    );
    bpf + agent
}

/// What was not told is no zero.
#[expect(clippy::cast_precision_loss, reason = "compared with zero only")]
fn absolute(error: Option<i64>) -> f64 {
    error.map_or(f64::INFINITY, |error| error.unsigned_abs() as f64)
}

#[expect(clippy::cast_precision_loss, reason = "compared with zero only")]
fn count(lost: Option<u64>) -> f64 {
    lost.map_or(f64::INFINITY, |lost| lost as f64)
}
