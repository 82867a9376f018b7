//! What only overlays do: a file of the lower directory is copied up when it is opened for write.

use std::{ffi::OsString, fs};

use anyhow::Result;
use cache_tests::{
    conformance,
    env::{Bench, FileSystem},
    file_system::Mounted,
};

use super::{ACTOR, on};

/// Where the lower directory's file comes to count when it is changed, and the change of the root.
fn copied_up(file_system: FileSystem) -> Result<()> {
    let bench = Bench::new("copy-up", FileSystem::Native)?;
    let [lower, upper, work, merged] =
        ["lower", "upper", "work", "merged"].map(|name| bench.base().join(name));
    for directory in [&lower, &upper, &work, &merged] {
        fs::create_dir(directory)?;
    }
    fs::write(lower.join("file"), [b'l'; 5000])?;
    let _mounted = Mounted::overlay(&lower, &upper, &work, &merged)?;
    // Seen in the merged directory only the appended bytes are new; in the upper one all are.
    let (root, growth) = if file_system == FileSystem::OverlayUpper {
        (upper, 5777)
    } else {
        (merged.clone(), 777)
    };
    let words: [OsString; 3] = ["append".into(), "777".into(), merged.join("file").into()];
    let traced = bench.trace_without_root()?.root(root).run(ACTOR, words)?;
    let report = traced.report()?;
    let mut found = traced.differences()?;
    let seen = file_system == FileSystem::OverlayMerged || report.backend == "fentry";
    let credited = report.command_bytes();
    if seen {
        found.extend(traced.corrections()?);
        if credited != growth {
            found.push(format!(
                "the command has {credited} B instead of {growth} B"
            ));
        }
    } else if credited + report.unattributed_bytes() != growth {
        found.push(format!("not {growth} B in all"));
    }
    conformance::note(report, file_system, "copy_up", found.is_empty(), seen)?;
    conformance::nothing(&found, &traced)
}

#[test]
fn copied_up_into_a_root() -> Result<()> {
    on(FileSystem::OverlayUpper, "copied_up_into_a_root", copied_up)
}

#[test]
fn copied_up_in_a_merged_root() -> Result<()> {
    on(
        FileSystem::OverlayMerged,
        "copied_up_in_a_merged_root",
        copied_up,
    )
}
