//! What it takes to run virtual machines: an emulator, a static userland, and empty file systems.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{
    apt, by_hand, found, go, installing,
    kernels::{Kernel, ensure_kernels},
};
use crate::{
    command::{ask, program},
    paths,
};

/// Room of a disk of the guest: the files are sparse. xfs wants at least 300 MiB.
const DISK_BYTES: u64 = 2 << 30;
/// The toolchain of the guest, on a disk of its own.
pub const GO_DISK: &str = "go";
/// Disks of the guest: serial number, type and mount options of the file system, and its maker with
/// what it needs to be told.
const DISKS: [(&str, &str, &str, &[&str]); 4] = [
    ("scratch", "ext4", "", &["mkfs.ext4", "-q", "-F"]),
    (
        "ext4",
        "ext4",
        "usrquota",
        &["mkfs.ext4", "-q", "-F", "-O", "quota"],
    ),
    ("xfs", "xfs", "", &["mkfs.xfs", "-q", "-m", "reflink=1"]),
    ("btrfs", "btrfs", "", &["mkfs.btrfs", "--quiet"]),
];

/// What the virtual machines are made of.
#[derive(Debug)]
pub struct VmTools {
    pub kernels: Vec<Kernel>,
    pub qemu: PathBuf,
    pub busybox: PathBuf,
    pub disks: Vec<Disk>,
}

/// An image with a fresh file system; the guest writes to a copy that is forgotten.
#[derive(Clone, Debug)]
pub struct Disk {
    pub serial: &'static str,
    /// Type of the file system.
    pub kind: &'static str,
    /// To mount it with.
    pub options: &'static str,
    pub image: PathBuf,
}

/// Finds or gets all of it, with the kernels whose version is in `versions`.
pub fn ensure(versions: &[&str]) -> Result<VmTools> {
    let qemu = ensure_program("qemu-system-x86_64", "qemu-system-x86")?;
    let busybox = ensure_program("busybox", "busybox-static")?;
    for (tool, package) in [
        ("mkfs.ext4", "e2fsprogs"),
        ("mkfs.xfs", "xfsprogs"),
        ("mkfs.btrfs", "btrfs-progs"),
        ("xz", "xz-utils"),
        ("zstd", "zstd"),
        ("lz4", "lz4"),
    ] {
        ensure_program(tool, package)?;
    }
    Ok(VmTools {
        kernels: ensure_kernels(versions)?,
        qemu,
        busybox,
        disks: disks()?,
    })
}

fn ensure_program(name: &str, package: &str) -> Result<PathBuf> {
    if paths::find_program(name).is_none() {
        installing(name, &format!("installing {package}"));
        apt::install(&[package]).with_context(|| {
            by_hand(
                name,
                &format!("your distribution's package, often {package}"),
            )
        })?;
    }
    let program = paths::find_program(name)
        .with_context(|| format!("the package {package} holds no program {name}"))?;
    found(name, &program.display().to_string());
    Ok(program)
}

fn disks() -> Result<Vec<Disk>> {
    let folder = paths::target().join("vm/disks");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    DISKS
        .into_iter()
        .map(|(serial, kind, options, maker)| {
            let image = folder.join(format!("{serial}.img"));
            if !image.exists() {
                let partial = folder.join(format!("{serial}.partial"));
                File::create(&partial)?.set_len(DISK_BYTES)?;
                let tool = paths::find_program(maker[0]).context("no maker")?;
                ask(program(tool).args(&maker[1..]).arg(&partial))?;
                fs::rename(&partial, &image)?;
            }
            Ok(Disk {
                serial,
                kind,
                options,
                image,
            })
        })
        .chain([go_disk(&folder)])
        .collect()
}

/// The newest of the tests' Go toolchains.
fn go_disk(folder: &Path) -> Result<Disk> {
    let Some(go) = go::ensure()?.pop() else {
        bail!("there is no Go toolchain");
    };
    let image = folder.join(format!("{GO_DISK}-{}.img", go.version));
    if !image.exists() {
        let partial = folder.join(format!("{GO_DISK}.partial"));
        File::create(&partial)?.set_len(DISK_BYTES)?;
        let tool = paths::find_program("mkfs.ext4").context("no maker")?;
        let source = go.goroot.canonicalize()?;
        ask(program(tool)
            .args(["-q", "-F", "-d"])
            .arg(source)
            .arg(&partial))?;
        fs::rename(&partial, &image)?;
    }
    Ok(Disk {
        serial: GO_DISK,
        kind: "ext4",
        options: "",
        image,
    })
}
