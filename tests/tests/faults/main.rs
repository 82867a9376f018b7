//! What goes wrong around the agent must not go wrong in its figures, nor in the traced command. Each file
//! forces one trouble, and checks afterwards that the identities hold, that the loss is named, and that the
//! ledger is the disk.

mod accounts;
mod canary;
mod commands;
mod open_files;
mod restarted;
mod ring;
mod sizes;
mod stopped;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    daemon::{Daemon, Run},
    env::{self, Bench, FileSystem},
};

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");

fn bench(name: &str) -> Result<Bench> {
    Bench::new(name, FileSystem::Native)
}

/// Lets an actor write `number` files of `bytes` bytes to a new directory of the root.
fn write_files(bench: &Bench, directory: &str, number: usize, bytes: usize) -> Result<()> {
    let directory = bench.root().join(directory);
    fs::create_dir(&directory)?;
    let words = ["files".to_owned(), number.to_string(), bytes.to_string()];
    let status = Command::new(ACTOR).args(words).arg(directory).status()?;
    ensure!(status.success(), "the actor: {status}");
    Ok(())
}

/// A configuration that watches the bench's root, with these lines in front.
fn configuration(bench: &Bench, lines: &str) -> Result<PathBuf> {
    let file = bench.aside("agent.toml");
    let root = bench.root();
    let text = format!("{lines}\n[[root]]\npath = \"{}\"\n", root.display());
    fs::write(&file, text)?;
    Ok(file)
}

/// A daemon on the bench's root, with kernel maps of these sizes and nothing else that counts in them. It
/// walks often: the test does not wait an hour for the reconciling walk.
fn daemon(bench: &Bench, maps: &str) -> Result<Daemon> {
    let lines = format!("walk_interval = \"2s\"\ncanary_interval = \"off\"\n[maps]\n{maps}\n");
    let configuration = configuration(bench, &lines)?;
    Run::new(bench, "agent")?.config(&configuration).ready()
}

/// A cold build with the newest Go, its cache the bench's root.
fn go_build(bench: &Bench) -> Result<Command> {
    let go = env::go()?
        .pop()
        .context("CACHE_TEST_GO names no toolchain")?;
    let aside = |name: &str| -> Result<PathBuf> {
        let directory = bench.outside().join(name);
        fs::create_dir_all(&directory)?;
        Ok(directory)
    };
    let mut command = Command::new(go.goroot.join("bin/go"));
    command
        .args(["build", "net/http", "go/types", "crypto/x509"])
        .current_dir(aside("home")?)
        .env_clear()
        .env("PATH", Path::new("/usr/bin:/bin"))
        .env("HOME", aside("home")?)
        .env("TMPDIR", aside("tmp")?)
        .env("GOMODCACHE", aside("mod")?)
        .env("GOCACHE", bench.root())
        .env("GOROOT", go.goroot)
        .env("GOENV", "off")
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=mod")
        .env("GOPROXY", "off");
    Ok(command)
}
