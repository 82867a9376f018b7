//! What is said of a root: its kind and its state.

use std::{fmt, str::FromStr};

/// What kind of cache a root is.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RootKind {
    /// `GOCACHE`.
    GoBuild,
    /// `GOMODCACHE`.
    GoMod,
    /// Any other directory.
    #[default]
    Other,
}

impl RootKind {
    /// The word used in the configuration, in reports and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GoBuild => "gobuild",
            Self::GoMod => "gomod",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for RootKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// No kind has this name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownKind(pub String);

impl FromStr for RootKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let kinds = [Self::GoBuild, Self::GoMod, Self::Other];
        kinds
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// Why a root is, or is not, watched at this moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RootState {
    /// The directory does not exist (yet, or any more).
    #[default]
    Absent,
    /// Registered with the kernel, first walk not finished.
    Walking,
    /// Watched, its size known.
    Watched,
}
