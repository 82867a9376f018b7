//! What each way to choose victims costs: look-up traces, replayed with a cap.

mod generate;
mod many;
mod replay;
mod trace;

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;
use cache_agent::limits::policy::Policy;
use serde::Serialize;

use self::{
    replay::{Chooser, Outcome, replay},
    trace::{Order, Trace},
};
use super::{
    json,
    limits::{self, Verdict, mebibytes, verdict},
    report,
};

const LOOKUPS_1: &[u8] = include_bytes!("../traces/lookups-1.csv.gz");
/// Caps, in percent of all bytes.
const SHARES: [u32; 7] = [30, 35, 40, 45, 50, 55, 60];
/// Caps, in times the largest run.
const TIMES: [f64; 5] = [3.0, 3.5, 4.0, 4.5, 5.0];
/// On the mean over these.
const MAX_OF_LRU: f64 = 0.55;
/// Where LRU loses less than this share of a cold build of everything, chance decides.
const WORTH_COMPARING: f64 = 0.01;
const MIN_OF_REFERENCE_HITS: f64 = 0.5;

/// Replays look-up traces and evicts as the agent would, against other policies and against one that knows the future
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A trace is CSV with the columns run,key,bytes,cpu_s,package,variant; rows with the same run are one invocation. After \
each run the cache is evicted down to 0.9 of the cap if it is above; what that run looked up stays. Runs are three \
hours apart. `linear` replays them in order; `branches` replays eight runs of the first half, then eight of the \
second, and so on, as somebody does who works on two branches in turn. `trim` is Go's own: five days, whatever the \
cap. `reference` knows what comes: what is never looked up again goes first, then what saves fewest seconds for its \
bytes and its wait.")]
pub(super) struct Options {
    /// A trace, gzip or not [default: lookups-1 of the repository and two generated ones]
    #[arg(long = "trace", value_name = "FILE")]
    traces: Vec<PathBuf>,
    /// Plan for so many entries instead, and say what that takes
    #[arg(long, value_name = "N", conflicts_with_all = ["traces", "json"])]
    entries: Option<u32>,
    /// Write every figure as JSON; - is stdout
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail when a figure misses its limit
    #[arg(long)]
    assert: bool,
}

#[derive(Serialize)]
struct Document {
    traces: Vec<Replayed>,
}

#[derive(Serialize)]
struct Replayed {
    file: String,
    order: Order,
    caps: Vec<Cap>,
}

#[derive(Serialize)]
struct Cap {
    share: f64,
    bytes: u64,
    policies: BTreeMap<&'static str, Outcome>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    if let Some(entries) = options.entries {
        return many::run(entries, options.assert);
    }
    let traces = if options.traces.is_empty() {
        vec![
            Trace::parse("lookups-1.csv.gz", LOOKUPS_1)?,
            generate::modular(),
            generate::rotating(),
        ]
    } else {
        let read = options.traces.iter().map(|path| Trace::read(path));
        read.collect::<Result<_>>()?
    };
    let mut document = Document { traces: Vec::new() };
    let mut verdicts = Vec::new();
    for trace in &traces {
        for order in [Order::Linear, Order::Branches] {
            let trace = trace.in_order(order);
            let replayed = replay_at_all_caps(&trace, order);
            print(&replayed, trace.cold_cpu_s());
            verdicts.extend(judge(&trace, &replayed));
            document.traces.push(replayed);
        }
    }
    report::print_verdicts(&verdicts);
    if let Some(target) = &options.json {
        json::write_document(target, &document)?;
    }
    if options.assert {
        limits::assert_met(&verdicts)?;
    }
    Ok(())
}

fn replay_at_all_caps(trace: &Trace, order: Order) -> Replayed {
    let caps = SHARES.into_iter().map(|percent| {
        let bytes = trace.all_bytes() / 100 * u64::from(percent);
        let outcome = |chooser: Chooser| (chooser.as_str(), replay(trace, bytes, chooser));
        Cap {
            share: f64::from(percent) / 100.0,
            bytes,
            policies: Chooser::ALL.into_iter().map(outcome).collect(),
        }
    });
    Replayed {
        file: trace.file.clone(),
        order,
        caps: caps.collect(),
    }
}

fn judge(trace: &Trace, replayed: &Replayed) -> Vec<Verdict> {
    let name = format!("{} {}", replayed.file, word(replayed.order));
    let worth = trace.cold_cpu_s() * WORTH_COMPARING;
    let mut verdicts = Vec::new();
    let (value, lru) = mean_losses(trace);
    if lru > worth {
        let what = format!("{name}: value / LRU, 3 to 5 builds");
        verdicts.push(verdict(what, value / lru, MAX_OF_LRU));
    }
    let worst = replayed.caps.iter().filter_map(|cap| {
        let value = cap.policies.get(Policy::Value.as_str())?.lost_cpu_s;
        let lru = cap.policies.get(Policy::Lru.as_str())?.lost_cpu_s;
        (lru > worth).then_some(value / lru)
    });
    if let Some(worst) = worst.reduce(f64::max) {
        verdicts.push(verdict(format!("{name}: value / LRU, any cap"), worst, 1.0));
    }
    verdicts.extend(judge_rotation(trace, &name));
    verdicts
}

/// With everything 1.5 times the cap. Only where LRU finds nothing.
fn judge_rotation(trace: &Trace, name: &str) -> Option<Verdict> {
    let cap = trace.all_bytes() / 3 * 2;
    let hits = |chooser| replay(trace, cap, chooser).hit_ratio;
    if hits(Chooser::Agent(Policy::Lru)) > 0.0 {
        return None;
    }
    let value = hits(Chooser::Agent(Policy::Value));
    let ratio = hits(Chooser::Reference) / value.max(f64::MIN_POSITIVE);
    let what = format!("{name}: reference's hits / value's");
    Some(verdict(what, ratio, 1.0 / MIN_OF_REFERENCE_HITS))
}

/// CPU seconds lost by value and by LRU, on the mean over caps of so many times the largest run.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a cap need not be exact"
)]
fn mean_losses(trace: &Trace) -> (f64, f64) {
    let mean = |policy: Policy| {
        let losses = TIMES.into_iter().map(|times| {
            let cap = (trace.largest_run() as f64 * times) as u64;
            replay(trace, cap, Chooser::Agent(policy)).lost_cpu_s
        });
        losses.sum::<f64>() / TIMES.len() as f64
    };
    (mean(Policy::Value), mean(Policy::Lru))
}

fn word(order: Order) -> &'static str {
    match order {
        Order::Linear => "linear",
        Order::Branches => "branches",
    }
}

fn print(replayed: &Replayed, cold_cpu_s: f64) {
    let order = word(replayed.order);
    eprintln!(
        "\n{} {order}: {cold_cpu_s:.0} s to compile all",
        replayed.file
    );
    eprint!("{:<6}{:>10}", "cap", "MiB");
    let names = Chooser::ALL.map(Chooser::as_str);
    for name in names {
        eprint!("{name:>16}");
    }
    eprintln!("   (seconds lost, hit ratio)");
    for Cap {
        share,
        bytes,
        policies,
    } in &replayed.caps
    {
        eprint!("{share:<6.2}{:>10.0}", mebibytes(*bytes));
        for outcome in names.iter().filter_map(|name| policies.get(name)) {
            let Outcome {
                lost_cpu_s,
                hit_ratio,
            } = outcome;
            eprint!("{lost_cpu_s:>9.0} {hit_ratio:.4}");
        }
        eprintln!();
    }
}

#[cfg(test)]
mod tests;
