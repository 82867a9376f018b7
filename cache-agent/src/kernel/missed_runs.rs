//! Runs of a program that the kernel left out because another program was running on that CPU: the one
//! loss that the kernel side cannot count itself (`recursion_misses`, Linux 5.12).

use std::{
    fs::{read_dir, read_to_string},
    os::fd::RawFd,
    path::PathBuf,
};

const FDINFO: &str = "/proc/self/fdinfo";

/// Where the kernel tells of this process' programs.
#[derive(Debug)]
pub struct MissedRuns {
    /// Those together that stand in for each other.
    groups: Vec<Vec<PathBuf>>,
}

impl MissedRuns {
    /// Finds the descriptors of the programs loaded so far, of which `groups` stand in for each other.
    pub fn of_loaded(groups: &[Vec<RawFd>]) -> Self {
        let descriptors = read_dir(FDINFO).into_iter().flatten().flatten();
        let path = |descriptor: &RawFd| PathBuf::from(format!("{FDINFO}/{descriptor}"));
        let groups: Vec<Vec<PathBuf>> = groups
            .iter()
            .map(|group| group.iter().map(path).collect())
            .collect();
        let is_alone = |path: &PathBuf| {
            value(path, "prog_type:").is_some() && !groups.iter().flatten().any(|it| it == path)
        };
        let alone: Vec<_> = descriptors
            .map(|entry| entry.path())
            .filter(is_alone)
            .map(|path| vec![path])
            .collect();
        Self {
            groups: groups.into_iter().chain(alone).collect(),
        }
    }

    /// All of them since the programs were loaded. Of programs that stand in for each other so many at most
    /// that none of them ran.
    pub fn count(&self) -> u64 {
        let misses = |path: &PathBuf| value(path, "recursion_misses:");
        self.groups
            .iter()
            .filter_map(|group| group.iter().filter_map(misses).min())
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
