//! Tools that ran before the hooks came, with all that descends from them.

use std::collections::HashMap;

use cache_ebpf::ProcessKey;

use crate::{
    go::tools::is_tool,
    model::process::{arguments, text},
    sys::procfs::{self, Process},
};

/// Processes looked at.
const PROCESSES_MAX: usize = 65_536;
/// Arguments of a tool that are kept.
const ARGUMENTS_MAX: usize = 256;
/// Generations between a process and its tool.
const GENERATIONS: usize = 64;

/// A process that was there before the hooks; its start, and its invocation's, are cut to 10 ms.
#[derive(Clone, Debug)]
pub struct Seed {
    /// Which.
    pub process: ProcessKey,
    /// Innermost tool it descends from, or is.
    pub invocation: ProcessKey,
    /// The tool which that one was started from; zero = none.
    pub parent: ProcessKey,
    /// Command name.
    pub comm: String,
    /// Arguments of a tool.
    pub argv: Vec<String>,
    /// Real user id.
    pub uid: u32,
}

/// A process as /proc tells it.
#[derive(Clone, Debug)]
struct Found {
    key: ProcessKey,
    parent: u32,
    comm: String,
}

/// Every process that is a tool or descends from one.
pub fn find() -> Vec<Seed> {
    let found = all();
    let seed = |process: &Found| {
        let [invocation, parent] = tools_above(process, &found)?;
        let shown = Process::of(&process.key);
        let argv = shown.as_ref().filter(|_| invocation == process.key);
        let mut argv = argv.map_or_else(Vec::new, |tool| {
            arguments(&tool.read("cmdline").unwrap_or_default())
        });
        argv.truncate(ARGUMENTS_MAX);
        Some(Seed {
            process: process.key,
            invocation,
            parent,
            comm: process.comm.clone(),
            argv,
            uid: shown.and_then(|process| process.owner()).unwrap_or(0),
        })
    };
    found.values().filter_map(seed).collect()
}

fn all() -> HashMap<u32, Found> {
    let numbers = procfs::numbers().into_iter().flatten();
    numbers
        .take(PROCESSES_MAX)
        .filter_map(|pid| Some((pid, of(pid)?)))
        .collect()
}

fn of(pid: u32) -> Option<Found> {
    let stat = Process::numbered(pid)?.stat()?;
    Some(Found {
        key: ProcessKey {
            start_ns: stat.start_ns,
            tgid: pid,
            pad: 0,
        },
        parent: stat.parent,
        comm: text(&stat.comm),
    })
}

/// The innermost tool that a process is or descends from, and the one above that.
fn tools_above(process: &Found, all: &HashMap<u32, Found>) -> Option<[ProcessKey; 2]> {
    let mut found = Vec::new();
    let mut at = Some(process);
    for _ in 0..GENERATIONS {
        let Some(one) = at else { break };
        if is_tool(&one.comm) {
            found.push(one.key);
        }
        at = all.get(&one.parent);
    }
    let nobody = ProcessKey {
        start_ns: 0,
        tgid: 0,
        pad: 0,
    };
    let innermost = *found.first()?;
    Some([innermost, found.get(1).copied().unwrap_or(nobody)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_tool_is_found_and_the_one_above() {
        let one = |pid, parent, comm: &str| {
            let key = ProcessKey {
                start_ns: 10,
                tgid: pid,
                pad: 0,
            };
            let comm = comm.to_owned();
            (pid, Found { key, parent, comm })
        };
        let all = HashMap::from([
            one(1, 0, "init"),
            one(2, 1, "make"),
            one(3, 2, "sh"),
            one(4, 3, "go"),
            one(5, 4, "compile"),
            one(6, 1, "bash"),
        ]);
        let of = |pid: u32| tools_above(&all[&pid], &all).map(|keys| keys.map(|key| key.tgid));
        assert_eq!(of(5), Some([4, 2]));
        assert_eq!(of(4), Some([4, 2]));
        assert_eq!(of(3), Some([2, 0]));
        assert_eq!(of(6), None);
    }
}
