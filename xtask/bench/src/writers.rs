//! Scale out on one machine: many processes that create small files as fast as they can, without and with
//! the agent in turn.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use xtask::{
    build::{self, Profile},
    command::{ask, program},
    paths, setup,
};

use super::{
    agent::{Agent, Figures, whole},
    json::{self, Machine},
    limits::{self, Verdict, verdict},
    process::children_cpu,
    programs::{self, Cost},
    report,
    statistics::{PairedRatio, median, paired_ratio},
    tests_program,
    tree::{self, Tree},
};

/// Files per second with the agent over files per second without.
const MIN_THROUGHPUT_RATIO: f64 = 0.97;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Times without and with the agent, in turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Processes that write at the same time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    writers: u32,
    /// How long they write each time
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Write in a new folder below this one, of another file system perhaps: /dev/shm leaves the disk out
    #[arg(long, value_name = "DIR")]
    below: Option<PathBuf>,
    /// Write every figure as JSON; - is stdout
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail when a figure misses its limit
    #[arg(long)]
    assert: bool,
}

#[derive(Debug, Serialize)]
struct Round {
    /// Files per second.
    without: f64,
    with: Observed,
}

#[derive(Debug, Serialize)]
struct Observed {
    files_per_s: f64,
    ledger: Tree,
    disk: Tree,
    /// Of the kernel side, of every cause.
    faults: u64,
    agent: Figures,
}

/// A run of its own, with BPF statistics: steadier than the ratio of two throughputs.
#[derive(Debug, Serialize)]
struct Direct {
    files: f64,
    writers_cpu_s: f64,
    agent_cpu_s: f64,
    bpf: BTreeMap<String, Cost>,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    machine: Machine,
    writers: u32,
    seconds: u64,
    throughput: PairedRatio,
    rounds: &'a [Round],
    direct: &'a Direct,
    must_reach: &'a [Verdict],
}

pub(super) fn run(options: &Options) -> Result<()> {
    let tools = setup::for_build()?;
    let agent = build::agent(&tools, Profile::Dist)?.agent;
    let actor = tests_program::build("actor")?;
    let below = options.below.clone().unwrap_or_else(paths::scratch);
    let folder = below.join("cache-bench-writers");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let load = Load {
        actor,
        folder: folder.canonicalize()?,
        writers: options.writers,
        seconds: options.seconds,
    };
    let reported = measure_and_report(options, &load, &agent);
    eprintln!("bench: removing the files");
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    reported
}

fn measure_and_report(options: &Options, load: &Load, agent: &Path) -> Result<()> {
    let (rounds, direct) = measure(options, load, agent)?;
    let pairs: Vec<_> = rounds
        .iter()
        .map(|round| (round.without, round.with.files_per_s))
        .collect();
    let throughput = paired_ratio(&pairs);
    let verdicts = judge(&rounds, throughput);
    print(options, &rounds, throughput);
    print_direct(&direct);
    report::print_verdicts(&verdicts);
    if let Some(target) = &options.json {
        let document = Document {
            machine: Machine::this(),
            writers: options.writers,
            seconds: options.seconds,
            throughput,
            rounds: &rounds,
            direct: &direct,
            must_reach: &verdicts,
        };
        json::write_document(target, &document)?;
    }
    if options.assert {
        limits::assert_met(&verdicts)?;
    }
    Ok(())
}

struct Written {
    files: f64,
    seconds: f64,
    cpu_s: f64,
}

impl Written {
    fn files_per_s(&self) -> f64 {
        self.files / self.seconds
    }
}

fn measure(options: &Options, load: &Load, agent: &Path) -> Result<(Vec<Round>, Direct)> {
    let rounds = (1..=options.rounds)
        .map(|number| measure_round(number, options.rounds, load, agent))
        .collect::<Result<_>>()?;
    Ok((rounds, measure_direct(load, agent)?))
}

/// What runs without and with the agent.
struct Load {
    actor: PathBuf,
    folder: PathBuf,
    writers: u32,
    seconds: u64,
}

impl Load {
    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// An empty root, and a disk that is done with what was there before.
    fn clear(&self) -> Result<()> {
        let root = self.root();
        if root.exists() {
            fs::remove_dir_all(&root)
                .with_context(|| format!("cannot remove {}", root.display()))?;
        }
        fs::create_dir(&root).with_context(|| format!("cannot make {}", root.display()))?;
        ask(&mut program("sync")).map(drop)
    }

    fn run(&self) -> Result<Written> {
        #[derive(Deserialize)]
        struct Said {
            files: u32,
        }
        let mut command = program(&self.actor);
        command
            .arg("writers")
            .args([self.writers.to_string(), self.seconds.to_string()])
            .arg(self.root());
        let cpu_before = children_cpu()?;
        let started = Instant::now();
        let said = ask(&mut command)?;
        let seconds = started.elapsed().as_secs_f64();
        let mut files = 0.0;
        for line in said.lines() {
            let said: Said =
                serde_json::from_str(line).with_context(|| format!("a writer said {line}"))?;
            files += f64::from(said.files);
        }
        ensure!(files > 0.0, "the writers wrote nothing");
        Ok(Written {
            files,
            seconds,
            cpu_s: children_cpu()? - cpu_before,
        })
    }
}

