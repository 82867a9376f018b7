//! Every way a file can change size, by every way of ending, natively and on a tmpfs: the ledger is
//! right to the byte, and so is the process.
//!
//! One run of the agent covers a group of operations: each has a root of its own, and each of its
//! endings a directory and a process of its own.

mod ring;
mod single;

use std::{ffi::OsStr, path::Path};

use anyhow::{Context as _, Result};
use cache_tests::{cases::CASES, conformance::conforms, env::FileSystem, wait};

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");

/// One test per group and file system, and a check that the table has no other operations.
macro_rules! groups {
    ($($group:ident: $($name:ident)+;)+) => {
        mod native {
            $(#[test]
            fn $group() -> anyhow::Result<()> {
                super::conforms(super::ACTOR, &[$(stringify!($name)),+], super::FileSystem::Native)
            })+
        }

        mod tmpfs {
            $(#[test]
            fn $group() -> anyhow::Result<()> {
                super::conforms(super::ACTOR, &[$(stringify!($name)),+], super::FileSystem::Tmpfs)
            })+
        }

        #[test]
        fn every_operation_of_the_table_has_a_test() {
            let tested = [$($(stringify!($name)),+),+];
            let everywhere = CASES.iter().filter(|case| case.only.is_empty());
            let names = everywhere.map(|case| case.name);
            let missing: Vec<&str> = names.filter(|name| !tested.contains(name)).collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
    };
}

groups! {
    written:
        write pwrite writev append open_only open_legacy_creat openat2 via_symlink
        truncate_on_open truncate_on_open_to_nothing
        mmap sparse sendfile splice copy_file_range;
    resized:
        ftruncate_up ftruncate_down ftruncate_down_and_write truncate_by_path_while_open
        truncate_by_path_down truncate_by_path_up fallocate fallocate_keep_size;
    renamed_or_removed_while_open:
        tmpfile_linkat tmpfile_never_linked unlink_while_open unlink_existing_while_open
        rename_inside_while_open rename_into_while_open rename_out_while_open rename_over_while_open;
    renamed_or_removed:
        unlink unlinkat_relative rename_inside rename_into rename_out rename_over rename_into_over
        rename_out_over rename_onto_own_link rename_noreplace exchange_inside exchange_across failing_calls
        not_regular_files;
    directories:
        directory_into directory_into_then_write directory_into_then_unlink
        directory_out directory_out_then_write directory_out_and_in directory_inside_then_write
        exchange_file_and_directory remove_tree deep_directories;
    hard_links:
        link_made link_removed all_links_removed links_of_own_file
        link_across_made link_across_removed rename_over_one_of_two_links;
}

/// Natively and on a tmpfs; an emulated machine, which loads the agent slowly, has a table for each file system
/// instead (`filesystems`).
fn on_both(check: impl Fn(FileSystem) -> Result<()>) -> Result<()> {
    check(FileSystem::Native).context("natively")?;
    if wait::patience() > 1 {
        return Ok(());
    }
    check(FileSystem::Tmpfs).context("on a tmpfs")
}

fn arguments<'a>(words: &'a [&'a str], path: &'a Path) -> impl Iterator<Item = &'a OsStr> {
    words.iter().map(OsStr::new).chain([path.as_os_str()])
}
