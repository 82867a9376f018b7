//! A reload acts on what it changes.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use anyhow::{Result, ensure};
use cache_tests::{
    daemon::Run,
    env::{Bench, FileSystem},
};
use rustix::process::Signal;
use serde_json::Value;

use crate::daemon::told_of;

/// A command that is no longer in `[invocations] commands` is followed no more: its next run belongs to whoever
/// starts it. Known tools stay, though they were named.
#[test]
fn a_command_taken_out_is_followed_no_more() -> Result<()> {
    let bench = Bench::new("taken-out", FileSystem::Native)?;
    let (config, state) = (bench.aside("agent.toml"), bench.aside("state"));
    let (outer, inner) = (bench.aside("thanks"), bench.aside("just"));
    let second = bench.outside();
    script(&outer, "\"$1\" \"$2\"\n\"$3\" \"$4\"")?;
    script(&inner, "printf 12345 > \"$1\"")?;
    let taken_out = bench.aside("please");
    symlink(&inner, &taken_out)?;
    let run = |round: &str| -> Result<()> {
        let root = bench.root();
        let arguments = [
            (&taken_out, root.join(format!("please-{round}"))),
            (&inner, root.join(format!("just-{round}"))),
        ];
        let arguments = arguments.iter().flat_map(|(program, file)| [program, file]);
        let status = Command::new(&outer).args(arguments).status()?;
        ensure!(status.success(), "{status}");
        Ok(())
    };

    write(
        &config,
        "[\"please\", \"just\", \"thanks\"]",
        &[&bench.root()],
    )?;
    let daemon = Run::new(&bench, "agent")?
        .config(&config)
        .state(&state)
        .ready()?;
    run("before")?;
    let told = |what: &str, field: &str, value: &Value| {
        told_of(&daemon, &state, what, |record| record[field] == *value)
    };
    let before = told("the first run", "tool", &"thanks".into())?;
    ensure!(before["growth_bytes"] == 0, "{before:#}");
    let own = told("its own run", "tool", &"please".into())?;
    ensure!(
        own["growth_bytes"] == 5 && own["parent"] == before["id"],
        "{own:#}"
    );

    write(&config, "[\"thanks\"]", &[&bench.root(), &second])?;
    daemon.signal(Signal::HUP)?;
    // Roots come last.
    daemon.wait_size("outside", 0)?;
    run("after")?;
    let after = told_of(&daemon, &state, "the second run", |record| {
        record["tool"] == "thanks" && record["id"] != before["id"]
    })?;
    ensure!(after["growth_bytes"] == 5, "{after:#}\n{}", daemon.log()?);
    let known = told("the known tool's run", "parent", &after["id"])?;
    ensure!(
        known["tool"] == "just" && known["growth_bytes"] == 5,
        "{known:#}"
    );
    Ok(())
}

fn write(config: &Path, commands: &str, roots: &[&Path]) -> Result<()> {
    let tables = roots
        .iter()
        .map(|root| format!("[[root]]\npath = \"{}\"\n", root.display()));
    let tables: String = tables.collect();
    Ok(fs::write(
        config,
        format!("[invocations]\ncommands = {commands}\n{tables}"),
    )?)
}

fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{text}\n"))?;
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o755),
    )?)
}
