//! What the go command does, in its own names: where its caches are, how it names entries, what its children are told.
//!
//! Takes: arguments, environments, files' content. Gives: settings, action ids, packages, modules.
//! Never: runs it.

pub mod action_id;
pub mod archive;
pub mod build_info;
pub mod child_args;
pub mod compile_flags;
pub mod env;
pub mod fingerprint;
pub mod go_mod;
pub mod module_path;
pub mod package_index;
pub mod pinned;
pub mod recognise;
pub mod script;
pub mod tools;
pub mod variables;
