//! The running account: who changed the size of which root by how much.
//!
//! Takes: totals and events from `intake`, walks of the disk. Gives: accounts per process and root, and
//! sizes. Never: a figure that rides on the event stream alone.

pub mod account;
pub mod book;
pub mod cut;
pub mod place;
pub mod root;
pub mod walk;
