//! The kernel side as user space sees it.
//!
//! Takes: the embedded object, the running kernel's types. Gives: a [`Session`](session::Session) with
//! attached hooks and typed maps. Never: lets anybody else see aya.

mod attach;
pub mod backend;
pub mod btf;
pub mod coverage;
pub mod detach;
pub mod lineage;
mod loading;
pub mod missed;
pub mod offsets;
pub mod privilege;
pub mod session;
pub mod tables;
pub mod tracefs;
mod trampolines;
