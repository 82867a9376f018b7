//! Debian packages.

use std::sync::Once;

use anyhow::{Result, ensure};

use crate::{
    command::{as_root, program, run},
    paths,
};

static LISTS_UPDATED: Once = Once::new();

pub(super) fn is_available() -> bool {
    paths::find_program("apt-get").is_some()
}

pub(super) fn install(packages: &[&str]) -> Result<()> {
    update()?;
    let mut command = program("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "--yes", "--quiet=2", "--no-install-recommends"])
        .args(packages);
    run(&mut as_root(command)?)
}

/// Refreshes the package lists, once: on a bare machine there are none.
pub(super) fn update() -> Result<()> {
    ensure!(is_available(), "there is no apt-get on this machine");
    let mut result = Ok(());
    LISTS_UPDATED.call_once(|| {
        let mut command = program("apt-get");
        command.args(["update", "--quiet=2"]);
        result = as_root(command).and_then(|mut command| run(&mut command));
    });
    result
}
