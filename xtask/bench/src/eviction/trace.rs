//! What each invocation looked up, in order.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::Read,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

/// Runs that a branch is worked on before the other is checked out.
const RUNS_PER_BRANCH: usize = 8;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

#[derive(Deserialize)]
struct Row {
    run: String,
    key: String,
    bytes: u64,
    cpu_s: f32,
    package: String,
    variant: String,
}

/// What is looked up by one name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Action {
    pub(super) bytes: u64,
    pub(super) cpu_s: f32,
    pub(super) group: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    pub(super) file: String,
    pub(super) actions: Vec<Action>,
    pub(super) groups: usize,
    /// Of each invocation what it looked up, each once, as indices into `actions`.
    pub(super) runs: Vec<Vec<usize>>,
}

/// In which order the runs of a trace are replayed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// As they were.
    Linear,
    /// Eight runs of the first half, eight of the second, and so on: two branches worked on in turn.
    Branches,
}

impl Trace {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::parse(&name, &content).with_context(|| format!("{} is no trace", path.display()))
    }

    /// CSV with the columns run, key, `bytes`, `cpu_s`, package and variant, compressed or not.
    pub(super) fn parse(file: &str, content: &[u8]) -> Result<Self> {
        if content.starts_with(&GZIP_MAGIC) {
            let mut text = Vec::new();
            MultiGzDecoder::new(content).read_to_end(&mut text)?;
            return Self::parse(file, &text);
        }
        let mut builder = Builder::new(file);
        for row in csv::Reader::from_reader(content).deserialize() {
            let Row {
                run,
                key,
                bytes,
                cpu_s,
                package,
                variant,
            } = row?;
            ensure!(cpu_s.is_finite() && cpu_s >= 0.0, "{key} took {cpu_s} s");
            builder.start(run);
            builder.look_up(key, bytes, cpu_s, (package, variant));
        }
        let trace = builder.finish();
        ensure!(!trace.runs.is_empty(), "it has no rows");
        Ok(trace)
    }

    #[must_use]
    pub(super) fn in_order(&self, order: Order) -> Self {
        let runs = match order {
            Order::Linear => self.runs.clone(),
            Order::Branches => {
                let (first, second) = self.runs.split_at(self.runs.len() / 2);
                let mut first = first.chunks(RUNS_PER_BRANCH);
                let turns = second.chunks(RUNS_PER_BRANCH);
                turns
                    .flat_map(|turn| first.next().into_iter().flatten().chain(turn))
                    .cloned()
                    .collect()
            }
        };
        Self {
            runs,
            ..self.clone()
        }
    }

    /// Of everything that was ever looked up.
    pub(super) fn all_bytes(&self) -> u64 {
        self.actions.iter().map(|action| action.bytes).sum()
    }

    /// What compiling everything once takes.
    pub(super) fn cold_cpu_s(&self) -> f64 {
        let costs = self.actions.iter().map(|action| f64::from(action.cpu_s));
        costs.sum()
    }

    /// Bytes of the run that looked up most.
    pub(super) fn largest_run(&self) -> u64 {
        let bytes = |run: &Vec<usize>| {
            let actions = run.iter().filter_map(|index| self.actions.get(*index));
            actions.map(|action| action.bytes).sum()
        };
        self.runs.iter().map(bytes).max().unwrap_or(0)
    }
}

/// Makes a trace of look-ups that come one by one.
pub(super) struct Builder {
    trace: Trace,
    run: Option<String>,
    in_run: HashSet<usize>,
    keys: HashMap<String, usize>,
    groups: HashMap<(String, String), u32>,
}

impl Builder {
    pub(super) fn new(file: &str) -> Self {
        Self {
            trace: Trace {
                file: file.to_owned(),
                ..Trace::default()
            },
            run: None,
            in_run: HashSet::new(),
            keys: HashMap::new(),
            groups: HashMap::new(),
        }
    }

    /// What follows was looked up by `run`, the same one as before perhaps.
    pub(super) fn start(&mut self, run: String) {
        if self.run.as_ref() != Some(&run) {
            self.run = Some(run);
            self.in_run.clear();
            self.trace.runs.push(Vec::new());
        }
    }

    pub(super) fn look_up(&mut self, key: String, bytes: u64, cpu_s: f32, group: (String, String)) {
        let next = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        let group = *self.groups.entry(group).or_insert(next);
        self.trace.groups = self.groups.len();
        let actions = &mut self.trace.actions;
        let index = *self.keys.entry(key).or_insert(actions.len());
        if index == actions.len() {
            actions.push(Action {
                bytes,
                cpu_s,
                group,
            });
        }
        if self.in_run.insert(index) {
            self.trace
                .runs
                .last_mut()
                .into_iter()
                .for_each(|run| run.push(index));
        }
    }

    pub(super) fn finish(self) -> Trace {
        self.trace
    }
}
