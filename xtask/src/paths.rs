//! Every place xtask reads or writes.

use std::{env, path::PathBuf};

/// The workspace's folder.
pub fn root() -> PathBuf {
    // Set by cargo when it runs one of our packages. The value baked in at build time is for running
    // the binary by hand: a checkout that moved is found again as soon as cargo starts it.
    let manifest =
        env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let manifest = PathBuf::from(manifest);
    let root = manifest
        .ancestors()
        .find(|it| it.join("Cargo.lock").exists());
    root.unwrap_or(&manifest).to_owned()
}

/// Build results; always below the workspace, so that the README's paths hold.
pub fn target() -> PathBuf {
    root().join("target")
}

/// Tools that set-up builds or downloads, and its notes about them.
pub fn tools() -> PathBuf {
    target().join("tools")
}

/// Working directory of system tests and benchmarks.
pub fn scratch() -> PathBuf {
    target().join("scratch")
}

/// Looks for a program in PATH, then where administrators' programs are: a user's PATH often
/// lacks the latter.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}
