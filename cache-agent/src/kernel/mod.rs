//! The kernel side as user space sees it.
//!
//! Takes: the embedded object, the running kernel's types. Gives: a [`Session`](session::Session) with
//! attached hooks and typed maps. Never: lets anybody else see aya.

mod attach;
pub mod btf;
pub mod counters;
pub mod coverage;
pub mod detach;
#[cfg(test)]
pub(crate) mod fake;
pub mod file_events;
pub mod hooks;
pub mod kernel_side;
pub mod ledger_maps;
mod loading;
pub mod maps;
pub mod missed_runs;
pub mod offsets;
pub mod privilege;
pub mod process_events;
pub mod process_maps;
pub mod session;
pub mod tracefs;
mod trampolines;
