//! bpf-linker, built into target/tools against an LLVM that is not older than rustc's.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{Toolchain, apt, by_hand, found, installing};
use crate::{
    command::{ask, cargo, program, run},
    paths,
};

const VERSION: &str = "0.13.0";

/// Gives the linker's path.
pub(super) fn ensure(toolchain: &Toolchain) -> Result<PathBuf> {
    let linker = paths::tools().join("bin/bpf-linker");
    let wanted = format!("bpf-linker {VERSION}, LLVM {}", toolchain.llvm);
    if linker.exists() && is_noted(&wanted) {
        found("bpf-linker", &format!("{wanted}, in target/tools"));
        return Ok(linker);
    }
    installing("bpf-linker", "building it, which takes a minute or two");
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
        .args(["install", "--quiet", "--force", "bpf-linker"])
        .args(["--version", VERSION])
        .args(["--no-default-features", "--features"])
        .arg(format!("llvm-{}", toolchain.llvm))
        .arg("--root")
        .arg(paths::tools());
    run(&mut command)?;
    Ok(prefix)
}

/// A folder whose lib/ holds libLLVM.so of rustc's version: the one rustup's compiler brings, or
/// the system's.
fn llvm_prefix(toolchain: &Toolchain) -> Result<PathBuf> {
    let own = paths::tools().join("llvm");
    if borrow_llvm(&toolchain.sysroot.join("lib"), &own.join("lib"))? {
        return Ok(own);
    }
    let version = toolchain.llvm;
    let system = PathBuf::from(format!("/usr/lib/llvm-{version}"));
    if !system.join("lib/libLLVM.so").exists() {
        let package = format!("llvm-{version}-dev");
        installing("LLVM", &format!("installing {package}"));
        apt::install(&[&package])
            .with_context(|| by_hand(&format!("LLVM {version}"), "your distribution's package"))?;
    }
    Ok(system)
}

/// Links rustc's own libLLVM under the name that linking looks for. False if it has none.
fn borrow_llvm(from: &Path, into: &Path) -> Result<bool> {
    let library = fs::read_dir(from)
        .with_context(|| format!("cannot list {}", from.display()))?
        .filter_map(Result::ok)
        // The file is called by its soname, such as libLLVM.so.22.1-rust-1.96.0-stable. Debian's
        // rustc uses the system's, which lies elsewhere.
        .find(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libLLVM.so.") && name.contains("-rust-")
        });
    let Some(library) = library else {
        return Ok(false);
    };
    fs::create_dir_all(into)?;
    for name in [library.file_name(), "libLLVM.so".into()] {
        let link = into.join(name);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link)?;
        }
        symlink(library.path(), &link)
            .with_context(|| format!("cannot make the link {}", link.display()))?;
    }
    Ok(true)
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
