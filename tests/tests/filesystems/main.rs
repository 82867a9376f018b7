//! The whole table of conformance on every file system that the machine has, and what only some of
//! them do: copies that share blocks, limits that make writes fail, mounts that show a root elsewhere.
//!
//! One run of the agent covers the table on one file system.

mod limits;
mod overlay;
mod places;
mod subvolumes;

use anyhow::Result;
use cache_tests::{
    cases::CASES,
    conformance::conforms,
    env::{self, FileSystem},
};

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");
const SUITE: &str = "filesystems";

/// Runs `check` on that file system, or notes that there is none.
fn on(
    file_system: FileSystem,
    test: &str,
    check: impl FnOnce(FileSystem) -> Result<()>,
) -> Result<()> {
    match file_system.missing()? {
        Some(reason) => env::skip(SUITE, test, &reason),
        None => check(file_system),
    }
}

/// Every operation of the table that the file system can do.
fn table(file_system: FileSystem) -> Result<()> {
    let able = CASES.iter().filter(|case| case.is_for(file_system));
    let names: Vec<&str> = able.map(|case| case.name).collect();
    conforms(ACTOR, &names, file_system)
}

/// A module per file system.
macro_rules! file_systems {
    ($($module:ident $name:ident;)+) => {
        $(mod $module {
            use anyhow::Result;
            use cache_tests::env::FileSystem;

            #[test]
            fn table() -> Result<()> {
                let test = concat!(stringify!($module), "::table");
                super::on(FileSystem::$name, test, super::table)
            }

            #[test]
            fn other_places() -> Result<()> {
                let test = concat!(stringify!($module), "::other_places");
                super::on(FileSystem::$name, test, super::places::other_places)
            }
        })+
    };
}

file_systems! {
    ext4 Ext4;
    xfs Xfs;
    btrfs Btrfs;
    tmpfs Tmpfs;
    overlay_upper OverlayUpper;
    overlay_merged OverlayMerged;
}
