//! What to do about a root, decided from values alone.
//!
//! Takes: configuration, earlier state, present readings. Gives: new state and events.
//! Never: touches a file, asks for the time, or acts.

pub mod thresholds;
