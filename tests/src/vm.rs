//! What host and guest of a virtual machine tell each other.
//!
//! The host leaves a [`Plan`] in the initramfs; the guest's init answers with one [`Message`] per
//! line on its second serial port. This one file is compiled by both sides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the guest finds its plan.
pub const PLAN: &str = "/vm/plan.json";
/// Where the guest finds its modules, whose names sort in loading order.
pub const MODULES: &str = "/vm/modules";
/// Where the guest mounts its disks, each in a directory named after its serial number.
pub const DISKS: &str = "/disks";

/// What the guest has to do.
#[derive(Debug, Deserialize, Serialize)]
pub struct Plan {
    pub disks: Vec<Disk>,
    /// Variables of every command and test.
    pub environment: BTreeMap<String, String>,
    pub work: Work,
}

/// A disk to mount.
#[derive(Debug, Deserialize, Serialize)]
pub struct Disk {
    pub serial: String,
    /// Type of its file system.
    pub kind: String,
    /// Mount options.
    pub options: String,
}

/// One of two kinds of work.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// This, by a shell; its output comes back as it is.
    Command(String),
    /// These, one after the other.
    Tests {
        suites: Vec<Suite>,
        /// A test that takes longer is killed.
        limit_s: u64,
    },
}

/// A test executable and what is chosen of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Suite {
    pub name: String,
    /// In the guest.
    pub executable: String,
    /// What the agents of its tests are told to use.
    pub backend: String,
    /// Parts of names, one of each list in every test that is chosen; any name will do for an empty
    /// list.
    pub filters: Vec<Vec<String>>,
}

/// What the guest tells.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Everything is mounted and the work begins, on a kernel of that release.
    Ready(String),
    /// Part of the command's output.
    Output(String),
    /// A test begins.
    Begins {
        suite: String,
        backend: String,
        test: String,
    },
    /// A test ended.
    Test(Tested),
    /// All is done; how often something failed.
    Done { failures: u64 },
    /// The guest could not do its work.
    Broken(String),
}

/// A test that ended.
#[derive(Debug, Deserialize, Serialize)]
pub struct Tested {
    pub suite: String,
    /// The backend asked for.
    pub backend: String,
    pub test: String,
    pub outcome: Outcome,
    pub seconds: f64,
    /// The end of what it printed; empty if it passed.
    pub output: String,
    /// Parts of it that could not run: suite, test and reason, with tabs between.
    pub skips: Vec<String>,
    /// What it noted about single operations, as JSON.
    pub verdicts: Vec<String>,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Passed,
    Failed,
    /// It was killed after its limit.
    Hung,
}
