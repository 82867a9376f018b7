//! Every figure, for machines.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::Path,
    thread,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{
    cost::{Pair, Results},
    limits::Verdict,
    programs::ProgramCosts,
    report,
    statistics::Ratio,
    walk::Walk,
};

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    machine: Machine,
    ratios: BTreeMap<&'static str, Ratio>,
    pairs: &'a [Pair],
    bpf: &'a [ProgramCosts],
    walk: Option<&'a Walk>,
    must_reach: &'a [Verdict],
}

pub(super) fn write(target: &Path, results: &Results, verdicts: &[Verdict]) -> Result<()> {
    let Results {
        pairs,
        programs,
        walk,
    } = results;
    let document = Document {
        machine: Machine::this(),
        ratios: report::ratios(pairs)
            .into_iter()
            .map(|(name, _, _, ratio)| (name, ratio))
            .collect(),
        pairs,
        bpf: programs,
        walk: walk.as_ref(),
        must_reach: verdicts,
    };
    write_document(target, &document)
}

/// Where a figure was measured.
#[derive(Serialize)]
pub(super) struct Machine {
    version: u32,
    kernel: String,
    cpus: usize,
}

impl Machine {
    pub(super) fn this() -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            version: 1,
            kernel: kernel.trim().to_owned(),
            cpus: thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// To the file `target`; - is stdout.
pub(super) fn write_document(target: &Path, document: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    if target == Path::new("-") {
        io::stdout()
            .write_all(text.as_bytes())
            .context("cannot write to stdout")
    } else {
        fs::write(target, text).with_context(|| format!("cannot write {}", target.display()))
    }
}
