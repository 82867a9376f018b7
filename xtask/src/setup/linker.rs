//! bpf-linker, built into target/tools against an LLVM that is not older than rustc's.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{Toolchain, by_hand, found, installing};
use crate::{
    command::{ask, cargo, program, run},
    paths,
};

const VERSION: &str = "0.13.0";

/// Gives the linker's path.
pub(super) fn ensure(toolchain: &Toolchain) -> Result<PathBuf> {
    let linker = path();
    let wanted = format!("bpf-linker {VERSION}, LLVM {}", toolchain.llvm);
    if linker.exists() && is_noted(&wanted) {
        found("bpf-linker", &format!("{wanted}, in target/tools"));
        return Ok(linker);
    }
    installing("bpf-linker", "building it, which takes about a minute");
    match build(toolchain) {
        Ok(prefix) => {
            remember(&wanted, &prefix)?;
            found("bpf-linker", &format!("{wanted}, in target/tools"));
            Ok(linker)
        }
        Err(error) => installed_by_user().ok_or(error).with_context(|| {
            by_hand(
                &wanted,
                "https://github.com/aya-rs/bpf-linker#installation, on PATH",
            )
        }),
    }
}

/// Where our own is.
pub(super) fn path() -> PathBuf {
    paths::tools().join("bin/bpf-linker")
}

fn note() -> PathBuf {
    paths::tools().join("bpf-linker.txt")
}

/// Whether the linker was built as wanted, and still finds its LLVM.
fn is_noted(wanted: &str) -> bool {
    let Ok(note) = fs::read_to_string(note()) else {
        return false;
    };
    note.split_once('\n').is_some_and(|(built, prefix)| {
        built == wanted && Path::new(prefix).join("lib/libLLVM.so").exists()
    })
}

fn remember(built: &str, prefix: &Path) -> Result<()> {
    let text = format!("{built}\n{}", prefix.display());
    fs::write(note(), text).with_context(|| format!("cannot write {}", note().display()))
}

/// Gives the prefix of the LLVM that it is linked to.
fn build(toolchain: &Toolchain) -> Result<PathBuf> {
    let prefix = llvm_prefix(toolchain)?;
    let mut command = cargo();
    command
        .env("LLVM_PREFIX", &prefix)
        // What it does is LLVM's work, which is compiled already; its own profile has all debug information.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .args(["install", "--quiet", "--force", "bpf-linker"])
        .args(["--version", VERSION])
        .args(["--no-default-features", "--features"])
        .arg(format!("llvm-{}", toolchain.llvm))
        .arg("--root")
        .arg(paths::tools());
    run(&mut command)?;
    Ok(prefix)
}

/// A folder whose lib/ holds libLLVM.so of rustc's version: the library that rustup's compiler brings, or the
/// system's, on which Debian's compiler depends. Linking needs no more of LLVM than that.
fn llvm_prefix(toolchain: &Toolchain) -> Result<PathBuf> {
    let Toolchain { sysroot, llvm, .. } = toolchain;
    let system = PathBuf::from(format!("/usr/lib/{}-linux-gnu", env::consts::ARCH));
    // Called by its soname, such as libLLVM.so.22.1-rust-1.96.0-stable or libLLVM.so.22.1.
    let start = format!("libLLVM.so.{llvm}.");
    let library = [sysroot.join("lib"), system]
        .iter()
        .find_map(|folder| file_starting_with(&start, folder))
        .with_context(|| format!("there is no {start}* beside rustc or in the system"))?;
    let own = paths::tools().join("llvm");
    borrow(&library, &own.join("lib"))?;
    Ok(own)
}

fn file_starting_with(start: &str, folder: &Path) -> Option<PathBuf> {
    fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .find(|entry| entry.file_name().to_string_lossy().starts_with(start))
        .map(|entry| entry.path())
}

/// Links the library under the name that linking looks for, and its own.
fn borrow(library: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    for name in library
        .file_name()
        .into_iter()
        .chain(["libLLVM.so".as_ref()])
    {
        let link = into.join(name);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link)?;
        }
        symlink(library, &link)
            .with_context(|| format!("cannot make the link {}", link.display()))?;
    }
    Ok(())
}

/// A linker that the user installed, as a last resort: what LLVM it has cannot be asked.
fn installed_by_user() -> Option<PathBuf> {
    let linker = paths::find_program("bpf-linker")?;
    let version = ask(program(&linker).arg("--version")).ok()?;
    is_recent(&version).ok()?;
    found(
        "bpf-linker",
        &format!("{}, in {}", version.trim(), linker.display()),
    );
    Some(linker)
}

fn is_recent(version: &str) -> Result<()> {
    let numbers = |text: &str| -> Vec<u32> {
        text.trim()
            .split('.')
            .map_while(|part| part.parse().ok())
            .collect()
    };
    let Some(version) = version.strip_prefix("bpf-linker ") else {
        bail!("`{version}` is not a version");
    };
    if numbers(version) < numbers(VERSION) {
        bail!("bpf-linker {version} is older than {VERSION}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        for (version, recent) in [
            ("bpf-linker 0.13.0\n", true),
            ("bpf-linker 0.14.2\n", true),
            ("bpf-linker 1.0.0\n", true),
            ("bpf-linker 0.9.15\n", false),
            ("lld 18", false),
        ] {
            assert_eq!(is_recent(version).is_ok(), recent, "{version}");
        }
    }
}
