//! From bytes of the kernel to typed facts.
//!
//! Takes: the rings. Gives: [`Fact`](ring::Fact)s and [`Step`](lineage::Step)s. Never: waits, or keeps what it has read.

pub mod causes;
pub mod lineage;
pub mod ring;
