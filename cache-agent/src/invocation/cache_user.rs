//! Who uses a cache, in few words.

use std::fmt;

use super::running::Live;
use crate::model::printable::printable;

/// Characters of a command line shown.
const COMMAND_WIDTH: usize = 60;

/// A go command, and the tool that started it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CacheUser {
    /// Id of its invocation.
    pub invocation: String,
    /// Its arguments, masked.
    pub command: String,
    /// Name of the tool that started it, if one did.
    pub parent: Option<String>,
}

impl CacheUser {
    pub(super) fn of(live: &Live, parent: Option<&Live>) -> Self {
        let argv = live.record.argv.join(" ");
        Self {
            invocation: live.record.id.clone(),
            command: argv.chars().take(COMMAND_WIDTH).collect(),
            parent: parent.map(|parent| parent.record.tool.clone()),
        }
    }
}

impl fmt::Display for CacheUser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`", printable(self.command.as_bytes()))?;
        match &self.parent {
            Some(parent) => write!(formatter, " ({})", printable(parent.as_bytes())),
            None => Ok(()),
        }
    }
}
