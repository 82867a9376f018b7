//! The Go toolchains, and the environment in which they build: nothing from the network or the host.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::env;

/// A Go toolchain.
#[derive(Clone, Debug)]
pub struct Go {
    pub version: String,
    pub goroot: PathBuf,
}

/// Where a toolchain has what it needs besides its cache, below one directory.
const PLACES: [(&str, &str); 3] = [("HOME", "home"), ("TMPDIR", "tmp"), ("GOMODCACHE", "mod")];

/// The toolchains, oldest first.
pub fn toolchains() -> Result<Vec<Go>> {
    let list = env::variable("CACHE_TEST_GO")?;
    let pairs = list.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (version, goroot) = pair
                .split_once('=')
                .with_context(|| format!("CACHE_TEST_GO: `{pair}` is not VERSION=GOROOT"))?;
            Ok(Go {
                version: version.to_owned(),
                goroot: goroot.into(),
            })
        })
        .collect()
}

impl Go {
    /// The newest one.
    pub fn newest() -> Result<Self> {
        toolchains()?
            .pop()
            .context("CACHE_TEST_GO names no toolchain")
    }

    /// The program `go`.
    pub fn program(&self) -> PathBuf {
        self.goroot.join("bin/go")
    }

    /// What a command needs to build into `cache`, with all else below `aside`, where [`make_places`] was.
    pub fn environment(&self, aside: &Path, cache: &Path) -> Vec<(&'static str, OsString)> {
        let bin = self.goroot.join("bin");
        let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", bin.display());
        let places = PLACES.map(|(variable, place)| (variable, aside.join(place).into()));
        let settings: [(&str, OsString); 7] = [
            ("PATH", path.into()),
            ("GOROOT", self.goroot.clone().into()),
            ("GOCACHE", cache.into()),
            ("GOENV", "off".into()),
            ("GOTOOLCHAIN", "local".into()),
            ("GOFLAGS", "-mod=mod".into()),
            ("GOPROXY", "off".into()),
        ];
        places.into_iter().chain(settings).collect()
    }

    /// `go` in this environment, and in no other.
    pub fn command(&self, aside: &Path, cache: &Path) -> Command {
        let mut command = Command::new(self.program());
        command.env_clear().envs(self.environment(aside, cache));
        command
    }
}

/// Makes the places that builds need below `aside`, for everybody.
pub fn make_places(aside: &Path) -> Result<()> {
    for (_, place) in PLACES {
        open_directory(&aside.join(place))?;
    }
    Ok(())
}

/// Makes a directory that everybody may write.
pub fn open_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))
}
