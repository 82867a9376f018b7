//! A Rust toolchain that can build for BPF.
//!
//! The target is tier 3: `core` is built from source, so the toolchain needs `rust-src`, and the
//! unstable options need a nightly or `RUSTC_BOOTSTRAP=1` (which is set for all alike).

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::{apt, by_hand, found, installing};
use crate::{
    command::{ask, program, run_limited},
    paths,
};

/// What is downloaded when rustup has no toolchain with sources: the release that Debian has too,
/// so that both sorts of machine compile the kernel side alike.
const RELEASE: &str = "1.96.0";
/// LLVM versions that this project's bpf-linker can be built with.
const LLVM_VERSIONS: std::ops::RangeInclusive<u32> = 21..=23;
/// Long enough for 200 MB over a slow line, short enough for a test run that hangs in a proxy.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(5);
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "gcc"];
const THING: &str = "a Rust toolchain for BPF";

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Toolchain {
    /// How it is called in messages.
    name: String,
    pub cargo: PathBuf,
    pub rustc: PathBuf,
    /// Holds rustc's lib folder; for rustup's toolchains libLLVM too.
    pub sysroot: PathBuf,
    pub llvm: u32,
    /// Size and time of the compiler: another one behind the same path is looked at again.
    rustc_state: (u64, i64),
}

/// Finds one, or gets one: first all looks, since a download may be slow to fail.
pub(super) fn ensure() -> Result<Toolchain> {
    if let Some(known) = remembered() {
        found("Rust for BPF", &known.name);
        return Ok(known);
    }
    let toolchain = match find_with_rustup().or_else(find_debian) {
        Some(toolchain) => toolchain,
        None => get().with_context(|| {
            by_hand(
                THING,
                "`rustup toolchain install nightly --component rust-src`, or on Debian \
                 `apt-get install rustc-web cargo-web rust-web-src`",
            )
        })?,
    };
    found("Rust for BPF", &toolchain.name);
    remember(&toolchain)?;
    Ok(toolchain)
}

/// Where the choice is remembered.
pub(super) fn note() -> PathBuf {
    paths::tools().join("rust-for-bpf.json")
}

/// The choice of the last run, if it is still there unchanged.
fn remembered() -> Option<Toolchain> {
    let known: Toolchain = serde_json::from_slice(&fs::read(note()).ok()?).ok()?;
    let unchanged = known.cargo.exists()
        && has_sources(&known.sysroot)
        && state_of(&known.rustc) == Some(known.rustc_state);
    unchanged.then_some(known)
}

fn remember(toolchain: &Toolchain) -> Result<()> {
    fs::create_dir_all(paths::tools())?;
    let text = serde_json::to_string_pretty(toolchain)?;
    fs::write(note(), text).with_context(|| format!("cannot write {}", note().display()))
}

/// rustup's nightly, the active toolchain, then our own download.
fn find_with_rustup() -> Option<Toolchain> {
    let own = own_sysroot();
    let nightly = paths::find_program("rustup").and_then(|rustup| {
        let mut question = program(rustup);
        question.args(["run", "nightly", "rustc", "--print", "sysroot"]);
        ask(&mut question).ok()
    });
    let active = ask(program("rustc").args(["--print", "sysroot"])).ok();
    [nightly, active]
        .into_iter()
        .flatten()
        .map(|sysroot| PathBuf::from(sysroot.trim()))
        // Debian's has its own place in the order, and its own name.
        .filter(|sysroot| sysroot != Path::new("/usr"))
        .chain(own)
        .find_map(|sysroot| {
            let label = sysroot.file_name()?.to_string_lossy().into_owned();
            inspect(&format!("rustup's {label}"), &sysroot)
        })
}

fn find_debian() -> Option<Toolchain> {
    inspect("Debian's /usr/bin/rustc", Path::new("/usr"))
}

fn has_sources(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib/src/rust/library/core").exists()
}

