//! Set-up, build, tests and checks of the cache agent, and what its benchmarks share with them.

pub mod build;
pub mod check;
pub mod command;
pub mod docs;
pub mod paths;
pub mod run;
pub mod setup;
pub mod test;
pub mod tidy;
pub mod vm;
