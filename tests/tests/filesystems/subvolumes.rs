//! Subvolumes of btrfs: they share a kernel device and repeat inode numbers.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use cache_tests::{
    env::{Bench, FileSystem},
    file_system::{make_snapshot, make_subvolume},
};

use super::{ACTOR, on};

/// Inode numbers begin anew in each: what happens in the other one must not count.
#[test]
fn the_same_inode_number_in_another_subvolume() -> Result<()> {
    let test = "the_same_inode_number_in_another_subvolume";
    on(FileSystem::Btrfs, test, |file_system| {
        apart(file_system, |watched, other| {
            for subvolume in [watched, other] {
                make_subvolume(subvolume)?;
                fs::write(subvolume.join("file"), [b's'; 1000])?;
            }
            Ok(())
        })
    })
}

/// A snapshot has the inodes of its original, generation and all.
#[test]
fn the_same_inode_in_a_snapshot() -> Result<()> {
    on(
        FileSystem::Btrfs,
        "the_same_inode_in_a_snapshot",
        |file_system| {
            apart(file_system, |watched, other| {
                make_subvolume(watched)?;
                fs::write(watched.join("file"), [b's'; 1000])?;
                // On the disk before it is copied.
                File::open(watched.join("file"))?.sync_all()?;
                make_snapshot(watched, other)
            })
        },
    )
}

/// Like a mount, it is no part of the directory that it is in, whether made or moved there.
#[test]
fn a_subvolume_inside_a_root() -> Result<()> {
    on(FileSystem::Btrfs, "a_subvolume_inside_a_root", nested)
}

fn nested(file_system: FileSystem) -> Result<()> {
    let bench = Bench::new("subvolumes", file_system)?;
    let (watched, other) = (bench.base().join("watched"), bench.base().join("other"));
    fs::create_dir(&watched)?;
    fs::write(watched.join("file"), [b's'; 1000])?;
    for subvolume in [&watched.join("inner"), &other] {
        make_subvolume(subvolume)?;
        fs::write(subvolume.join("file"), [b's'; 2000])?;
    }
    let script = "write() { printf 1234567 >> \"$1/file\"; printf 1234567 > \"$1/new\"; }; \
         write \"$1/inner\"; mv \"$2\" \"$1/moved\"; write \"$1/moved\"; rm \"$1/moved/new\"; \
         \"$0\" append 500 \"$1/file\"; mv \"$1/inner\" \"$2\"; write \"$2\"";
    trace(&bench, watched, other, script)
}

/// Writes in the other subvolume, which `make` makes, and a little in the watched one.
fn apart(file_system: FileSystem, make: impl Fn(&Path, &Path) -> Result<()>) -> Result<()> {
    let bench = Bench::new("subvolumes", file_system)?;
    let (watched, other) = (bench.base().join("watched"), bench.base().join("other"));
    make(&watched, &other)?;
    let number = |path| fs::metadata(path).map(|found| found.ino());
    ensure!(
        number(watched.join("file"))? == number(other.join("file"))?,
        "the files were to have one inode number"
    );
    let script = "printf 1234567 >> \"$2/file\"; printf 1234567 > \"$2/new\"; rm \"$2/new\"; \
         \"$0\" append 500 \"$1/file\"";
    trace(&bench, watched, other, script)
}

/// Runs the script, which appends 500 bytes below the root and does nothing else there.
fn trace(bench: &Bench, watched: PathBuf, other: PathBuf, script: &str) -> Result<()> {
    let words: [OsString; 5] = [
        "-c".into(),
        script.into(),
        ACTOR.into(),
        watched.clone().into(),
        other.into(),
    ];
    let traced = bench.trace_without_root()?.root(watched).run("sh", words)?;
    let report = traced.exact()?;
    ensure!(report.command_bytes() == 500, "{report:#?}");
    Ok(())
}
