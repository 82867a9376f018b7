//! Names of the maps, as user space asks for them.

/// [`Root`](crate::Root) by address of the inode.
pub const ROOTS: &str = "ROOTS";
/// Number of roots by superblock.
pub const DEVICES: &str = "DEVICES";
/// [`Watched`](crate::Watched).
pub const WATCHED: &str = "WATCHED";
/// [`Verdict`](crate::Verdict) by directory.
pub const VERDICTS: &str = "VERDICTS";
/// Epoch of the verdicts, and the two below.
pub const EPOCH: &str = "EPOCH";
/// Slot of [`EPOCH`]: directories that crossed a border.
pub const EPOCH_CROSSED: u32 = 1;
/// Slot of [`EPOCH`]: those of them that user space has measured.
pub const EPOCH_MEASURED: u32 = 2;
/// [`OpenFile`](crate::OpenFile) by address of the inode.
pub const OPEN: &str = "OPEN";
/// [`Settled`](crate::Settled) by [`InodeKey`](crate::InodeKey).
pub const SIZES: &str = "SIZES";
/// [`Links`](crate::Links) by [`InodeKey`](crate::InodeKey).
pub const LINKS: &str = "LINKS";
/// [`Credit`](crate::Credit) by [`CreditKey`](crate::CreditKey).
pub const CREDITS: &str = "CREDITS";
/// [`Credit`](crate::Credit) by root.
pub const TOTALS: &str = "TOTALS";
/// [`Credit`](crate::Credit) by root: the part of `TOTALS` of which no event told.
pub const UNTOLD: &str = "UNTOLD";
/// [`Process`](crate::Process) by [`ProcessKey`](crate::ProcessKey).
pub const PROCESSES: &str = "PROCESSES";
/// Family of the traced command.
pub const FAMILY: &str = "FAMILY";
/// Calls under way.
pub const PENDING: &str = "PENDING";
/// Path of the first file such a call touched.
pub const PENDING_PATHS: &str = "PENDING_PATHS";
/// [`Crossing`](crate::Crossing) by root.
pub const CROSSINGS: &str = "CROSSINGS";
/// [`counter`](crate::counter) slots.
pub const COUNTERS: &str = "COUNTERS";
/// The ring of [`Event`](crate::Event)s.
pub const EVENTS: &str = "EVENTS";
/// Whether user space sleeps.
pub const ASLEEP: &str = "ASLEEP";
/// [`Reply`](crate::Reply) of the control program.
pub const REPLY: &str = "REPLY";
/// [`Tracked`](crate::ancestry::Tracked) by thread group id.
pub const TRACKED: &str = "TRACKED";
/// Bits `TOOL_*` by command name.
pub const TOOLS: &str = "TOOLS";
/// [`ancestry::counter`](crate::ancestry::counter) slots.
pub const LINEAGE_COUNTERS: &str = "LINEAGE_COUNTS";
/// The ring of [`ProcessEvent`](crate::ancestry::ProcessEvent)s.
pub const PROCESS_EVENTS: &str = "PROCESS_EVENTS";
/// The ring of [`Lookup`](crate::ancestry::Lookup)s.
pub const LOOKUPS: &str = "LOOKUPS";
