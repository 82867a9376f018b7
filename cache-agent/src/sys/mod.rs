//! What the host is asked directly. Takes and gives plain values. Never: keeps anything.

pub(crate) mod clock;
pub(crate) mod credentials;
pub(crate) mod usage;
