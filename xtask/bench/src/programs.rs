//! Run count and run time of each of a watcher's BPF programs, in runs of their own: the kernel's
//! clock reads for these statistics would be in the comparison otherwise.

use std::{
    collections::BTreeMap,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Stdio},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use xtask::command::{ask, program};

use super::{agent::Agent, process::bpf_programs_of, workload::Workload};

/// One observed build with statistics on.
#[derive(Debug, Serialize)]
pub(super) struct ProgramCosts {
    pub(super) build_cpu_s: f64,
    /// Of the watcher itself, its start included.
    pub(super) own_cpu_s: f64,
    pub(super) programs: BTreeMap<String, Cost>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Cost {
    pub(super) runs: u64,
    pub(super) total_ns: u64,
}

impl ProgramCosts {
    /// Seconds that all programs ran together.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nanoseconds of minutes fit f64 exactly"
    )]
    pub(super) fn bpf_s(&self) -> f64 {
        let total: u64 = self.programs.values().map(|cost| cost.total_ns).sum();
        total as f64 / 1e9
    }
}

/// What bpftool says of a program; the counts are absent while they are zero.
#[derive(Deserialize)]
struct Shown {
    id: u64,
    #[serde(default)]
    name: String,
    #[serde(default)]
    run_cnt: u64,
    #[serde(default)]
    run_time_ns: u64,
}

pub(super) fn measure(
    runs: u32,
    workload: &Workload,
    binary: &Path,
    bpftool: &Path,
) -> Result<Vec<ProgramCosts>> {
    (1..=runs)
        .map(|number| {
            eprintln!("bench: BPF statistics, run {number} of {runs}");
            workload.clear()?;
            let agent = Agent::start(binary, workload)?;
            let (build, programs) =
                during(agent.pid(), bpftool, || workload.build_into_present_cache())?;
            let own_cpu_s = agent.figures()?.cpu_s;
            agent.stop()?;
            Ok(ProgramCosts {
                build_cpu_s: build.cpu_s,
                own_cpu_s,
                programs,
            })
        })
        .collect()
}

/// What the programs of process `pid` cost while `work` is done, and what it gives.
pub(super) fn during<T>(
    pid: u32,
    bpftool: &Path,
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, BTreeMap<String, Cost>)> {
    let _statistics = Statistics::enable()?;
    let before = costs(pid, bpftool)?;
    let result = work()?;
    Ok((result, difference(&before, costs(pid, bpftool)?)))
}

/// By what the process' descriptors refer to: bpftool's own look-up of processes needs a program
/// type that some kernels refuse.
fn costs(pid: u32, bpftool: &Path) -> Result<BTreeMap<String, Cost>> {
    let own = bpf_programs_of(pid)?;
    let text = ask(program(bpftool).args(["prog", "show", "--json"]))?;
    let shown: Vec<Shown> = serde_json::from_str(&text).context("cannot read bpftool's JSON")?;
    let mut costs = BTreeMap::<String, Cost>::new();
    for Shown {
        id,
        name,
        run_cnt,
        run_time_ns,
    } in shown
    {
        if own.contains(&id) {
            let cost = costs.entry(name).or_default();
            cost.runs += run_cnt;
            cost.total_ns += run_time_ns;
        }
    }
    Ok(costs)
}

fn difference(
    before: &BTreeMap<String, Cost>,
    after: BTreeMap<String, Cost>,
) -> BTreeMap<String, Cost> {
    after
        .into_iter()
        .map(|(name, Cost { runs, total_ns })| {
            let start = before.get(&name).copied().unwrap_or_default();
            let cost = Cost {
                runs: runs - start.runs,
                total_ns: total_ns - start.total_ns,
            };
            (name, cost)
        })
        .collect()
}

/// Statistics are on while this lives. A shell holds them, which restores what was there when its
/// stdin ends: also when we are killed.
struct Statistics(Child);

impl Statistics {
    fn enable() -> Result<Self> {
        const SCRIPT: &str = "f=/proc/sys/kernel/bpf_stats_enabled; old=$(cat $f) && \
            echo 1 > $f && echo on && cat > /dev/null; echo \"$old\" > $f";
        let mut shell = program("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Not in the terminal's group: an interrupt must not end it before it restored.
            .process_group(0)
            .spawn()
            .context("cannot start the shell that holds BPF statistics")?;
        let stdout = shell.stdout.as_mut().context("the shell has no stdout")?;
        let mut answer = [0; 3];
        std::io::Read::read_exact(stdout, &mut answer)
            .context("cannot write /proc/sys/kernel/bpf_stats_enabled")?;
        Ok(Self(shell))
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.0.stdin.take() {
            drop(stdin.flush());
        }
        drop(self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ran_during_the_build_counts() {
        let cost = |runs, total_ns| Cost { runs, total_ns };
        let before = BTreeMap::from([("open".to_owned(), cost(10, 1000))]);
        let after = BTreeMap::from([
            ("open".to_owned(), cost(15, 1600)),
            ("close".to_owned(), cost(2, 90)),
        ]);
        let expected = BTreeMap::from([
            ("open".to_owned(), cost(5, 600)),
            ("close".to_owned(), cost(2, 90)),
        ]);
        assert_eq!(difference(&before, after), expected);
    }
}
