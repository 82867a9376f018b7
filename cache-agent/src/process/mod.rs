//! Who.
//!
//! Takes: /proc. Gives: what processes had open before the hooks came, and what the kernel side cannot tell of
//! one: working directory, module, version, container. Never: follows a path out of it with rights that the
//! process does not have.

pub mod build_info;
pub mod cgroup;
pub mod ci;
pub mod go_env;
pub mod go_mod;
pub mod namespaces;
pub mod open_files;
mod rights;
pub mod scout;
pub mod seed;
pub mod workplace;
