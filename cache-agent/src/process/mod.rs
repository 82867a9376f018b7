//! What `/proc` tells of processes.
//!
//! Takes: /proc. Gives: which tools ran before the hooks came, and what the kernel side cannot tell of
//! one: working directory, module, version, container. Never: follows a path out of it with rights that the
//! process does not have.

pub mod caches_in_use;
pub mod cgroup;
pub mod ci;
pub mod inspector;
pub mod namespaces;
pub mod running_tools;
pub mod sudo;
mod vanished;
pub mod working_directory;
