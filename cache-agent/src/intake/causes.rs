//! The kernel side's counters by the names under which people see them.

use cache_ebpf::counter;

/// All counters, summed over the CPUs.
pub type Counters = [u64; counter::COUNT as usize];

/// Names of the causes of loss, by counter.
pub const DROP_CAUSES: [(&str, u32); 1] = [("ring_full", counter::DROPPED_RING_FULL)];

/// Names of the kernel side's faults, by counter.
pub const FAULT_CAUSES: [(&str, u32); 12] = [
    ("read", counter::FAULT_READ),
    ("accounts_full", counter::FAULT_ACCOUNTS_FULL),
    ("processes_full", counter::FAULT_PROCESSES_FULL),
    ("open_full", counter::FAULT_OPEN_FULL),
    ("sizes_full", counter::FAULT_SIZES_FULL),
    ("pending_full", counter::FAULT_PENDING_FULL),
    ("touched_full", counter::FAULT_TOUCHED_FULL),
    ("depth", counter::FAULT_DEPTH),
    ("links", counter::FAULT_LINKS),
    ("stale", counter::FAULT_STALE),
    ("evicted", counter::FAULT_EVICTED),
    ("family_full", counter::FAULT_FAMILY_FULL),
];

/// Counters by the names of `causes`.
pub fn named(causes: &[(&'static str, u32)], counters: &Counters) -> Vec<(&'static str, u64)> {
    let value = |slot: u32| {
        usize::try_from(slot)
            .ok()
            .and_then(|slot| counters.get(slot))
            .copied()
            .unwrap_or(0)
    };
    causes
        .iter()
        .map(|(name, slot)| (*name, value(*slot)))
        .collect()
}
