//! Runs of a program that the kernel left out because another program was running on that CPU: the one
//! loss that the kernel side cannot count itself (`recursion_misses`, Linux 5.12).

use std::os::fd::RawFd;

use crate::sys::procfs::DescriptorInfo;

/// Descriptors of this process' programs.
#[derive(Debug)]
pub struct MissedRuns {
    /// Those together that stand in for each other.
    groups: Vec<Vec<RawFd>>,
}

impl MissedRuns {
    /// Finds the descriptors of the programs loaded so far, of which `groups` stand in for each other.
    pub fn of_loaded(groups: &[Vec<RawFd>]) -> Self {
        let is_alone = |(descriptor, info): &(RawFd, DescriptorInfo)| {
            info.number("prog_type").is_some()
                && !groups.iter().flatten().any(|it| it == descriptor)
        };
        let alone = DescriptorInfo::all().filter(is_alone);
        let alone = alone.map(|(descriptor, _)| vec![descriptor]);
        Self {
            groups: groups.iter().cloned().chain(alone).collect(),
        }
    }

    /// All of them since the programs were loaded. Of programs that stand in for each other so many at most
    /// that none of them ran.
    pub fn count(&self) -> u64 {
        let misses =
            |descriptor: &RawFd| DescriptorInfo::of(*descriptor)?.number("recursion_misses");
        self.groups
            .iter()
            .filter_map(|group| group.iter().filter_map(misses).min())
            .sum()
    }
}
