//! What a trace found out, for programs and for people.

pub(super) mod file;
pub mod invocations;
pub mod json;
pub mod table;