fn measure_round(number: u32, rounds: u32, load: &Load, agent: &Path) -> Result<Round> {
    eprintln!("bench: round {number} of {rounds}");
    Ok(if number.is_multiple_of(2) {
        let with = observed(load, agent)?;
        Round {
            without: alone(load)?,
            with,
        }
    } else {
        let without = alone(load)?;
        Round {
            without,
            with: observed(load, agent)?,
        }
    })
}

fn alone(load: &Load) -> Result<f64> {
    load.clear()?;
    eprintln!("bench:   {} writers for {} s", load.writers, load.seconds);
    Ok(load.run()?.files_per_s())
}

fn start(load: &Load, agent: &Path) -> Result<Agent> {
    load.clear()?;
    eprintln!(
        "bench:   {} writers for {} s, with the agent",
        load.writers, load.seconds
    );
    let mut root = OsString::from("--root=");
    root.push(load.root());
    Agent::start_with(agent, &root, &load.folder)
}

fn measure_direct(load: &Load, agent: &Path) -> Result<Direct> {
    let bpftool = setup::ensure_bpftool()?;
    eprintln!("bench: BPF statistics");
    let agent = start(load, agent)?;
    let (written, bpf) = programs::during(agent.pid(), &bpftool, || load.run())?;
    let agent_cpu_s = agent.figures()?.cpu_s;
    agent.stop()?;
    Ok(Direct {
        files: written.files,
        writers_cpu_s: written.cpu_s,
        agent_cpu_s,
        bpf,
    })
}

fn observed(load: &Load, agent: &Path) -> Result<Observed> {
    let agent = start(load, agent)?;
    let files_per_s = load.run()?.files_per_s();
    let disk = tree::walk(&load.root())?;
    let ledger = agent.settled_claim(disk)?;
    let faults = whole(agent.metric("go_cache_agent_faults_total")?);
    let figures = agent.figures()?;
    agent.stop()?;
    Ok(Observed {
        files_per_s,
        ledger,
        disk,
        faults,
        agent: figures,
    })
}

fn judge(rounds: &[Round], throughput: PairedRatio) -> Vec<Verdict> {
    let wrong = |difference: fn(&Observed) -> u64| -> f64 {
        let sum: u64 = rounds.iter().map(|round| difference(&round.with)).sum();
        #[expect(clippy::cast_precision_loss, reason = "compared with zero only")]
        let sum = sum as f64;
        sum
    };
    vec![
        verdict(
            "throughput without the agent / with it",
            1.0 / throughput.value,
            1.0 / MIN_THROUGHPUT_RATIO,
        ),
        verdict(
            "ledger against disk, bytes",
            wrong(|it| it.ledger.bytes.abs_diff(it.disk.bytes)),
            0.0,
        ),
        verdict(
            "ledger against disk, files",
            wrong(|it| it.ledger.files.abs_diff(it.disk.files)),
            0.0,
        ),
    ]
}

fn print(options: &Options, rounds: &[Round], throughput: PairedRatio) {
    let without = median(rounds.iter().map(|round| round.without));
    let with = median(rounds.iter().map(|round| round.with.files_per_s));
    eprintln!(
        "\n{} writers of 4 KiB files for {} s, {} rounds: {without:.0} files/s without, {with:.0} with; ratio {:.4}{}",
        options.writers,
        options.seconds,
        rounds.len(),
        throughput.value,
        throughput
            .interval
            .map_or(String::new(), |[low, high]| format!(
                " ({low:.4} to {high:.4})"
            )),
    );
    for Round { with, .. } in rounds {
        eprintln!(
            "ledger {} B in {} files, disk {} B in {}; events dropped {}, faults {}; agent: CPU {:.2} s, peak memory {:.1} MiB",
            with.ledger.bytes,
            with.ledger.files,
            with.disk.bytes,
            with.disk.files,
            with.agent.dropped,
            with.faults,
            with.agent.cpu_s,
            limits::mebibytes(with.agent.max_rss_bytes),
        );
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds of minutes fit f64 exactly"
)]
fn print_direct(direct: &Direct) {
    let Direct {
        files,
        writers_cpu_s,
        agent_cpu_s,
        bpf,
    } = direct;
    let bpf_ns: u64 = bpf.values().map(|cost| cost.total_ns).sum();
    let bpf_ns = bpf_ns as f64;
    eprintln!(
        "direct cost per file: BPF {:.0} ns, agent's CPU {:.0} ns; together {:.2} % of the writers' CPU",
        bpf_ns / files,
        agent_cpu_s * 1e9 / files,
        (bpf_ns / 1e9 + agent_cpu_s) / writers_cpu_s * 100.0
    );
    for (name, cost) in bpf {
        let (runs, total) = (cost.runs as f64, cost.total_ns as f64);
        if runs / files > 0.01 {
            eprintln!(
                "{name:<20} {:>6.2} runs a file of {:>6.0} ns",
                runs / files,
                total / runs
            );
        }
    }
}
