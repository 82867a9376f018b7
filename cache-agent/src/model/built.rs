//! Why an invocation compiled what it compiled, package by package, as the history keeps it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Packages that an invocation compiled for the same reasons.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Built {
    /// What differed, the first input first; never empty.
    pub reasons: Vec<Reason>,
    /// Id of the invocation that compiled them before; `None` where none is known.
    pub against: Option<String>,
    /// How they were compiled.
    pub how: How,
    /// Their import paths with test variants, sorted.
    pub packages: Vec<String>,
}

/// One reason.
#[derive(Clone, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Reason {
    /// `settings:NAME`, or one of a closed list.
    pub kind: String,
    /// What there is to say beside the packages; of settings both values, masked.
    pub detail: String,
}

impl Reason {
    pub(crate) fn new(kind: &str, detail: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            detail: detail.to_owned(),
        }
    }
}

/// What decides which settings are inputs of a package.
#[derive(Clone, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of one package that do not depend on each other"
)]
pub struct How {
    /// It is of the standard library.
    pub is_standard: bool,
    /// It has sources in C.
    pub is_cgo: bool,
    /// A program is linked of it.
    pub is_main: bool,
    /// Its sources are of a module's version, which cannot change.
    pub is_pinned: bool,
    /// Names of the compiler's flags.
    pub flags: BTreeSet<String>,
}
