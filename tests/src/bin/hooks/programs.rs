//! Run counts and run times of BPF programs, as the kernel keeps them.

use std::{collections::BTreeMap, fs, os::fd::OwnedFd, time::Duration};

use anyhow::{Context as _, Result, ensure};
use aya::{
    programs::{ProgramInfo, loaded_programs},
    sys::{Stats, enable_stats},
};
use serde::Serialize;

/// The kernel counts while this lives.
pub(super) struct Statistics(#[expect(dead_code, reason = "held, not read")] OwnedFd);

impl Statistics {
    pub(super) fn enable() -> Result<Self> {
        let held = enable_stats(Stats::RunTime).context("cannot switch BPF statistics on")?;
        Ok(Self(held))
    }
}

/// Sizes of one of the agent's programs; `None` where the kernel does not tell.
#[derive(Serialize)]
pub(super) struct Program {
    name: String,
    /// Instructions of the program as loaded.
    instructions: Option<u32>,
    /// Instructions that the verifier went through: all paths, not one run.
    verified_instructions: Option<u32>,
    /// Bytes of machine code.
    machine_code_bytes: u32,
}

pub(super) fn describe(agent: u32) -> Result<Vec<Program>> {
    let mut programs: Vec<Program> = programs_of(agent)?
        .iter()
        .map(|info| Program {
            name: name(info),
            instructions: info.size_translated().map(|bytes| bytes / 8),
            verified_instructions: info.verified_instruction_count(),
            machine_code_bytes: info.size_jitted(),
        })
        .collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    runs: u64,
    time: Duration,
}

impl Cost {
    fn of(info: &ProgramInfo) -> Self {
        Self {
            runs: info.run_count(),
            time: info.run_time(),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            runs: self.runs.saturating_sub(before.runs),
            time: self.time.saturating_sub(before.time),
        }
    }

    /// Nanoseconds of one run.
    fn mean(self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a benchmark makes far fewer runs than 2^53"
        )]
        let runs = self.runs.max(1) as f64;
        self.time.as_secs_f64() * 1e9 / runs
    }
}

/// The empty program's costs and those of the agent's.
#[derive(Debug)]
pub(super) struct Counts {
    empty: Cost,
    agent: BTreeMap<u32, (String, Cost)>,
}

impl Counts {
    pub(super) fn take(empty: u32, agent: u32) -> Result<Self> {
        let empty = loaded_programs()
            .filter_map(Result::ok)
            .find(|info| info.id() == empty)
            .context("the empty program is not loaded")?;
        let agent = programs_of(agent)?
            .iter()
            .map(|info| (info.id(), (name(info), Cost::of(info))))
            .collect();
        Ok(Self {
            empty: Cost::of(&empty),
            agent,
        })
    }

    pub(super) fn since(self, before: &Self) -> Result<Self> {
        let same = self.agent.keys().eq(before.agent.keys());
        ensure!(same, "the agent's programs changed under the measurement");
        Ok(Self {
            empty: self.empty.since(before.empty),
            agent: self
                .agent
                .into_iter()
                .zip(before.agent.values())
                .map(|((id, (name, after)), (_, before))| (id, (name, after.since(*before))))
                .collect(),
        })
    }

    /// Nanoseconds of the empty program, of the agent's open, and of what else of the agent ran once for
    /// each of the `calls` opens and closes; the agent's without what the empty program takes.
    pub(super) fn per_call(&self, calls: u64) -> Result<(f64, f64, f64)> {
        ensure!(
            self.empty.runs >= calls,
            "the empty program ran {} times in {calls} opens",
            self.empty.runs
        );
        let empty = self.empty.mean();
        let on_top = |cost: &Cost| cost.mean() - empty;
        let (open, rest): (Vec<_>, Vec<_>) = self
            .agent
            .values()
            // What runs less often has nothing to do with the opens.
            .filter(|(_, cost)| cost.runs >= calls)
            .partition(|(name, _)| name.contains("open"));
        ensure!(
            open.len() == 1,
            "{} of the agent's programs for an open ran, not one: {self:?}",
            open.len()
        );
        let sum = |programs: &[&(String, Cost)]| -> f64 {
            programs.iter().map(|(_, cost)| on_top(cost)).sum()
        };
        Ok((empty, sum(&open), sum(&rest)))
    }
}

/// By what the process' descriptors refer to: another agent may run on this machine.
fn programs_of(pid: u32) -> Result<Vec<ProgramInfo>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))?;
    let own: Vec<u32> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter_map(|text| {
            let id = text
                .lines()
                .find_map(|line| line.strip_prefix("prog_id:"))?;
            id.trim().parse().ok()
        })
        .collect();
    let programs: Vec<ProgramInfo> = loaded_programs()
        .filter_map(Result::ok)
        .filter(|info| own.contains(&info.id()))
        .collect();
    ensure!(
        !programs.is_empty(),
        "process {pid} has no programs in the kernel"
    );
    Ok(programs)
}

fn name(info: &ProgramInfo) -> String {
    String::from_utf8_lossy(info.name()).into_owned()
}
