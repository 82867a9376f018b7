//! Operations on files, and how well the hooks in use observe them.

/// How well an operation is observed by the present backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Observation {
    /// Counted and credited to the process that did it.
    Observed,
    /// The root's total is right after the next walk; nobody is credited.
    Unattributed,
}

impl Observation {
    /// The word used in JSON, metrics and the README.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Unattributed => "unattributed",
        }
    }
}
