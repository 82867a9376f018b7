//! One command, accounted for: `cache-agent trace`.
//!
//! Takes: a command line, the ledger. Gives: the command's own exit status, a report. Never: touches what
//! the command reads or writes.

pub mod command;
pub mod elsewhere;
pub mod events;
mod found;
pub mod history;
pub mod options;
pub mod report;
pub mod roots;
mod run;
pub mod user;
pub mod watched;

pub use self::run::run;
