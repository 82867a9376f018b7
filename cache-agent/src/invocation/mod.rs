//! Which command caused it, which packages it built, and why.
//!
//! Takes: steps of processes, facts of files, accounts. Gives: records of invocations and their packages.
//! Never: executes or trusts anything of an observed process, or keeps more of its environment than the
//! allow-list.

mod cache_user;
pub mod cause;
pub mod counts;
mod kinds;
mod lookups;
pub mod observer;
pub mod package;
pub mod running;
mod shell_status;
mod sums;
pub mod tracker;
