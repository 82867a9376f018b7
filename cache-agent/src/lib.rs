//! The user side of the cache agent. The way of one event, from top to bottom, never back:
//! a hook of the kernel side credits it (`cache-ebpf`), `probe` owns the hooks and maps, `intake` types what
//! comes out, `ledger` adds it up and compares it with the disk, `process` and `invocation` say who it was,
//! `policy` decides, `snapshot` is the picture, `serve` shows it; `trace` is the same for one command.
//!
//! Invariants: the kernel side never knows a path; nobody but `probe` sees aya; nobody but `intake` and
//! `ledger` reads the ring; `policy` never touches a file; `serve` reads only `snapshot`.

// The generator of the benchmark names this crate as its users do, also where a unit test includes it.
#[cfg(test)]
extern crate self as cache_agent;

pub mod agent;
pub mod aggregate;
pub mod canary;
pub mod chronicle;
pub mod cli;
pub mod config;
pub mod discover;
pub mod intake;
pub mod invocation;
pub mod keeper;
pub mod ledger;
pub mod memory;
pub mod picture;
pub mod policy;
pub mod probe;
pub mod process;
pub mod roster;
pub mod serve;
pub mod snapshot;
pub mod store;
mod sys;
pub mod trace;
pub mod vantage;
