//! The file systems that tests run on: found, made or mounted, and gone with the test.

use std::{
    env,
    ffi::CString,
    fs::{self, File},
    io,
    os::{
        fd::AsRawFd as _,
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    fs::{FallocateFlags, Mode, OFlags, fallocate},
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount},
};
use tempfile::TempDir;

/// Room of a tmpfs: more than any test writes, and no danger to the machine.
const TMPFS_OPTIONS: &std::ffi::CStr = c"size=512m,mode=0755";
/// Size of an image, which is sparse; xfs wants at least 300 MiB.
const IMAGE_BYTES: u64 = 512 << 20;

/// Where a test's files lie.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileSystem {
    /// That of the scratch directory: ext4, or what the machine has.
    Native,
    /// A tmpfs of the test's own.
    Tmpfs,
    Ext4,
    Xfs,
    Btrfs,
    /// A directory that is the upper one of an overlay, in which the command works.
    OverlayUpper,
    /// A directory in an overlay.
    OverlayMerged,
}

impl FileSystem {
    /// As in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Tmpfs => "tmpfs",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::OverlayUpper => "overlay-upper",
            Self::OverlayMerged => "overlay-merged",
        }
    }

    /// Why there is none on this machine, if so.
    pub fn missing(self) -> Result<Option<String>> {
        let name = match self {
            Self::Native | Self::Tmpfs => return Ok(None),
            Self::Ext4 | Self::Xfs | Self::Btrfs => self.name(),
            Self::OverlayUpper | Self::OverlayMerged => "overlay",
        };
        if disk(name).is_some() {
            return Ok(None);
        }
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let known = fs::read_to_string("/proc/filesystems")?;
        let known = known
            .lines()
            .any(|line| line.trim_start_matches("nodev").trim() == name);
        let folder = if name == "overlay" { "overlayfs" } else { name };
        let module = format!("/lib/modules/{}/kernel/fs/{folder}", release.trim());
        if !known && !Path::new(&module).exists() {
            return Ok(Some(format!("the kernel has no {name}")));
        }
        if name == "overlay" {
            return Ok(None);
        }
        if maker(name).is_none() {
            return Ok(Some(format!("there is no mkfs.{name}")));
        }
        let loops = Path::new("/dev/loop-control").exists();
        Ok((!loops).then(|| "there are no loop devices".to_owned()))
    }
}

/// A place on a file system of a test's own.
#[derive(Debug)]
pub struct Ground {
    // Unmounted before the directories are removed: fields drop in this order.
    mounts: Vec<Mounted>,
    directories: Vec<TempDir>,
    /// What there is to build on.
    pub base: PathBuf,
    /// Where a command works so that its files appear at `base`, if that is another place.
    pub shown_at: Option<PathBuf>,
}

impl Ground {
    /// A file system of that kind at, or known to, the empty directory `place`.
    pub fn new(file_system: FileSystem, place: &Path) -> Result<Self> {
        let mut ground = Self {
            mounts: Vec::new(),
            directories: Vec::new(),
            base: place.to_owned(),
            shown_at: None,
        };
        match file_system {
            FileSystem::Native => {}
            FileSystem::Tmpfs => ground.mounts.push(Mounted::tmpfs(place)?),
            FileSystem::Ext4 | FileSystem::Xfs | FileSystem::Btrfs => {
                ground.on_disk(file_system.name(), place)?;
            }
            FileSystem::OverlayUpper | FileSystem::OverlayMerged => {
                let [lower, upper, work, merged] =
                    ["lower", "upper", "work", "merged"].map(|name| place.join(name));
                for directory in [&lower, &upper, &work, &merged] {
                    fs::create_dir(directory)?;
                }
                ground
                    .mounts
                    .push(Mounted::overlay(&lower, &upper, &work, &merged)?);
                if file_system == FileSystem::OverlayUpper {
                    ground.base = upper;
                    ground.shown_at = Some(merged);
                } else {
                    ground.base = merged;
                }
            }
        }
        Ok(ground)
    }

    /// On a disk of the machine's, or on an image.
    fn on_disk(&mut self, name: &str, place: &Path) -> Result<()> {
        if let Some(disk) = disk(name) {
            let directory = tempfile::Builder::new()
                .prefix("test-")
                .permissions(open_to_all())
                .tempdir_in(&disk)
                .with_context(|| format!("cannot make a directory in {}", disk.display()))?;
            directory.path().clone_into(&mut self.base);
            self.directories.push(directory);
            return Ok(());
        }
        let image = place.with_extension("image");
        File::create(&image)?.set_len(IMAGE_BYTES)?;
        let maker = maker(name).with_context(|| format!("there is no mkfs.{name}"))?;
        run(Command::new(maker).arg("-q").arg(&image))?;
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(place))?;
        self.mounts.push(Mounted(place.to_owned()));
        Ok(())
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // The last one lies on the ones before it.
        while self.mounts.pop().is_some() {}
    }
}

/// Whether files without a name can be made in `directory`: not in overlays before Linux 6.3.
pub fn has_unnamed_files(directory: &Path) -> Result<bool> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(directory, flags, Mode::RUSR) {
        Ok(_) => Ok(true),
        Err(Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error).context("cannot make a file without a name"),
    }
}

/// Where the machine has a disk of that kind mounted for tests.
fn disk(name: &str) -> Option<PathBuf> {
    let disks = env::var_os("CACHE_TEST_DISKS").filter(|disks| !disks.is_empty())?;
    Some(Path::new(&disks).join(name)).filter(|disk| disk.is_dir())
}

