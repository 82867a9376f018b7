//! What the daemon needs of the kernel side besides the ledger's maps.
//!
//! [`Session`](super::session::Session) with its [`ProcessMaps`](super::process_maps::ProcessMaps) is the
//! kernel's own; a fake of both runs the daemon without one.

use std::os::fd::BorrowedFd;

use anyhow::Result;
use cache_ebpf::{ProcessKey, ancestry::Lookup};

use super::{coverage::Coverage, hooks::Backend, ledger_maps::LedgerMaps};
use crate::config::kernel_maps::Maps;

/// The kernel side as the daemon sees it.
pub trait KernelSide: LedgerMaps {
    /// What follows processes.
    type Processes: FollowsProcesses;

    /// The hooks in use.
    fn backend(&self) -> Backend;

    /// What they observe.
    fn coverage(&self) -> &Coverage;

    /// How many entries the maps can hold.
    fn capacities(&self) -> &Maps;

    /// Runs of programs that the kernel left out.
    fn missed_runs(&self) -> u64;

    /// This process as the kernel side names it.
    fn identify(&mut self) -> Result<ProcessKey>;

    /// Asks to be woken by the next event.
    fn sleep(&mut self) -> Result<()>;

    /// Readable when the ring wants to be looked at.
    fn events_fd(&self) -> BorrowedFd<'_>;
}

/// The maps that follow processes, as their observer sees them.
pub trait FollowsProcesses {
    /// From now on an exec of one of `tools` begins an invocation, of descendants named in `told` the
    /// environment is told too, and other names mean nothing any more.
    fn follow_tools<'a>(
        &mut self,
        tools: impl IntoIterator<Item = &'a str>,
        told: impl IntoIterator<Item = &'a str>,
    ) -> Result<()>;

    /// Follows a process that was there before the hooks, unless it is followed already.
    fn seed(
        &mut self,
        process: ProcessKey,
        invocation: ProcessKey,
        parent: ProcessKey,
    ) -> Result<()>;

    /// Hands over at most `limit` records of the ring; how many there were.
    fn drain(&mut self, limit: usize, each: impl FnMut(&[u8])) -> usize;

    /// Hands over the look-ups that found their entry; they came before what is handed over by `drain` from now on.
    fn drain_lookups(&mut self, each: impl FnMut(&Lookup));

    /// Readable when the ring wants to be looked at.
    fn events_fd(&self) -> BorrowedFd<'_>;

    /// Events and look-ups that found no room in their ring, and processes that found none in the map.
    fn lost(&self) -> Result<u64>;
}
