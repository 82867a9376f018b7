//! Mount namespaces of the host's processes: what only one of them shows goes with its last process.

use std::{collections::HashSet, os::unix::fs::MetadataExt as _};

use crate::sys::procfs;

/// Processes looked at.
const PROCESSES_MAX: usize = 65_536;

/// Mount namespace of a process; `None` of one that is gone.
pub fn of(pid: u32) -> Option<u64> {
    let namespace = std::fs::metadata(format!("/proc/{pid}/ns/mnt")).ok()?;
    Some(namespace.ino())
}

/// Mount namespaces in which a process lives; `None` where not all can be told.
pub fn inhabited() -> Option<HashSet<u64>> {
    let processes: Vec<u32> = procfs::numbers()?.take(PROCESSES_MAX).collect();
    let is_whole = processes.len() < PROCESSES_MAX;
    is_whole.then(|| processes.into_iter().filter_map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_in_an_inhabited_namespace() {
        let own = of(std::process::id()).unwrap();
        assert!(inhabited().unwrap().contains(&own));
        assert_eq!(of(0), None);
    }
}
