//! The same work on a root that is known by different names.

use std::{fs, os::unix::fs::chroot, path::Path, process};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    mount::{MountPropagationFlags, mount_bind, mount_change},
    thread::{UnshareFlags, unshare_unsafe},
};

use super::{again, ring, say, sys::truncate};

/// Goes each way to the directory of its name in `inside`, by a process each; what is in `bind` is
/// bound at `bound`.
pub(super) fn all(inside: &Path, bound: &Path) -> Result<()> {
    for (way, place) in [
        ("plain", inside.join("plain")),
        ("bind", bound.to_owned()),
        ("namespace", inside.join("namespace")),
        ("chroot", inside.join("chroot")),
        ("ring", inside.join("ring")),
    ] {
        let status = again()?.args(["way", way]).arg(place).status()?;
        ensure!(status.success(), "{way}: {status}");
    }
    Ok(())
}

/// Goes one way.
pub(super) fn one(way: &str, place: &Path) -> Result<()> {
    let tell = |refused: Option<String>| {
        say(&serde_json::json!({"way": way, "pid": process::id(), "refused": refused}))
    };
    if way == "ring" {
        return match ring::open() {
            Ok(mut ring) => {
                tell(None)?;
                ring::work(&mut ring, place)
            }
            Err(error) => Ok(tell(Some(format!("no io_uring here: {error}")))?),
        };
    }
    tell(None)?;
    match way {
        "namespace" => {
            elsewhere(place)?;
            work("/mnt".as_ref())
        }
        "chroot" => {
            chroot(place).context("cannot change the root directory")?;
            work("/".as_ref())
        }
        _ => work(place),
    }
}

/// Shows `place` at a directory that has it for this process only.
fn elsewhere(place: &Path) -> Result<()> {
    // SAFETY: only mounts are unshared, no memory or files; the actor has a single thread.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("cannot leave the mount namespace")?;
    mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )?;
    mount_bind(place, "/mnt").context("cannot mount on /mnt")
}

/// Creates two files, removes one, renames and cuts the other: 1000 bytes are left.
fn work(place: &Path) -> Result<()> {
    let path = |name: &str| place.join(name);
    fs::write(path("one"), [b'w'; 3000])?;
    fs::write(path("two"), [b'w'; 500])?;
    fs::rename(path("one"), path("three"))?;
    truncate(&path("three"), 1000)?;
    fs::remove_file(path("two"))?;
    Ok(())
}
