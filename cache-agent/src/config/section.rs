//! What the sections have in common.
//!
//! A section is a table of the file, or keys of its top level. Its `check` takes what one fragment says into the
//! section as the fragments before left it, `difference` names what a reload changes, and it is shown as it is
//! serialized.

use toml::Spanned;

use super::{
    error::{ConfigError, Problem},
    fragment::Fragment,
};

/// What differs in a section, by the names that the log uses.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Keys {
    names: Vec<&'static str>,
    needs_restart: bool,
}

impl Keys {
    /// Those whose values are not equal.
    pub(super) fn differing<const N: usize>(comparisons: [(&'static str, bool); N]) -> Self {
        let differing = comparisons.into_iter().filter(|(_, is_equal)| !is_equal);
        Self {
            names: differing.map(|(name, _)| name).collect(),
            needs_restart: false,
        }
    }

    /// They cannot change while the agent runs.
    pub(super) fn after_restart(self) -> Self {
        Self {
            needs_restart: !self.is_empty(),
            ..self
        }
    }

    /// True where nothing differs.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// True where something differs that takes effect at the next start only.
    pub fn needs_restart(&self) -> bool {
        self.needs_restart
    }

    /// What differs.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }
}

/// Checks values; problems get the place of their value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) fragment: Fragment<'a>,
}

impl Reader<'_> {
    pub(super) fn read<T, U, E: Into<Problem>>(
        self,
        key: &'static str,
        value: Option<Spanned<T>>,
        check: impl FnOnce(T) -> Result<U, E>,
    ) -> Result<Option<U>, ConfigError> {
        value
            .map(|value| self.require(key, value, check))
            .transpose()
    }

    pub(super) fn require<T, U, E: Into<Problem>>(
        self,
        key: &'static str,
        value: Spanned<T>,
        check: impl FnOnce(T) -> Result<U, E>,
    ) -> Result<U, ConfigError> {
        let place = self.fragment.place(&value.span());
        check(value.into_inner()).map_err(|problem| ConfigError::Value {
            key,
            place,
            problem: problem.into(),
        })
    }
}
