//! Many processes and many files: what they cost in memory, of the agent and of the kernel.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::Serialize;
use xtask::{
    build::{self, Profile},
    command::{ask, program},
    paths, setup,
};

use super::{
    agent::{Agent, whole},
    json::{self, Machine},
    limits::{self, Verdict, mebibytes, verdict},
    process::bpf_map_bytes_of,
    report, tests_program,
    tree::{self, Tree},
};

/// Of each file that no process of its own writes: a million blocks of the disk are not needed.
const SPARSE_BYTES: &str = "1000";
const MAX_MEMORY_MIB: f64 = 96.0;
/// How far the metric may be from what the kernel says: maps grow between two walks.
const MAX_MAP_ERROR: f64 = 0.05;
/// Between two walks here, so that walking a million files is part of what is measured.
const WALK_INTERVAL: Duration = Duration::from_secs(20);
/// A walk of a million files on a busy machine.
const WALK_MARGIN: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Processes that create a file each
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    processes: u32,
    /// Files in the end
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    files: u32,
    /// Make the files in a new folder below this one, of another file system perhaps
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
struct Measured {
    processes: u32,
    ledger: Tree,
    disk: Tree,
    agent_max_rss_bytes: u64,
    agent_cpu_s: f64,
    /// As the kernel accounts for the maps.
    kernel_map_bytes: u64,
    /// As the agent's metric says.
    metric_map_bytes: u64,
    events_dropped: u64,
    faults: u64,
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
    let agent = build::agent(&tools, Profile::Dist)?.agent;
    let actor = tests_program::build("actor")?;
    let below = options.below.clone().unwrap_or_else(paths::scratch);
    let folder = below.join("cache-bench-scale");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let reported = measure_and_report(options, &agent, &actor, &folder.canonicalize()?);
    // Takes as long as making them did.
    eprintln!("bench: removing the files");
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    reported
}

fn measure_and_report(options: &Options, agent: &Path, actor: &Path, folder: &Path) -> Result<()> {
    let measured = measure(options, agent, actor, folder)?;
    let verdicts = judge(&measured);
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

fn measure(options: &Options, agent: &Path, actor: &Path, folder: &Path) -> Result<Measured> {
    let root = folder.join("root");
    let (crowd, files) = (root.join("crowd"), root.join("files"));
    for directory in [&crowd, &files] {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let agent = start(agent, &root, folder)?;
    let processes = options.processes;
    eprintln!("bench: {processes} processes");
    ask(program(actor)
        .args(["crowd", &processes.to_string()])
        .arg(&crowd))?;
    let others = options.files.saturating_sub(processes);
    eprintln!("bench: {others} files more");
    ask(program(actor)
        .args(["sparse", &others.to_string(), SPARSE_BYTES])
        .arg(&files))?;
    let disk = tree::walk(&root)?;
    let ledger = agent.settled_claim(disk)?;
    eprintln!("bench: waiting for a walk");
    thread::sleep(WALK_INTERVAL + WALK_MARGIN);
    let figures = agent.figures()?;
    let measured = Measured {
        processes,
        ledger,
        disk,
        agent_max_rss_bytes: figures.max_rss_bytes,
        agent_cpu_s: figures.cpu_s,
        kernel_map_bytes: bpf_map_bytes_of(agent.pid())?,
        metric_map_bytes: whole(agent.metric("go_cache_agent_kernel_map_bytes")?),
        events_dropped: whole(figures.dropped),
        faults: whole(agent.metric("go_cache_agent_faults_total")?),
    };
    agent.stop()?;
    Ok(measured)
}

fn start(agent: &Path, root: &Path, folder: &Path) -> Result<Agent> {
    let configuration = folder.join("agent.toml");
    let text = format!(
        "walk_interval = \"{}s\"\n[[root]]\npath = {:?}\n",
        WALK_INTERVAL.as_secs(),
        root.to_string_lossy()
    );
    fs::write(&configuration, text)
        .with_context(|| format!("cannot write {}", configuration.display()))?;
    let mut argument = OsString::from("--config=");
    argument.push(&configuration);
    Agent::start_with(agent, &argument, folder)
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn judge(measured: &Measured) -> Vec<Verdict> {
    let Measured {
        ledger,
        disk,
        agent_max_rss_bytes,
        kernel_map_bytes,
        metric_map_bytes,
        ..
    } = measured;
    let (kernel, metric) = (*kernel_map_bytes as f64, *metric_map_bytes as f64);
    vec![
        verdict(
            "agent's peak memory, MiB",
            mebibytes(*agent_max_rss_bytes),
            MAX_MEMORY_MIB,
        ),
        verdict(
            "metric of kernel memory, error",
            (metric / kernel - 1.0).abs(),
            MAX_MAP_ERROR,
        ),
        verdict(
            "ledger against disk, bytes",
            ledger.bytes.abs_diff(disk.bytes) as f64,
            0.0,
        ),
        verdict(
            "ledger against disk, files",
            ledger.files.abs_diff(disk.files) as f64,
            0.0,
        ),
    ]
}

fn print(measured: &Measured) {
    let Measured {
        processes,
        ledger,
        disk,
        agent_max_rss_bytes,
        agent_cpu_s,
        kernel_map_bytes,
        metric_map_bytes,
        events_dropped,
        faults,
    } = measured;
    eprintln!(
        "\n{processes} processes, {} files: agent's peak memory {:.1} MiB, its CPU {agent_cpu_s:.2} s\n\
        kernel memory of its maps {:.1} MiB, by its metric {:.1} MiB\n\
        ledger {} B in {} files, disk {} B; events dropped {events_dropped}, faults {faults}",
        disk.files,
        mebibytes(*agent_max_rss_bytes),
        mebibytes(*kernel_map_bytes),
        mebibytes(*metric_map_bytes),
        ledger.bytes,
        ledger.files,
        disk.bytes,
    );
}
