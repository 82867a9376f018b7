//! The disk as the tests see it: a walk of their own, written apart from the agent's.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Sums over the regular files below a directory.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tree {
    /// Apparent size, hard links counted once.
    pub bytes: u64,
    /// Inodes.
    pub files: u64,
}

/// Walks `root`, which is one file system; an absent one has no files. `except` are directories that belong to
/// somebody else.
pub fn walk(root: &Path, except: &[PathBuf]) -> Result<Tree> {
    let mut tree = Tree::default();
    let device = match root.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(tree),
        found => found
            .with_context(|| format!("cannot look at {}", root.display()))?
            .dev(),
    };
    let mut seen = HashSet::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.with_context(|| format!("cannot list {}", directory.display()))?,
        };
        for entry in entries {
            let path = entry?.path();
            let found = path
                .symlink_metadata()
                .with_context(|| format!("cannot look at {}", path.display()))?;
            if found.is_dir() {
                if found.dev() == device && !except.contains(&path) {
                    directories.push(path);
                }
            } else if found.is_file() && seen.insert((found.dev(), found.ino())) {
                tree.bytes += found.len();
                tree.files += 1;
            }
        }
    }
    Ok(tree)
}
