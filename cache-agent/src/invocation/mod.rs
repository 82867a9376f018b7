//! Which command caused it.
//!
//! Takes: what is known of a process. Gives: its tool. Never: executes or trusts anything of it.

pub mod record;
pub mod tool;
