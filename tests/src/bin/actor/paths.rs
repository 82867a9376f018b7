//! Operations on names: all is done when they return.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::symlink,
    path::Path,
};

use anyhow::{Result, ensure};
use cache_tests::cases::Place;
use rustix::{
    fs::{
        AtFlags, CWD, FileType, IFlags, Mode, RenameFlags, ioctl_getflags, ioctl_setflags,
        renameat_with,
    },
    io::Errno,
};

use super::sys::truncate;

/// Nested directories, more than the kernel side looks at in one step.
const DEPTH: usize = 60;

/// Performs the operation `name`, if it is one of these.
pub(super) fn perform(name: &str, place: &Place) -> Result<bool> {
    let path = |name: &str| place.path(name);
    let rename = |from: &str, to: &str| fs::rename(path(from), path(to));
    let file = path("in/file");
    match name {
        "truncate_by_path_down" => truncate(&file, 100)?,
        "truncate_by_path_up" => truncate(&file, 9000)?,
        "unlink" | "link_across_removed" => fs::remove_file(file)?,
        "unlinkat_relative" => {
            rustix::fs::unlinkat(File::open(&place.inside)?, "file", AtFlags::empty())?;
        }
        "rename_inside" => rename("in/file", "in/renamed")?,
        "rename_into" => rename("out/file", "in/file")?,
        "rename_out" => rename("in/file", "out/file")?,
        "rename_over" | "rename_over_one_of_two_links" => rename("in/file", "in/victim")?,
        "rename_into_over" => rename("out/file", "in/victim")?,
        "rename_out_over" => rename("in/file", "out/victim")?,
        "rename_onto_own_link" => rename("in/file", "in/link")?,
        "exchange_inside" => exchange(place, "in/one", "in/two")?,
        "exchange_across" => exchange(place, "in/one", "out/two")?,
        "exchange_file_and_directory" => exchange(place, "in/one", "out/tree")?,
        "directory_into" => rename("out/tree", "in/tree")?,
        "directory_into_then_write" => {
            rename("out/tree", "in/tree")?;
            fs::write(path("in/tree/sub/new"), [b'x'; 700])?;
        }
        "directory_into_then_unlink" => {
            rename("out/tree", "in/tree")?;
            fs::remove_file(path("in/tree/sub/file"))?;
        }
        "directory_out" => rename("in/tree", "out/tree")?,
        "directory_out_then_write" => {
            rename("in/tree", "out/tree")?;
            fs::write(path("out/tree/sub/new"), [b'x'; 700])?;
            fs::remove_file(path("out/tree/file"))?;
        }
        "directory_out_and_in" => {
            rename("in/tree", "out/tree")?;
            rename("out/tree", "in/back")?;
        }
        "directory_inside_then_write" => {
            rename("in/tree", "in/renamed")?;
            fs::write(path("in/renamed/sub/sub/new"), [b'x'; 700])?;
        }
        "remove_tree" => fs::remove_dir_all(path("in/tree"))?,
        "deep_directories" => {
            let mut directory = place.inside.clone();
            (0..DEPTH).for_each(|level| directory.push(format!("level{level}")));
            fs::create_dir_all(&directory)?;
            fs::write(directory.join("file"), [b'x'; 2222])?;
        }
        "rename_noreplace" => {
            let moved = renameat_with(
                CWD,
                path("in/one"),
                CWD,
                path("in/two"),
                RenameFlags::NOREPLACE,
            );
            ensure!(
                moved == Err(Errno::EXIST),
                "the rename must fail: {moved:?}"
            );
        }
        "unlink_immutable" => unlink_immutable(&file)?,
        "not_regular_files" => not_regular_files(place)?,
        "failing_calls" => failing_calls(place)?,
        "link_made" => fs::hard_link(file, path("in/link"))?,
        "link_removed" => fs::remove_file(path("in/link"))?,
        "all_links_removed" => {
            fs::remove_file(path("in/link"))?;
            fs::remove_file(file)?;
        }
        "links_of_own_file" => {
            fs::write(&file, [b'x'; 3000])?;
            fs::hard_link(&file, path("in/link"))?;
            fs::remove_file(file)?;
            fs::remove_file(path("in/link"))?;
        }
        "link_across_made" => fs::hard_link(path("out/file"), file)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn exchange(place: &Place, one: &str, two: &str) -> io::Result<()> {
    let (one, two) = (place.path(one), place.path(two));
    Ok(renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE)?)
}

/// The flag goes again: what is left must be removable.
fn unlink_immutable(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    let flags = ioctl_getflags(&file)?;
    ioctl_setflags(&file, flags | IFlags::IMMUTABLE)?;
    let removed = fs::remove_file(path);
    ioctl_setflags(&file, flags)?;
    let refused = removed.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    ensure!(refused, "an immutable file was removed");
    Ok(())
}

/// Calls that the kernel refuses: none of them may count.
fn failing_calls(place: &Place) -> Result<()> {
    let (file, absent) = (place.path("in/file"), place.path("in/absent"));
    let refused = [
        fs::remove_file(&absent).is_err(),
        fs::remove_file(&place.inside).is_err(),
        fs::remove_dir(&place.inside).is_err(),
        fs::rename(&absent, &file).is_err(),
        fs::rename(&file, &place.inside).is_err(),
        fs::hard_link(&file, &file).is_err(),
        truncate(&absent, 0).is_err(),
        truncate(&file, -1).is_err(),
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&file)
            .is_err(),
        OpenOptions::new().write(true).open(&absent).is_err(),
    ];
    let accepted = refused.iter().position(|refused| !refused);
    ensure!(accepted.is_none(), "call {accepted:?} should fail");
    Ok(())
}

/// Things that have names but no size in the ledger.
fn not_regular_files(place: &Place) -> Result<()> {
    let (link, moved) = (place.path("in/link"), place.path("out/link"));
    symlink("/nowhere", &link)?;
    fs::rename(link, &moved)?;
    fs::rename(moved, place.path("in/back"))?;
    fs::remove_file(place.path("in/back"))?;
    let pipe = place.path("in/pipe");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    let mut open = OpenOptions::new().read(true).write(true).open(&pipe)?;
    open.write_all(b"gone")?;
    fs::remove_file(pipe)?;
    Ok(())
}
