//! The verbs, one file each.
//!
//! Takes: parsed arguments. Gives: text on stdout, a reason on failure.
//! Never: decides an exit status (`main` does, from [`exit`]).

pub mod args;
pub mod config;
pub mod exit;
pub mod log;
pub mod man;
pub mod run;
pub mod walk;
