//! Tools that ran before the hooks came, with all that descends from them.

use std::{
    collections::HashMap,
    fs::{read, read_dir, read_to_string},
};

use anyhow::Result;
use cache_ebpf::{ProcessKey, lineage::SEED_UNIT_NS};

use super::inspector::start_ticks;
use crate::{go::tools::TOOLS, kernel::session::Session};

/// Processes looked at.
const PROCESSES_MAX: usize = 65_536;
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

/// Tells the kernel side of every process that is a tool or descends from one, and gives it to `follow`.
pub fn seed(session: &mut Session, mut follow: impl FnMut(&Seed)) -> Result<()> {
    let found = all();
    for process in found.values() {
        let Some([invocation, parent]) = tools_above(process, &found) else {
            continue;
        };
        session.lineage.seed(process.key, invocation, parent)?;
        let argv = if invocation == process.key {
            arguments(process.key.tgid)
        } else {
            Vec::new()
        };
        let uid = owner(process.key.tgid);
        follow(&Seed {
            process: process.key,
            invocation,
            parent,
            comm: process.comm.clone(),
            argv,
            uid,
        });
    }
    Ok(())
}

/// True while this very process exists; a start cut to the unit of /proc is enough to tell.
pub fn is_alive(process: &ProcessKey) -> bool {
    let stat = read_to_string(format!("/proc/{}/stat", process.tgid)).unwrap_or_default();
    start_ticks(&stat) == Some(process.start_ns / SEED_UNIT_NS)
}

fn all() -> HashMap<u32, Found> {
    let Ok(processes) = read_dir("/proc") else {
        return HashMap::new();
    };
    let numbers = processes.flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.parse::<u32>().ok()
    });
    numbers
        .take(PROCESSES_MAX)
        .filter_map(|pid| Some((pid, of(pid)?)))
        .collect()
}

fn of(pid: u32) -> Option<Found> {
    let stat = read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (head, tail) = stat.rsplit_once(") ")?;
    Some(Found {
        key: ProcessKey {
            start_ns: start_ticks(&stat)? * SEED_UNIT_NS,
            tgid: pid,
            pad: 0,
        },
        parent: tail.split(' ').nth(1)?.parse().ok()?,
        comm: head.split_once('(')?.1.to_owned(),
    })
}

/// The innermost tool that a process is or descends from, and the one above that.
fn tools_above(process: &Found, all: &HashMap<u32, Found>) -> Option<[ProcessKey; 2]> {
    let mut found = Vec::new();
    let mut at = Some(process);
    for _ in 0..GENERATIONS {
        let Some(one) = at else { break };
        if TOOLS.contains(&one.comm.as_str()) {
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

fn arguments(pid: u32) -> Vec<String> {
    let bytes = read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    let words = bytes.split(|byte| *byte == 0).take(256);
    words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

fn owner(pid: u32) -> u32 {
    std::fs::metadata(format!("/proc/{pid}")).map_or(0, |directory| {
        std::os::unix::fs::MetadataExt::uid(&directory)
    })
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

    #[test]
    fn this_process_is_alive_and_its_past_is_not() {
        let own = of(std::process::id()).unwrap().key;
        assert!(is_alive(&own));
        let start_ns = own.start_ns + SEED_UNIT_NS;
        assert!(!is_alive(&ProcessKey { start_ns, ..own }));
    }
}
