//! What goes wrong around the agent must not go wrong in its figures, nor in the traced command. Each file
//! forces one trouble, and checks afterwards that the identities hold, that the loss is named, and that the
//! ledger is the disk.

mod accounts;
mod build;
mod canary;
mod commands;
mod open_files;
mod restarted;
mod ring;
mod sizes;
mod stopped;

use std::{fs, path::PathBuf};

use anyhow::Result;
use cache_tests::{
    actor,
    daemon::{Daemon, Run},
    env::{Bench, FileSystem},
};

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");

fn bench(name: &str) -> Result<Bench> {
    Bench::new(name, FileSystem::Native)
}

/// Lets an actor write `number` files of `bytes` bytes to a new directory of the root.
fn write_files(bench: &Bench, directory: &str, number: usize, bytes: usize) -> Result<()> {
    let directory = bench.root().join(directory);
    fs::create_dir(&directory)?;
    let words = ["files", &number.to_string(), &bytes.to_string()];
    actor::run(ACTOR, &words, &directory)
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
