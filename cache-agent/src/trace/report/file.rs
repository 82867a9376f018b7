//! Where the report goes: a file for nobody's eyes but the caller's, or standard output.

use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::Path,
};

use anyhow::{Context as _, Result};

use crate::{
    model::printable::Shown,
    trace::{options::Output, user},
};

/// Paths and names of packages are the caller's own affair.
const MODE: u32 = 0o600;

/// Opens it before the command runs: what cannot be written is to be known by then.
pub(in crate::trace) fn open(output: &Output) -> Result<Box<dyn Write>> {
    let Output::File(path) = output else {
        return Ok(Box::new(io::stdout()));
    };
    let caller = user::caller()?.map(|user| (user.uid.as_raw(), user.gid.as_raw()));
    let file = create(path, caller);
    let file = file.with_context(|| format!("cannot write the report to {}", Shown::path(path)))?;
    Ok(Box::new(file))
}

fn create(path: &Path, owner: Option<(u32, u32)>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).mode(MODE);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            if let Some((uid, gid)) = owner {
                fchown(&file, Some(uid), Some(gid))?;
            }
            Ok(file)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let file = options.truncate(true).open(path)?;
            // A terminal or a pipe keeps its own.
            if file.metadata()?.is_file() {
                file.set_permissions(Permissions::from_mode(MODE))?;
            }
            Ok(file)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_report_is_for_its_owner_alone_also_where_one_was_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        let own = nix::unistd::geteuid().as_raw();
        for existing in [false, true] {
            if existing {
                std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
            }
            let mut file = create(&path, None).unwrap();
            file.write_all(b"{}").unwrap();
            let found = file.metadata().unwrap();
            let (mode, uid) = (found.mode() & 0o777, found.uid());
            assert_eq!((mode, uid, found.len()), (MODE, own, 2), "{existing}");
        }
        let before = std::fs::metadata("/dev/null").unwrap().mode();
        create(Path::new("/dev/null"), None).unwrap();
        assert_eq!(std::fs::metadata("/dev/null").unwrap().mode(), before);
    }
}
