//! Which caches exist on this host, or may appear.
//!
//! Takes: an environment, `passwd`, the go command's own settings files. Gives: [`host::Candidate`]s.
//! Never: runs a program, follows a user's link out of his home, reads more than [`files::MAX_BYTES`] of his files.

pub mod host;
pub mod passwd;
