//! The kernel side's counters by the names under which people see them.

use cache_ebpf::counter;

/// All counters, summed over the CPUs.
pub type Counters = [u64; counter::COUNT as usize];

/// A cause as people see it, and the counters that are summed up under its name.
pub type Cause = (&'static str, &'static [u32]);

/// Causes of loss.
pub const DROP_CAUSES: [Cause; 1] = [("ring_full", &[counter::DROPPED_RING_FULL])];

/// Faults of the kernel side.
pub const FAULT_CAUSES: [Cause; 9] = [
    ("read", &[counter::FAULT_READ]),
    ("accounts_full", &[counter::FAULT_ACCOUNTS_FULL]),
    ("processes_full", &[counter::FAULT_PROCESSES_FULL]),
    ("open_full", &[counter::FAULT_OPEN_FULL]),
    ("sizes_full", &[counter::FAULT_SIZES_FULL]),
    // Calls that are not followed, or not all they touch.
    (
        "pending_full",
        &[counter::FAULT_PENDING_FULL, counter::FAULT_TOUCHED_FULL],
    ),
    ("depth", &[counter::FAULT_DEPTH]),
    ("links", &[counter::FAULT_LINKS]),
    // Files that went unseen.
    ("stale", &[counter::FAULT_STALE, counter::FAULT_EVICTED]),
];

/// Faults that only a trace can have.
pub const TRACE_FAULT_CAUSES: [Cause; 1] = [("family_full", &[counter::FAULT_FAMILY_FULL])];

/// Counters by the names of `causes`.
pub fn named(causes: &[Cause], counters: &Counters) -> Vec<(&'static str, u64)> {
    let value = |slot: &u32| {
        usize::try_from(*slot)
            .ok()
            .and_then(|slot| counters.get(slot))
            .copied()
            .unwrap_or(0)
    };
    causes
        .iter()
        .map(|(name, slots)| (*name, slots.iter().map(value).sum()))
        .collect()
}
