//! The opens that are measured: one file, opened and closed again and again.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use cache_tests::env::Bench;
use serde::Serialize;

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    /// On a device without roots.
    Elsewhere,
    /// On a device with roots, but in none of them.
    Outside,
    /// In a root, two directories deep as in Go's cache of modules, one deeper than in that of builds.
    Inside,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Access {
    Read,
    Write,
}

impl Place {
    pub(super) const ALL: [Self; 3] = [Self::Elsewhere, Self::Outside, Self::Inside];

    /// The file to open there, made if need be.
    pub(super) fn file(self, watched: &Bench, unwatched: &Bench) -> Result<PathBuf> {
        let folder = match self {
            Self::Elsewhere => unwatched.outside(),
            Self::Outside => watched.outside(),
            Self::Inside => watched.root(),
        };
        let folder = folder.join("a/b");
        let file = folder.join("file");
        fs::create_dir_all(&folder)
            .and_then(|()| File::create(&file))
            .with_context(|| format!("cannot make {}", file.display()))?;
        Ok(file)
    }
}

impl Access {
    pub(super) const ALL: [Self; 2] = [Self::Read, Self::Write];
}

pub(super) fn open_and_close(file: &Path, access: Access, calls: u64) -> Result<()> {
    let mut options = OpenOptions::new();
    match access {
        Access::Read => options.read(true),
        Access::Write => options.write(true),
    };
    for _ in 0..calls {
        let opened = options
            .open(file)
            .with_context(|| format!("cannot open {}", file.display()))?;
        drop(opened);
    }
    Ok(())
}
