//! What a person would watch a cache with instead of the agent; for the comparison only.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::{apt, by_hand, found, installing, programs::unpack_package};
use crate::paths;

/// A program of Debian's package of that name.
pub fn ensure(name: &str, package: &str) -> Result<PathBuf> {
    let look = || paths::find_program(name);
    if look().is_none() {
        installing(name, &format!("installing {package}"));
        apt::install(&[package])
            .with_context(|| by_hand(name, &format!("your distribution's package {package}")))?;
    }
    let program =
        look().with_context(|| format!("the package {package} holds no program {name}"))?;
    found(name, &program.display().to_string());
    Ok(program)
}

/// The audit daemon and its control program.
#[derive(Debug)]
pub struct Auditd {
    pub daemon: PathBuf,
    pub control: PathBuf,
    /// Where their libraries are, unless the system has them.
    pub libraries: Option<PathBuf>,
}

/// Taken out of Debian's packages rather than installed with them, which would start an audit daemon
/// on this machine for good.
pub fn ensure_auditd() -> Result<Auditd> {
    const PACKAGES: [&str; 7] = [
        "auditd",
        "libaudit1",
        "libauparse0",
        "libwrap0",
        "libnsl2",
        "libtirpc3",
        "libcap-ng0",
    ];
    if let (Some(daemon), Some(control)) = (
        paths::find_program("auditd"),
        paths::find_program("auditctl"),
    ) {
        found("auditd", &daemon.display().to_string());
        return Ok(Auditd {
            daemon,
            control,
            libraries: None,
        });
    }
    let unpacked = paths::tools().join("auditd");
    let daemon = unpacked.join("sbin/auditd");
    if !daemon.exists() {
        installing("auditd", "unpacking it from Debian's packages");
        for package in PACKAGES {
            unpack_package(package, &unpacked)
                .with_context(|| by_hand("auditd", "your distribution's package auditd"))?;
        }
    }
    found("auditd", &daemon.display().to_string());
    Ok(Auditd {
        daemon,
        control: unpacked.join("sbin/auditctl"),
        libraries: Some(unpacked),
    })
}
