//! The words: what the rest of the agent talks about.
//!
//! Never: I/O, or an import of ours but the contract of `cache-ebpf`.

pub mod built;
pub mod changes;
pub mod compiled;
pub mod exit_status;
pub mod format;
pub mod invocation;
pub mod mask;
pub mod operation;
pub mod printable;
pub mod process;
pub mod root;
pub mod root_name;
pub mod tool_group;
