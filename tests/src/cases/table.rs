//! The rows.

use super::{
    Case,
    Given::{File, Link, Tree},
};
use crate::file_system::FileSystem::{Btrfs, Ext4, Tmpfs, Xfs};

/// Every operation.
pub static CASES: &[Case] = &[
    // Files that are written.
    Case::open("write", &[], 70_001).created(1),
    Case::open("pwrite", &[], 10_500).created(1),
    Case::open("writev", &[], 2040).created(1),
    Case::open("append", &[File("in/file", 1000)], 777),
    Case::open("open_only", &[File("in/file", 1000)], 0),
    Case::open("open_legacy_creat", &[File("in/file", 9000)], -8000).freed_any(),
    Case::open("openat2", &[], 4444).created(1),
    Case::open("via_symlink", &[File("in/file", 1000)], 500),
    Case::open("truncate_on_open", &[File("in/file", 5000)], -2000).freed_any(),
    Case::open(
        "truncate_on_open_to_nothing",
        &[File("in/file", 5000)],
        -5000,
    )
    .freed(5000),
    Case::open("ftruncate_up", &[], 1_000_000).created(1),
    Case::open("ftruncate_down", &[File("in/file", 9000)], -5000).freed(5000),
    Case::open("ftruncate_down_and_write", &[File("in/file", 9000)], -2000).freed_any(),
    Case::open("truncate_by_path_while_open", &[], 3000)
        .created(1)
        .freed_any()
        .by(&["truncate"]),
    Case::open("fallocate", &[], 200_000).created(1),
    Case::open("fallocate_keep_size", &[], 0).created(1),
    Case::open("mmap", &[], 50_000).created(1),
    Case::open("sparse", &[], 5_000_001).created(1),
    Case::open("sendfile", &[File("out/source", 40_000)], 40_000).created(1),
    Case::open("splice", &[], 30_000).created(1),
    Case::open("copy_file_range", &[File("out/source", 60_000)], 60_000).created(1),
    Case::open("tmpfile_linkat", &[], 12_345)
        .created(1)
        .by(&["link"]),
    Case::open_outside("tmpfile_never_linked", &[], 0),
    // Names that come and go while the file is open.
    Case::open_outside("unlink_while_open", &[], 0)
        .created(1)
        .deleted(1)
        .freed_any()
        .by(&["unlink"]),
    Case::open_outside(
        "unlink_existing_while_open",
        &[File("in/file", 7000)],
        -7000,
    )
    .deleted(1)
    .freed_any()
    .by(&["unlink"]),
    Case::open("rename_inside_while_open", &[], 3000)
        .created(1)
        .renamed(1)
        .by(&["rename"]),
    Case::open("rename_into_while_open", &[], 3000)
        .created(1)
        .by(&["rename"]),
    Case::open_outside("rename_out_while_open", &[], 0)
        .created(1)
        .deleted(1)
        .freed_any()
        .by(&["rename"]),
    Case::open("rename_over_while_open", &[File("in/victim", 2500)], 500)
        .created(1)
        .deleted(1)
        .renamed(1)
        .freed(2500)
        .by(&["rename"]),
    // Paths.
    Case::done("truncate_by_path_down", &[File("in/file", 9000)], -8900)
        .freed(8900)
        .by(&["truncate"]),
    Case::done("truncate_by_path_up", &[File("in/file", 100)], 8900).by(&["truncate"]),
    Case::done("unlink", &[File("in/file", 5000)], -5000)
        .deleted(1)
        .freed(5000)
        .by(&["unlink"]),
    Case::done("unlinkat_relative", &[File("in/file", 5000)], -5000)
        .deleted(1)
        .freed(5000)
        .by(&["unlink"]),
    Case::done("rename_inside", &[File("in/file", 5000)], 0)
        .renamed(1)
        .by(&["rename"]),
    Case::done("rename_into", &[File("out/file", 5000)], 5000)
        .created(1)
        .by(&["rename"]),
    Case::done("rename_out", &[File("in/file", 5000)], -5000)
        .deleted(1)
        .freed_any()
        .by(&["rename"]),
    Case::done(
        "rename_over",
        &[File("in/file", 5000), File("in/victim", 3000)],
        -3000,
    )
    .deleted(1)
    .renamed(1)
    .freed(3000)
    .by(&["rename"]),
    Case::done(
        "rename_into_over",
        &[File("out/file", 5000), File("in/victim", 3000)],
        2000,
    )
    .created(1)
    .deleted(1)
    .freed(3000)
    .by(&["rename"]),
    Case::done(
        "rename_out_over",
        &[File("in/file", 5000), File("out/victim", 3000)],
        -5000,
    )
    .deleted(1)
    .freed_any()
    .by(&["rename"]),
    Case::done(
        "rename_onto_own_link",
        &[File("in/file", 5000), Link("in/file", "in/link")],
        0,
    )
    .renamed_any()
    .by(&["rename"]),
    Case::done(
        "exchange_inside",
        &[File("in/one", 5000), File("in/two", 3000)],
        0,
    )
    .renamed_any()
    .by(&["rename"]),
    Case::done(
        "exchange_across",
        &[File("in/one", 3000), File("out/two", 5000)],
        2000,
    )
    .created(1)
    .deleted(1)
    .freed_any()
    .renamed_any()
    .by(&["rename"]),
    Case::done(
        "exchange_file_and_directory",
        &[File("in/one", 3000), Tree("out/tree")],
        12_000,
    )
    .created(3)
    .deleted(1)
    .freed_any()
    .renamed_any()
    .by(&["rename"]),
    Case::done("directory_into", &[Tree("out/tree")], 15_000)
        .created(3)
        .by(&["rename"]),
    Case::done("directory_into_then_write", &[Tree("out/tree")], 15_700)
        .created(4)
        .by(&["rename"]),
    Case::done("directory_into_then_unlink", &[Tree("out/tree")], 11_000)
        .created(3)
        .deleted(1)
        .freed(4000)
        .by(&["rename", "unlink"]),
    Case::done("directory_out", &[Tree("in/tree")], -15_000)
        .deleted(3)
        .freed_any()
        .by(&["rename"]),
    Case::done("directory_out_then_write", &[Tree("in/tree")], -15_000)
        .deleted(3)
        .freed_any()
        .by(&["rename", "unlink"]),
    Case::done("directory_out_and_in", &[Tree("in/tree")], 0)
        .created(3)
        .deleted(3)
        .freed_any()
        .by(&["rename"]),
    Case::done("directory_inside_then_write", &[Tree("in/tree")], 700)
        .created(1)
        .renamed_any()
        .by(&["rename"]),
    Case::done("remove_tree", &[Tree("in/tree")], -15_000)
        .deleted(3)
        .freed(15_000)
        .by(&["unlink"]),
    Case::done("deep_directories", &[], 2222).created(1),
    Case::done("failing_calls", &[File("in/file", 5000)], 0),
    Case::done("not_regular_files", &[], 0),
    Case::done(
        "rename_noreplace",
        &[File("in/one", 5000), File("in/two", 3000)],
        0,
    ),
    // Hard links: the size counts once, until the last name is gone.
    Case::done("link_made", &[File("in/file", 5000)], 0).by(&["link"]),
    Case::done(
        "link_removed",
        &[File("in/file", 5000), Link("in/file", "in/link")],
        0,
    )
    .by(&["unlink"]),
    Case::done(
        "all_links_removed",
        &[File("in/file", 5000), Link("in/file", "in/link")],
        -5000,
    )
    .deleted(1)
    .freed(5000)
    .by(&["unlink"]),
    Case::done("links_of_own_file", &[], 0)
        .created(1)
        .deleted(1)
        .freed_any()
        .by(&["link", "unlink"]),
    Case::done("link_across_made", &[File("out/file", 5000)], 5000)
        .created(1)
        .by(&["link"]),
    Case::done(
        "link_across_removed",
        &[File("in/file", 5000), Link("in/file", "out/link")],
        -5000,
    )
    .deleted(1)
    .freed_any()
    .by(&["unlink"]),
    Case::done(
        "rename_over_one_of_two_links",
        &[
            File("in/file", 5000),
            File("in/victim", 3000),
            Link("in/victim", "in/link"),
        ],
        0,
    )
    .renamed(1)
    .by(&["rename"]),
    // What only some file systems can do.
    Case::open("clone", &[File("out/source", 40_000)], 40_000)
        .created(1)
        .only(&[Xfs, Btrfs]),
    Case::open("collapse_range", &[File("in/file", 12_288)], -4096)
        .freed(4096)
        .only(&[Ext4, Xfs]),
    Case::open("insert_range", &[File("in/file", 12_288)], 4096).only(&[Ext4, Xfs]),
    Case::open("zero_range", &[File("in/file", 4096)], 8192).only(&[Ext4, Xfs, Btrfs]),
    Case::open("punch_hole", &[File("in/file", 12_288)], 0).only(&[Ext4, Xfs, Btrfs, Tmpfs]),
    Case::done("unlink_immutable", &[File("in/file", 5000)], 0).only(&[Ext4, Xfs, Btrfs]),
];
