//! The command line as users and scripts meet it: exit statuses, streams, signals, complaints.

mod complaints;
mod ends;
mod invocations;
mod roots;
mod trace;

use std::{
    ffi::OsString,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::env::{self, Bench, FileSystem};

/// The user `nobody` of every distribution, by number.
const NOBODY: &str = "65534";

fn bench(name: &str) -> Result<Bench> {
    Bench::new(name, FileSystem::Native)
}

/// Arguments of `sh` that run `script` with `path` as its first argument.
fn script(script: &str, path: impl Into<OsString>) -> [OsString; 4] {
    ["-c".into(), script.into(), "sh".into(), path.into()]
}

/// Runs the agent with `words`, which it should do in no time.
fn agent(words: &[&str]) -> Result<Output> {
    Ok(Command::new(env::agent()?).args(words).output()?)
}

/// It ended with `code` and said one sentence on stderr that has all of `parts`.
fn complains(output: &Output, code: i32, parts: &[&str]) -> Result<()> {
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(code),
        "{} instead of {code}: {text}",
        output.status
    );
    ensure!(
        output.stdout.is_empty(),
        "on stdout: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    ensure!(!text.contains("panicked"), "{text}");
    for part in parts {
        ensure!(text.contains(part), "`{part}` is not in: {text}");
    }
    Ok(())
}

/// Like [`complains`], for errors that are not about usage: nothing but one line.
fn complains_in_one_line(output: &Output, code: i32, parts: &[&str]) -> Result<()> {
    complains(output, code, parts)?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(
        text.trim_end().lines().count() == 1,
        "more than one line: {text}"
    );
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .context("the scratch directory's name is not UTF-8")
}
