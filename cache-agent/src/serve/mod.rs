//! What the outside world gets to see.
//!
//! Takes: the snapshot. Gives: metrics and health over HTTP.
//! Never: anything but the snapshot, and never a path, a process or a build in a label.

mod connections;
pub mod hosts;
pub mod http;
pub mod metrics;
mod page;
