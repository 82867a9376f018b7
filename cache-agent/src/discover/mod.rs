//! Which caches exist on this host, or may appear.
//!
//! Takes: an environment, `passwd`, the go command's own settings files. Gives: [`FoundRoot`]s.
//! Never: runs a program, follows a user's link out of his home, reads more than [`files::MAX_BYTES`] of his files.

pub mod host;
pub mod passwd;

use std::path::PathBuf;

use crate::model::root::RootKind;

/// A cache root that exists or may appear.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FoundRoot {
    /// Absolute path, cleaned as the go command cleans it.
    pub path: PathBuf,
    /// What a go command uses it for.
    pub kind: RootKind,
}

/// Why a variable of the go command names no root.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoRoot {
    /// `GOCACHE=off`, or no home to put the default into.
    #[error("{variable} is off")]
    Off {
        /// `GOCACHE` or `GOMODCACHE`.
        variable: &'static str,
    },
    /// A path that depends on the working directory: the go command refuses it.
    #[error("{variable} is not an absolute path: {}", path.display())]
    Relative {
        /// `GOCACHE` or `GOMODCACHE`.
        variable: &'static str,
        /// As it would be used.
        path: PathBuf,
    },
    /// Neither the variable nor what its default depends on is set.
    #[error("{variable} is not set and has no default without {needs}")]
    NoDefault {
        /// `GOCACHE` or `GOMODCACHE`.
        variable: &'static str,
        /// The variables that would give a default.
        needs: &'static str,
    },
}
