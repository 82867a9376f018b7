//! File systems that hold no files but show what the kernel knows: never a root, whoever names one.

use std::{os::fd::BorrowedFd, path::Path};

use anyhow::{Context as _, Result, bail};
use rustix::fs::fstatfs;

use crate::model::printable::Shown;

/// By their magic numbers (statfs(2), include/uapi/linux/magic.h), and as `mount` calls them.
const PSEUDO: [(i64, &str); 21] = [
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0x7472_6163, "tracefs"),
    (0x6462_6720, "debugfs"),
    (0x1cd1, "devpts"),
    (0x7363_6673, "securityfs"),
    (0xf97c_ff8c, "selinuxfs"),
    (0x4341_5d53, "smackfs"),
    (0xcafe_4a11, "bpf"),
    (0x6165_676c, "pstore"),
    (0xde5e_81e4, "efivarfs"),
    (0x6265_6570, "configfs"),
    (0x4249_4e4d, "binfmt_misc"),
    (0x6573_5543, "fusectl"),
    (0x6e73_6673, "nsfs"),
    (0x6759_6969, "rpc_pipefs"),
    (0x6e66_7364, "nfsd"),
    (0x0765_5821, "resctrl"),
    (0x1980_0202, "mqueue"),
];

/// An error for a directory of such a file system.
pub(super) fn refuse_pseudo(path: &Path, directory: BorrowedFd<'_>) -> Result<()> {
    let magic = fstatfs(directory).context("cannot ask for its file system")?;
    // The kernel's field is signed on some machines: what counts is 32 bits of it.
    let magic = magic.f_type & 0xffff_ffff;
    match PSEUDO.iter().find(|(number, _)| *number == magic) {
        Some((_, name)) => bail!(
            "root {} lies on {name}, which holds no files of its own",
            Shown::path(path)
        ),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd as _};

    use super::*;

    #[test]
    fn what_shows_the_kernel_is_refused_by_its_name() {
        for (path, name) in [
            ("/proc", "proc"),
            ("/proc/self", "proc"),
            ("/proc/self/fd", "proc"),
            ("/sys", "sysfs"),
        ] {
            let directory = File::open(path).unwrap();
            let error = refuse_pseudo(Path::new(path), directory.as_fd()).unwrap_err();
            let expected = format!("root {path} lies on {name}, which holds no files of its own");
            assert_eq!(error.to_string(), expected);
        }
        let directory = tempfile::tempdir().unwrap();
        let opened = File::open(directory.path()).unwrap();
        refuse_pseudo(directory.path(), opened.as_fd()).unwrap();
    }
}
