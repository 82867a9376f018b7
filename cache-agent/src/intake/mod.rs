//! From bytes of the kernel to typed facts.
//!
//! Takes: the ring. Gives: [`Fact`](ring::Fact)s. Never: waits, or keeps what it has read.

pub mod causes;
pub mod ring;
