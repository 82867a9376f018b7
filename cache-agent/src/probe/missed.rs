//! Runs of a program that the kernel left out because another program was running on that CPU: the one
//! loss that the kernel side cannot count itself (`recursion_misses`, Linux 5.12).

use std::{
    fs::{read_dir, read_to_string},
    path::PathBuf,
};

/// Where the kernel tells of this process' programs.
#[derive(Debug)]
pub struct MissedRuns {
    programs: Vec<PathBuf>,
}

impl MissedRuns {
    /// Finds the descriptors of the programs loaded so far.
    pub fn of_loaded() -> Self {
        let descriptors = read_dir("/proc/self/fdinfo")
            .into_iter()
            .flatten()
            .flatten();
        let is_program = |path: &PathBuf| value(path, "prog_type:").is_some();
        Self {
            programs: descriptors
                .map(|entry| entry.path())
                .filter(is_program)
                .collect(),
        }
    }

    /// All of them since the programs were loaded.
    pub fn count(&self) -> u64 {
        self.programs
            .iter()
            .filter_map(|path| value(path, "recursion_misses:"))
            .sum()
    }
}

fn value(path: &PathBuf, field: &str) -> Option<u64> {
    let text = read_to_string(path).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(field))?
        .trim()
        .parse()
        .ok()
}
