//! System tests: the real agent against the real kernel and real Go toolchains.
//!
//! A test makes a [`env::Bench`], lets the agent trace the program `actor` or a Go toolchain on it,
//! and compares the report with what it knows itself: the table of [`cases`] and its own walk of
//! the disk ([`tree`]). `cargo xtask test` runs them and sets the variables read in [`env`].

pub mod actor;
pub mod agent;
pub mod cases;
pub mod conformance;
pub mod daemon;
pub mod env;
pub mod file_system;
pub mod go;
pub mod identities;
pub mod report;
pub mod scrape;
pub mod sequence;
pub mod tree;
pub mod unit;
pub mod vm;
pub mod wait;
pub mod workshop;
