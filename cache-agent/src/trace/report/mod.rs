//! What a trace found out, for programs and for people.

pub mod invocations;
pub mod json;
pub mod table;
