//! Project rules, checked by a program rather than in review.

mod arrows;
mod rules;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::paths;

#[derive(Debug, clap::Args)]
pub struct Options {}

/// Never looked into: build results, and git's own.
const IGNORED: [&str; 2] = ["target", ".git"];

pub fn run(Options {}: &Options) -> Result<()> {
    let root = paths::root();
    let mut violations = rules::top_level(&names(&root)?);
    let files = files_below(&root)?;
    for path in &files {
        // Anything that is not text has no rules.
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            violations.extend(rules::file(&path.to_string_lossy(), &text));
        }
    }
    for violation in &violations {
        eprintln!("{violation}");
    }
    match violations.len() {
        0 => eprintln!("tidy: {} files keep the rules", files.len()),
        count => bail!("tidy: {count} violations of the project's rules"),
    }
    Ok(())
}

/// What is in a folder, sorted.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| !IGNORED.contains(&name.as_str()));
    names.sort();
    Ok(names)
}

/// All files, relative to the workspace.
fn files_below(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for name in names(&root.join(&folder))? {
            let path = folder.join(name);
            if root.join(&path).is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
