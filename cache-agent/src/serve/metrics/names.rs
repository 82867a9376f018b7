//! The only place that spells a metric name.
//!
//! Help texts are the reference documentation: they say what is counted, and since when.

use prometheus::proto::MetricType;

/// One metric.
#[derive(Debug)]
pub struct Name {
    /// As exported.
    pub name: &'static str,
    /// What it tells.
    pub help: &'static str,
    /// How it behaves.
    pub kind: MetricType,
}

macro_rules! names {
    ($($constant:ident = $kind:ident $name:literal $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $constant: Name = Name { name: $name, help: $help, kind: MetricType::$kind };
        )+

        /// All metrics, in the order in which they are exported.
        #[cfg(test)]
        pub(super) const ALL: &[&Name] = &[$(&$constant),+];
    };
}

names! {
    SIZE = GAUGE "go_cache_size_bytes" "Apparent size of the regular files of the root, hard links counted once.";
    DISK = GAUGE "go_cache_disk_bytes" "Space allocated to the root when it was last walked.";
    FILES = GAUGE "go_cache_files" "Regular files of the root.";
    GROWTH = COUNTER "go_cache_growth_bytes_total" "Bytes that entered the root since the agent took it up.";
    FREED = COUNTER "go_cache_freed_bytes_total" "Bytes released in the root by unlink, truncation or replacement since the agent took it up.";
    CREATED = COUNTER "go_cache_files_created_total" "Files that appeared in the root since the agent took it up, those moved in included.";
    DELETED = COUNTER "go_cache_files_deleted_total" "Files that left the root since the agent took it up, those moved out included.";
    RENAMED = COUNTER "go_cache_files_renamed_total" "Files renamed inside any root.";
    GROUP_GROWTH = COUNTER "go_cache_group_growth_bytes_total" "Bytes that entered any root, by the tool that caused it.";
    INVOCATIONS = COUNTER "go_cache_invocations_total" "Runs of build tools that ended since the agent started.";
    INVOCATION_GROWTH = HISTOGRAM "go_cache_invocation_growth_bytes" "Bytes by which a run of a build tool made caches grow, nested runs not included.";
    LOOKUPS = COUNTER "go_cache_lookups_total" "Look-ups in build caches by runs that ended: entries found, and entries created because they were not.";
    LOOKUP_HITS = COUNTER "go_cache_lookup_hits_total" "Look-ups that found their entry; over all look-ups, the hit ratio.";
    LIMIT = GAUGE "go_cache_limit_bytes" "Configured size limit of the root.";
    LIMIT_CROSSED = GAUGE "go_cache_limit_crossed" "1 while the size limit of the root is crossed, else 0.";
    FS_LIMIT_CROSSED = GAUGE "go_cache_fs_limit_crossed_roots" "Roots whose file system is below the configured share of free space or inodes.";
    LIMIT_CROSSINGS = COUNTER "go_cache_limit_crossings_total" "Times that any root crossed a limit.";
    FS_AVAIL = GAUGE "go_cache_fs_avail_bytes" "Bytes available to unprivileged users on the file system of the root.";
    FS_INODES_USED = GAUGE "go_cache_fs_inodes_used_ratio" "Used share of the inodes of the file system of the root, 0 where it has no fixed number.";
    DRIFT = GAUGE "go_cache_drift_bytes" "Ledger minus disk at the last walk of the root, before correction.";
    EVENT_LATENCY = HISTOGRAM "go_cache_event_latency_seconds" "Time from a change in the kernel to its appearance in what readers get.";
    READY = GAUGE "go_cache_agent_ready" "1 when the hooks are attached and every existing root was walked once, else 0.";
    DEGRADED = GAUGE "go_cache_agent_degraded" "Why the agent is degraded: sentences of /readyz, by what they come from; all 0 when it is whole.";
    CANARY = GAUGE "go_cache_agent_canary_timestamp_seconds" "When the canary last proved the agent's own figures right, to the byte; 0 if it has not.";
    BUILD_INFO = GAUGE "go_cache_agent_build_info" "Always 1; version of the agent and kernel hooks in use are in the labels.";
    COVERAGE = GAUGE "go_cache_agent_coverage_operations" "Kinds of file operations by how well the hooks in use observe them; the start page lists them.";
    ROOTS_ABSENT = GAUGE "go_cache_agent_roots_absent" "Roots whose directory does not exist at the moment.";
    EVENT_HITS = COUNTER "go_cache_agent_events_hits_total" "Ledger operations seen by the hooks under a root.";
    EVENTS_DELIVERED = COUNTER "go_cache_agent_events_delivered_total" "Detail events that reached the agent.";
    EVENTS_DROPPED = COUNTER "go_cache_agent_events_dropped_total" "Detail events lost; totals are not affected.";
    PROCESS_EVENTS_DROPPED = COUNTER "go_cache_agent_process_events_dropped_total" "Forks, execs and exits lost: runs of tools and packages may be incomplete; totals are not affected.";
    FAULTS = COUNTER "go_cache_agent_faults_total" "Faults on the kernel side that may have cost precision.";
    MAP_ENTRIES = GAUGE "go_cache_agent_map_entries" "Entries in use of a kernel map, or of those that share map=\"other\".";
    MAP_CAPACITY = GAUGE "go_cache_agent_map_capacity" "Entries that a kernel map can hold, or those that share map=\"other\".";
    PROCESSES_FOLDED = COUNTER "go_cache_agent_processes_folded_total" "Processes whose account was folded into their group.";
    WALK_DURATION = GAUGE "go_cache_agent_walk_duration_seconds" "Longest of the last walks of all roots.";
    HISTORY_LOST = COUNTER "go_cache_agent_history_lost_records_total" "Records that the history lacks: too many were waiting, or writing failed.";
    HISTORY_SET_ASIDE = COUNTER "go_cache_agent_history_set_aside_total" "Databases of the history set aside because they were damaged or could not grow.";
    CPU = COUNTER "go_cache_agent_cpu_seconds_total" "User and system time of the agent.";
    RESIDENT = GAUGE "go_cache_agent_resident_memory_bytes" "Resident memory of the agent.";
    KERNEL_MAPS = GAUGE "go_cache_agent_kernel_map_bytes" "Kernel memory of the agent's maps.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let mut seen = HashSet::new();
        for Name { name, help, kind } in ALL {
            assert!(seen.insert(name), "{name} twice");
            assert!(
                name.starts_with("go_cache_") && help.ends_with('.'),
                "{name}"
            );
            assert_eq!(
                name.ends_with("_total"),
                *kind == MetricType::COUNTER,
                "{name}"
            );
        }
    }
}
