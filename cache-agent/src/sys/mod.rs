//! What no safe crate offers. Takes and gives plain values. Never: anything beyond one system call each.

pub(crate) mod credentials;
pub(crate) mod usage;
