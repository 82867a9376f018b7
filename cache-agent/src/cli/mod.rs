//! The verbs, one file each.
//!
//! Takes: parsed arguments. Gives: text on stdout, a reason on failure.
//! Never: decides an exit status (`main` does, from [`exit`]).

pub mod args;
pub mod config;
pub mod exit;
pub mod invocations;
pub mod log;
pub mod man;
pub mod run;
pub mod walk;

use std::io::{self, Write};

use anyhow::Context as _;

fn write(output: &mut impl Write, text: &str) -> anyhow::Result<()> {
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        // The reader has seen enough, as `head` has.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to stdout"),
    }
}
