//! Random sequences of changes, as the tests choose them and the actor performs them.

use serde::{Deserialize, Serialize};

/// One change by one of several processes, none of which begins before the one before has ended.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Step {
    pub process: usize,
    pub act: Act,
    /// Choose among the files and directories that there are.
    pub which: [usize; 2],
    pub bytes: u64,
}

/// Changes of files and directories inside a root, outside it, and from one to the other.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Act {
    MakeDirectory,
    Create,
    Append,
    /// By its name.
    Truncate,
    Unlink,
    MoveFile,
    /// A file takes the name of another, which goes.
    Replace,
    ExchangeFiles,
    MoveDirectory,
    ExchangeDirectories,
    RemoveTree,
    /// Written, moved and written again while it is open.
    MoveOpenFile,
}
