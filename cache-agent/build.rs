//! Puts the kernel object where `aya::include_bytes_aligned!` finds it: `OUT_DIR/cache-ebpf.o`.
//!
//! `cargo xtask build` compiles the object first and names it in `CACHE_EBPF_OBJECT`. Without that
//! variable the file is empty, so that clippy, rust-analyzer and unit tests need no BPF toolchain;
//! the agent refuses to start on an empty object.

use std::{env, error::Error, fs, path::PathBuf};

const OBJECT_VARIABLE: &str = "CACHE_EBPF_OBJECT";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={OBJECT_VARIABLE}");
    let out_dir = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: cargo sets it")?;
    let embedded = PathBuf::from(out_dir).join("cache-ebpf.o");
    match env::var_os(OBJECT_VARIABLE).map(PathBuf::from) {
        Some(object) => {
            println!("cargo::rerun-if-changed={}", object.display());
            let content = fs::read(&object).map_err(|error| {
                format!(
                    "cannot read {} ({OBJECT_VARIABLE}): {error}",
                    object.display()
                )
            })?;
            fs::write(&embedded, content)
        }
        None => fs::write(&embedded, []),
    }
    .map_err(|error| format!("cannot write {}: {error}", embedded.display()).into())
}
