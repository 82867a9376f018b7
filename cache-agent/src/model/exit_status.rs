//! The exit statuses of the program; `--help` documents the same numbers.
//!
//! Wrong usage ends with 2, which is clap's own.

/// The verb could not do its work; one sentence on stderr says why.
pub const FAILURE: u8 = 1;
/// `trace`: the agent itself failed, whatever became of the command.
pub const TRACE_FAILURE: u8 = 125;
/// `trace`: the command was found but could not be executed.
pub const COMMAND_NOT_EXECUTABLE: u8 = 126;
/// `trace`: the command was not found.
pub const COMMAND_NOT_FOUND: u8 = 127;
/// `trace`: added to the number of the signal that ended the command.
pub const SIGNAL_BASE: u8 = 128;