fn maker(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(format!("mkfs.{name}")))
        .find(|candidate| candidate.is_file())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Permissions of a directory that every user can get to.
pub fn open_to_all() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(0o755)
}

/// A mount that ends with the test.
#[derive(Debug)]
pub struct Mounted(PathBuf);

impl Mounted {
    /// Shows `from` at `to`, too.
    pub fn bind(from: &Path, to: &Path) -> Result<Self> {
        mount_bind(from, to)
            .with_context(|| format!("cannot mount {} on {}", from.display(), to.display()))?;
        Ok(Self(to.to_owned()))
    }

    /// An empty file system in memory.
    pub fn tmpfs(path: &Path) -> Result<Self> {
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), TMPFS_OPTIONS)
            .with_context(|| format!("cannot mount a tmpfs on {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    /// An overlay of `upper` on `lower`, seen at `merged`.
    pub fn overlay(lower: &Path, upper: &Path, work: &Path, merged: &Path) -> Result<Self> {
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let options = CString::new(options)?;
        mount(
            "overlay",
            merged,
            "overlay",
            MountFlags::empty(),
            options.as_c_str(),
        )
        .with_context(|| format!("cannot mount an overlay on {}", merged.display()))?;
        Ok(Self(merged.to_owned()))
    }
}

/// Makes an empty subvolume of btrfs.
pub fn make_subvolume(path: &Path) -> Result<()> {
    subvolume(path, CREATE_SUBVOLUME, None)
}

/// Makes a snapshot of a subvolume: its files have the numbers of those they are copies of.
pub fn make_snapshot(of: &Path, path: &Path) -> Result<()> {
    subvolume(path, CREATE_SNAPSHOT, Some(&File::open(of)?))
}

fn subvolume(path: &Path, request: libc::Ioctl, of: Option<&File>) -> Result<()> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        bail!("{} cannot be a subvolume", path.display());
    };
    let mut arguments = SubvolumeArguments {
        descriptor: of.map_or(0, |of| of.as_raw_fd().into()),
        name: [0; 4088],
    };
    for (byte, to) in name.as_bytes().iter().zip(&mut arguments.name) {
        *to = *byte;
    }
    let above = File::open(above)?;
    // SAFETY: the structure is `struct btrfs_ioctl_vol_args`, with a terminated name, and lives
    // through the call.
    let result = unsafe { libc::ioctl(above.as_raw_fd(), request, &raw mut arguments) };
    ensure!(
        result == 0,
        "cannot make the subvolume {}: {}",
        path.display(),
        io::Error::last_os_error()
    );
    Ok(())
}

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct SubvolumeArguments {
    descriptor: i64,
    name: [u8; 4088],
}

/// `BTRFS_IOC_SNAP_CREATE`.
const CREATE_SNAPSHOT: libc::Ioctl = 0x5000_9401;
/// `BTRFS_IOC_SUBVOL_CREATE`.
const CREATE_SUBVOLUME: libc::Ioctl = 0x5000_940e;

/// Leaves `room` bytes free on the file system of the new file `filler`.
pub fn fill_up(filler: &Path, room: u64) -> Result<()> {
    let file = File::create_new(filler)?;
    let mut length = 0;
    loop {
        let figures = rustix::fs::fstatvfs(&file)?;
        let free = figures.f_bavail * figures.f_frsize;
        if free <= room {
            return Ok(());
        }
        // Some need room of their own to hand out room: not all at once.
        let next = (free - room).div_ceil(2).max(room / 4);
        if let Err(error) = fallocate(&file, FallocateFlags::empty(), length, next) {
            ensure!(
                error == Errno::NOSPC,
                "cannot fill the file system: {error}"
            );
            return Ok(());
        }
        length += next;
    }
}

/// Lets the user of that number have at most `bytes` bytes on the file system at `path`, if it keeps
/// quotas.
pub fn limit_user(path: &Path, user: u32, bytes: u64) -> Result<()> {
    let device = fs::metadata(path)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let event = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/uevent"))?;
    let name = event.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    let device = CString::new(format!("/dev/{}", name.context("a device without a name")?))?;
    // SAFETY: all zeros is a value of this structure of numbers.
    let mut limits: libc::dqblk = unsafe { std::mem::zeroed() };
    // In blocks of 1 KiB.
    limits.dqb_bhardlimit = bytes >> 10;
    limits.dqb_bsoftlimit = bytes >> 10;
    limits.dqb_valid = libc::QIF_BLIMITS;
    let command = libc::QCMD(libc::Q_SETQUOTA, libc::USRQUOTA);
    // SAFETY: the device is a terminated string and the limits are what this command reads; both
    // live through the call.
    let result = unsafe {
        libc::quotactl(
            command,
            device.as_ptr(),
            user.cast_signed(),
            (&raw mut limits).cast(),
        )
    };
    ensure!(
        result == 0,
        "no quota can be set here: {}",
        io::Error::last_os_error()
    );
    Ok(())
}

/// Changes the file system mounted at `place`: its flags, and options of its own.
pub fn remount(place: &Path, flags: MountFlags, options: &str) -> Result<()> {
    let options = CString::new(options)?;
    mount_remount(place, flags, options.as_c_str())
        .with_context(|| format!("cannot remount {}", place.display()))
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.0, UnmountFlags::DETACH) {
            eprintln!("cannot unmount {}: {error}", self.0.display());
        }
    }
}
