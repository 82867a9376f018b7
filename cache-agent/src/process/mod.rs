//! Who.
//!
//! Takes: /proc. Gives: what processes had open before the hooks came. Never: follows a path out of it.

pub mod open_files;
