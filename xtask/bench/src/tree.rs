//! What is on the disk.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _, path::Path};

use anyhow::{Context as _, Result};
use serde::Serialize;

/// The regular files of a tree, hard links once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Tree {
    /// Their apparent size.
    pub(super) bytes: u64,
    pub(super) files: u64,
}

pub(super) fn walk(folder: &Path) -> Result<Tree> {
    let mut folders = vec![folder.to_owned()];
    let mut linked = BTreeSet::new();
    let mut tree = Tree::default();
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.is_file()
                && (metadata.nlink() == 1 || linked.insert((metadata.dev(), metadata.ino())))
            {
                tree.bytes += metadata.len();
                tree.files += 1;
            }
        }
    }
    Ok(tree)
}
