//! What the host is asked directly. Takes and gives plain values. Never: keeps anything.

pub(crate) mod arguments;
pub mod clock;
pub(crate) mod credentials;
pub(crate) mod file_id;
pub(crate) mod files;
pub(crate) mod fs_rights;
pub(crate) mod openat;
pub(crate) mod procfs;
pub(crate) mod shortage;
pub(crate) mod usage;
pub(crate) mod worker;
