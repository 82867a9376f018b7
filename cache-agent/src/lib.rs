//! The user side of the cache agent, from the ground up: nobody imports from a line below his own.
//!
//! The way of one event: a hook of the kernel side credits it (`cache-ebpf`), `kernel` owns hooks and maps and types
//! what comes out, `ledger` adds it up and compares it with the disk, `process` and `invocation` say who it was,
//! `limits` decides, `snapshot` is the snapshot, `serve` shows it. `daemon` runs this loop; `trace` is the same for
//! one command.

// The generator of the benchmark names this crate as its users do, also where a unit test includes it.
#[cfg(test)]
extern crate self as cache_agent;

/// Verbs, arguments, exit statuses.
pub mod cli;
/// From the text of the configuration to checked values.
pub mod config;
/// The loop that ties these together.
pub mod daemon;
/// Which caches exist on this host.
pub mod discover;
/// What the go command does, in its own names.
pub mod go;
/// Which command caused it, which packages it built, and why.
pub mod invocation;
/// The kernel side: hooks, maps, events.
pub mod kernel;
/// The running account of every root, compared with the disk.
pub mod ledger;
/// What limits say of a reading.
pub mod limits;
/// The words that everybody uses; no I/O.
pub mod model;
/// What `/proc` tells of processes.
pub mod process;
/// The reference pages, compared with the code.
#[cfg(test)]
mod reference;
/// Metrics and health over HTTP.
pub mod serve;
/// The immutable snapshot that every reader gets.
pub mod snapshot;
/// The history, one SQLite file.
pub mod store;
/// What the host is asked directly.
pub mod sys;
/// The same for one command.
pub mod trace;
