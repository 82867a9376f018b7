//! What is on the disk.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _, path::Path};

use anyhow::{Context as _, Result};

/// Apparent size of the regular files below a folder, hard links once.
pub(super) fn bytes_of_files(folder: &Path) -> Result<u64> {
    let mut folders = vec![folder.to_owned()];
    let mut linked = BTreeSet::new();
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let metadata = entry?;
            let path = metadata.path();
            let metadata = metadata.metadata()?;
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file()
                && (metadata.nlink() == 1 || linked.insert((metadata.dev(), metadata.ino())))
            {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}
