//! All maps and their sizes. User space may change them at load, by the same names.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
use cache_ebpf::{
    Credit, CreditKey, Crossing, Event, InodeKey, Links, OpenFile, PATH_BYTES, Pending, Process,
    ProcessKey, ROOTS_MAX, Reply, Root, Settled, Verdict, Watched,
    ancestry::{
        self, EVENT_ARGV_BYTES, EVENT_ENV_BYTES, LOOKUP_RING_BYTES, Lookup, ProcessEvent,
        TOOLS_MAX, TRACKED_MAX, Tracked,
    },
    capacity, counter,
};

/// Entries are allocated as they are needed: until then a bound costs 16 bytes an entry, the bucket table.
const ON_DEMAND: usize = BPF_F_NO_PREALLOC as usize;

/// The roots, by the identity of their directory.
#[btf_map]
pub(crate) static ROOTS: HashMap<u64, Root, { ROOTS_MAX as usize }, ON_DEMAND> = HashMap::new();

/// Slot 0: superblocks that hold a root.
#[btf_map]
pub(crate) static WATCHED: Array<Watched, 1> = Array::new();

/// All of them, with the number of roots.
#[btf_map]
pub(crate) static DEVICES: HashMap<u64, u32, { ROOTS_MAX as usize }, ON_DEMAND> = HashMap::new();

/// Memoised verdicts per directory. LRU: losing one costs a walk, never a figure.
#[btf_map]
pub(crate) static VERDICTS: LruHashMap<u64, Verdict, 16_384> = LruHashMap::new();

/// Slot 0: older verdicts are void; slots 1 and 2: directories that crossed a border, and how many of them user
/// space has measured.
#[btf_map]
pub(crate) static EPOCH: Array<u64, 3> = Array::new();

/// Files open for write.
#[btf_map]
pub(crate) static OPEN: HashMap<u64, OpenFile, { capacity::OPEN }, ON_DEMAND> = HashMap::new();

/// Who opened a file description that is not the only one to write its file, by its address.
#[btf_map]
pub(crate) static OPENERS: HashMap<u64, ProcessKey, { capacity::OPEN }, ON_DEMAND> = HashMap::new();

/// Sizes of files that are not followed.
#[btf_map]
pub(crate) static SIZES: HashMap<InodeKey, Settled, { capacity::SIZES }, ON_DEMAND> =
    HashMap::new();

/// Multiply linked files with at least one name in a root.
#[btf_map]
pub(crate) static LINKS: HashMap<InodeKey, Links, 65_536, ON_DEMAND> = HashMap::new();

/// Accounts per process and root.
#[btf_map]
pub(crate) static CREDITS: HashMap<CreditKey, Credit, { capacity::CREDITS }, ON_DEMAND> =
    HashMap::new();

/// Accounts per root: the identity every other figure is checked against.
#[btf_map]
pub(crate) static TOTALS: Array<Credit, { ROOTS_MAX as usize }> = Array::new();

/// The part of the totals of which no event told: what the events told plus this is the total.
#[btf_map]
pub(crate) static UNTOLD: Array<Credit, { ROOTS_MAX as usize }> = Array::new();

/// Who the processes with an account are.
#[btf_map]
pub(crate) static PROCESSES: HashMap<ProcessKey, Process, { capacity::PROCESSES }, ON_DEMAND> =
    HashMap::new();

/// Thread group ids that descend from the traced command.
#[btf_map]
pub(crate) static FAMILY: HashMap<u32, u64, 131_072, ON_DEMAND> = HashMap::new();

/// Name- and size-changing system calls under way, by thread.
#[btf_map]
pub(crate) static PENDING: HashMap<u64, Pending, { capacity::CALLS }, ON_DEMAND> = HashMap::new();

/// Path of the first file such a call touched: after the call its name is gone.
#[btf_map]
pub(crate) static PENDING_PATHS: HashMap<u64, [u8; PATH_BYTES], { capacity::CALLS }, ON_DEMAND> =
    HashMap::new();

/// Border crossings of directories, by root.
#[btf_map]
pub(crate) static CROSSINGS: HashMap<u32, Crossing, { ROOTS_MAX as usize }, ON_DEMAND> =
    HashMap::new();

/// Counters of `counter`.
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<u64, { counter::COUNT as usize }> = PerCpuArray::new();

/// Detail events.
#[btf_map]
pub(crate) static EVENTS: RingBuf<Event, { capacity::RING_BYTES }> = RingBuf::new();

/// Slot 0: 1 while user space sleeps and wants to be woken by the next event.
#[btf_map]
pub(crate) static ASLEEP: Array<u64, 1> = Array::new();

/// Answer of the control program.
#[btf_map]
pub(crate) static REPLY: Array<Reply, 1> = Array::new();

/// An event and its path while it is put together: too large for the stack.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Draft {
    pub event: Event,
    pub path: [u8; PATH_BYTES * 2],
    /// Not 0: in use.
    pub busy: u64,
}

/// Drafts per CPU: where the kernel may preempt a hook, others begin theirs before it goes on.
pub(crate) const DRAFTS: u32 = 4;

#[btf_map]
pub(crate) static DRAFT: PerCpuArray<Draft, { DRAFTS as usize }> = PerCpuArray::new();

/// Always zero: what large values start from, as they do not fit the stack.
#[btf_map]
pub(crate) static BLANK_PENDING: Array<Pending, 1> = Array::new();

/// The same for accounts.
#[btf_map]
pub(crate) static BLANK_CREDIT: Array<Credit, 1> = Array::new();

/// A process' identity while it is put together.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct DraftProcess {
    pub process: Process,
    /// Not 0: in use.
    pub busy: u64,
}

#[btf_map]
pub(crate) static DRAFT_PROCESS: PerCpuArray<DraftProcess, { DRAFTS as usize }> =
    PerCpuArray::new();

/// Processes that descend from a tool, by thread group id.
#[btf_map]
pub(crate) static TRACKED: HashMap<u32, Tracked, TRACKED_MAX, ON_DEMAND> = HashMap::new();

/// Command names of tools.
#[btf_map]
pub(crate) static TOOLS: HashMap<[u8; 16], u32, TOOLS_MAX, ON_DEMAND> = HashMap::new();

/// Process events: a ring of their own, so that a storm of forks costs the ledger no detail.
#[btf_map]
pub(crate) static PROCESS_EVENTS: RingBuf<ProcessEvent, 1_048_576> = RingBuf::new();

/// Look-ups that found their entry, by name. A ring of their own too: lost names cost no process event.
#[btf_map]
pub(crate) static LOOKUPS: RingBuf<Lookup, LOOKUP_RING_BYTES> = RingBuf::new();

/// Counters of `ancestry::counter`.
#[btf_map]
pub(crate) static LINEAGE_COUNTS: PerCpuArray<u64, { ancestry::counter::COUNT as usize }> =
    PerCpuArray::new();

/// A process event and its strings while it is put together.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct DraftLineage {
    pub event: ProcessEvent,
    pub text: [u8; EVENT_ARGV_BYTES + EVENT_ENV_BYTES],
}

/// One draft per CPU: tracepoints run with preemption off.
#[btf_map]
pub(crate) static DRAFT_LINEAGE: PerCpuArray<DraftLineage, 1> = PerCpuArray::new();
