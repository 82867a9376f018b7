//! Programs that tests and checks call.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{apt, by_hand, found, installing};
use crate::{
    command::{cargo, program, run},
    paths,
};

const CARGO_DENY_VERSION: &str = "0.20.2";

/// rustfmt and clippy. Only Debian's packages are installed: adding rustup's components would edit
/// the user's home.
pub(super) fn ensure_cargo_checkers() -> Result<()> {
    let debian = env::var_os("CARGO").is_some_and(|cargo| cargo == "/usr/bin/cargo");
    for (name, package) in [
        ("cargo-fmt", "rustfmt-web"),
        ("cargo-clippy", "rust-web-clippy"),
    ] {
        if paths::find_program(name).is_some() {
            continue;
        }
        let instructions = format!("`rustup component add {}`", name.replace("cargo-", ""));
        if !debian {
            bail!(by_hand(name, &instructions));
        }
        installing(name, &format!("installing {package}"));
        apt::install(&[package]).with_context(|| by_hand(name, &instructions))?;
    }
    Ok(())
}

/// promtool, taken out of Debian's package rather than installed with it: the package would start
/// a Prometheus server on this machine.
pub(super) fn ensure_promtool() -> Result<PathBuf> {
    let unpacked = paths::tools().join("prometheus");
    let own = unpacked.join("usr/bin/promtool");
    let promtool = match paths::find_program("promtool") {
        Some(promtool) => promtool,
        None if own.exists() => own,
        None => {
            installing("promtool", "unpacking it from Debian's package prometheus");
            unpack_package("prometheus", &unpacked).with_context(|| {
                by_hand(
                    "promtool",
                    "put promtool of https://prometheus.io/download on PATH",
                )
            })?;
            own
        }
    };
    found("promtool", &promtool.display().to_string());
    Ok(promtool)
}

/// Debian's package without what installing it would do.
pub(super) fn unpack_package(package: &str, into: &Path) -> Result<()> {
    apt::update()?;
    fs::create_dir_all(into)?;
    run(program("apt-get")
        .current_dir(into)
        // Its sandbox user cannot write here, and says so.
        .args(["--option", "APT::Sandbox::User=root"])
        .args(["download", "--quiet=2", package]))?;
    let archive = fs::read_dir(into)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get left no package in {}", into.display()))?;
    run(program("dpkg-deb").arg("--extract").arg(&archive).arg(into))?;
    fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))
}

pub fn ensure_bpftool() -> Result<PathBuf> {
    let look = || paths::find_program("bpftool");
    if look().is_none() {
        installing("bpftool", "installing it");
        apt::install(&["bpftool"])
            .with_context(|| by_hand("bpftool", "your distribution's package, often bpftool"))?;
    }
    let bpftool = look().context("the package bpftool holds no program of that name")?;
    found("bpftool", &bpftool.display().to_string());
    Ok(bpftool)
}

/// cargo-deny, built when nobody installed it: three minutes on two cores, once.
pub fn ensure_cargo_deny() -> Result<PathBuf> {
    // The version is in the folder's name, so that raising it here is enough.
    let folder = paths::tools().join(format!("cargo-deny-{CARGO_DENY_VERSION}"));
    let own = folder.join("bin/cargo-deny");
    let cargo_deny = match paths::find_program("cargo-deny") {
        Some(cargo_deny) => cargo_deny,
        None if own.exists() => own,
        None => {
            installing("cargo-deny", "building it, which takes a few minutes");
            run(cargo()
                .args(["install", "--quiet", "--locked", "cargo-deny"])
                .args(["--version", CARGO_DENY_VERSION, "--root"])
                .arg(&folder))
            .with_context(|| by_hand("cargo-deny", "`cargo install --locked cargo-deny`"))?;
            own
        }
    };
    found("cargo-deny", &cargo_deny.display().to_string());
    Ok(cargo_deny)
}