/// A toolchain, if it has the sources and an LLVM that bpf-linker can follow.
fn inspect(name: &str, sysroot: &Path) -> Option<Toolchain> {
    let cargo = sysroot.join("bin/cargo");
    let rustc = sysroot.join("bin/rustc");
    if !has_sources(sysroot) || !cargo.exists() {
        return None;
    }
    let version = ask(program(&rustc).arg("-vV")).ok()?;
    let (release, llvm) = (field(&version, "release")?, llvm_major(&version)?);
    if !LLVM_VERSIONS.contains(&llvm) {
        found(
            "Rust for BPF",
            &format!("{name} passed over, its LLVM is {llvm}"),
        );
        return None;
    }
    Some(Toolchain {
        name: format!("{name} ({release}, LLVM {llvm})"),
        rustc_state: state_of(&rustc)?,
        cargo,
        rustc,
        sysroot: sysroot.to_owned(),
        llvm,
    })
}

fn state_of(rustc: &Path) -> Option<(u64, i64)> {
    let metadata = fs::metadata(rustc).ok()?;
    Some((metadata.len(), metadata.mtime()))
}

fn field<'a>(version: &'a str, name: &str) -> Option<&'a str> {
    version
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn llvm_major(version: &str) -> Option<u32> {
    field(version, "LLVM version")?
        .split('.')
        .next()?
        .parse()
        .ok()
}

fn get() -> Result<Toolchain> {
    if let Some(rustup) = paths::find_program("rustup") {
        installing(
            "Rust for BPF",
            &format!("asking rustup for {RELEASE} below target/"),
        );
        match download(&rustup) {
            Ok(toolchain) => return Ok(toolchain),
            Err(error) if !apt::is_available() => return Err(error),
            Err(error) => found("Rust for BPF", &format!("not from rustup: {error:#}")),
        }
    }
    installing(
        "Rust for BPF",
        &format!("installing {}", DEBIAN_PACKAGES.join(" ")),
    );
    apt::install(&DEBIAN_PACKAGES)?;
    match find_debian() {
        Some(toolchain) => Ok(toolchain),
        None => {
            bail!("/usr/bin/rustc has no library sources, or its LLVM is not in {LLVM_VERSIONS:?}")
        }
    }
}

/// rustup's home for our own toolchain: adding a component to the user's would edit their home.
fn own_rustup_home() -> PathBuf {
    paths::tools().join("rustup")
}

fn own_sysroot() -> Option<PathBuf> {
    fs::read_dir(own_rustup_home().join("toolchains"))
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains(RELEASE))
}

fn download(rustup: &Path) -> Result<Toolchain> {
    fs::create_dir_all(own_rustup_home())?;
    let mut command = program(rustup);
    command
        .env("RUSTUP_HOME", own_rustup_home())
        .env_remove("RUSTUP_TOOLCHAIN")
        .args(["toolchain", "install", RELEASE, "--no-self-update"])
        .args(["--profile", "minimal", "--component", "rust-src"]);
    let log = paths::tools().join("rustup.log");
    run_limited(&mut command, DOWNLOAD_LIMIT, &log)?;
    own_sysroot()
        .and_then(|sysroot| inspect("our own", &sysroot))
        .with_context(|| format!("rustup left no usable toolchain, see {}", log.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = "rustc 1.96.0 (ac68faa20 2026-05-25)\nbinary: rustc\nrelease: 1.96.0\n\
                           LLVM version: 22.1.8\n";

    #[test]
    fn the_version_is_read() {
        assert_eq!(field(VERSION, "release"), Some("1.96.0"));
        assert_eq!(llvm_major(VERSION), Some(22));
        assert_eq!(llvm_major("release: 1.63.0\n"), None);
    }

    #[test]
    fn a_toolchain_without_sources_is_not_chosen() {
        assert_eq!(inspect("empty", &std::env::temp_dir()), None);
    }
}
