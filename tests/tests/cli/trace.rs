//! `trace` around a command that works: its status, its output, its signals, its user.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{agent::Traced, daemon::send, env::Bench, report::Report, wait};
use rustix::process::Signal;

use super::{NOBODY, agent, bench, script, text};

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");
/// The command needs far less until it waits for a signal.
const STARTS: Duration = Duration::from_secs(20);

#[test]
fn the_exit_status_is_the_commands() -> Result<()> {
    let bench = bench("status")?;
    for (command, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        let traced = bench.trace()?.run("sh", script(command, ""))?;
        assert_eq!(traced.code(), code, "{command}: {}", traced.stderr);
        assert_eq!(traced.report()?.command.exit_code, code, "{command}");
    }
    Ok(())
}

#[test]
fn a_command_that_cannot_be_executed_is_126() -> Result<()> {
    let bench = bench("status-126")?;
    let file = bench.aside("plain");
    fs::write(&file, "not a program")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    let traced = bench.trace()?.run(&file, [""; 0])?;
    assert_eq!(traced.code(), 126, "{}", traced.stderr);
    assert!(traced.stderr.contains("plain"), "{}", traced.stderr);
    Ok(())
}

#[test]
fn a_command_that_does_not_exist_is_127() -> Result<()> {
    let traced = bench("status-127")?
        .trace()?
        .run("no-such-command-here", [""; 0])?;
    assert_eq!(traced.code(), 127, "{}", traced.stderr);
    assert!(
        traced.stderr.contains("no-such-command-here"),
        "{}",
        traced.stderr
    );
    Ok(())
}

#[test]
fn output_passes_through_and_the_report_is_on_stderr() -> Result<()> {
    let bench = bench("streams")?;
    let root = bench.root();
    let command =
        "printf 'out\\n\\nno newline'; printf 'err: one\\n' >&2; printf 12345 > \"$1/file\"";
    let traced = bench.trace()?.run("sh", script(command, &root))?;
    assert_eq!(traced.stdout, "out\n\nno newline");
    assert!(traced.stderr.contains("err: one\n"), "{}", traced.stderr);
    assert!(
        traced.stderr.contains(text(&root)?),
        "no table: {}",
        traced.stderr
    );
    traced.exact()?;
    Ok(())
}

#[test]
fn a_report_to_stdout_follows_the_output() -> Result<()> {
    let bench = bench("json-stdout")?;
    let output = agent(&[
        "trace",
        "--no-store",
        "--root",
        text(&bench.root())?,
        "--json",
        "-",
        "--",
        "echo",
        "before",
    ])?;
    let stdout = String::from_utf8(output.stdout)?;
    let document = stdout
        .strip_prefix("before\n")
        .with_context(|| stdout.clone())?;
    let report: Report = serde_json::from_str(document).with_context(|| document.to_owned())?;
    assert_eq!(report.command.argv, ["echo", "before"]);
    Ok(())
}

#[test]
fn without_root_it_watches_the_caches_that_the_command_would_use() -> Result<()> {
    let bench = bench("own-caches")?;
    let (builds, modules) = (bench.root().join("go-build"), bench.root().join("mod"));
    let trace = bench
        .trace_without_root()?
        .env("GOCACHE", &builds)
        .env("GOMODCACHE", &modules);
    let command = "mkdir -p \"$1\" && printf 1234567 > \"$1/file\"";
    let traced = trace
        .env("HOME", bench.outside())
        .run("sh", script(command, &builds))?;
    let report = traced.exact()?;
    let mut roots: Vec<_> = report
        .roots
        .iter()
        .map(|root| (root.path.clone(), root.kind.as_str()))
        .collect();
    roots.sort();
    assert_eq!(roots, [(builds, "gobuild"), (modules, "gomod")]);
    assert_eq!(report.command_bytes(), 7, "{report:#?}");
    Ok(())
}

#[test]
fn signals_reach_the_command() -> Result<()> {
    for (signal, name) in [
        (Signal::TERM, "TERM"),
        (Signal::INT, "INT"),
        (Signal::HUP, "HUP"),
    ] {
        let bench = bench("signals")?;
        let command = format!(
            "trap 'printf {name} > \"$1/got\"; exit 5' {name}; : > \"$1/ready\"; while :; do sleep 0.05; done"
        );
        let tracing = bench.trace()?.start("sh", script(&command, bench.root()))?;
        let ready = bench.root().join("ready");
        wait::for_size(&ready, 0, STARTS)?;
        send(tracing.pid(), signal)?;
        let traced = tracing.finish()?;
        assert_eq!(traced.code(), 5, "SIG{name}: {}", traced.stderr);
        assert_eq!(fs::read_to_string(bench.root().join("got"))?, name);
        assert_eq!(traced.report()?.contradictions(), [""; 0], "SIG{name}");
    }
    Ok(())
}

/// A traced command that makes, renames and removes files, with the agent's lines about it.
fn eventful(option: &str) -> Result<Traced> {
    let bench = bench("events")?;
    let command = "printf 12345 > \"$1/d/one\"; mv \"$1/d/one\" \"$1/two\"; rm \"$1/two\"";
    fs::create_dir(bench.root().join("d"))?;
    let traced = bench
        .trace()?
        .option(option)
        .run("sh", script(command, bench.root()))?;
    traced.exact()?;
    Ok(traced)
}

#[test]
fn events_as_text_are_one_line_each() -> Result<()> {
    let traced = eventful("--events")?;
    for (comm, operation, path) in [
        ("sh", "create", "d/one"),
        ("mv", "rename", "d/one"),
        ("rm", "unlink", "two"),
    ] {
        let found = traced.stderr.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            [comm, operation, path]
                .iter()
                .all(|word| words.contains(word))
        });
        assert!(
            found,
            "no line for {comm} {operation} {path}: {}",
            traced.stderr
        );
    }
    Ok(())
}

#[test]
fn events_as_json_are_one_object_each() -> Result<()> {
    let traced = eventful("--events=json")?;
    let mut sum = 0;
    let mut paths = Vec::new();
    for line in traced.stderr.lines().filter(|line| line.starts_with('{')) {
        let event: serde_json::Value =
            serde_json::from_str(line).with_context(|| line.to_owned())?;
        for name in ["time", "comm", "operation", "path"] {
            ensure!(event[name].is_string(), "{name}: {line}");
        }
        ensure!(event["pid"].is_u64(), "pid: {line}");
        sum += event["size_change"]
            .as_i64()
            .with_context(|| format!("size_change: {line}"))?;
        paths.push(event["path"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(
        sum, 0,
        "the changes of all events sum up to that of the root: {}",
        traced.stderr
    );
    assert!(
        paths.iter().any(|path| path == "d/one"),
        "{}",
        traced.stderr
    );
    Ok(())
}

#[test]
fn what_the_command_did_not_do_is_listed_apart() -> Result<()> {
    let bench = bench("others")?;
    let (root, done) = (bench.root(), bench.aside("done"));
    let command = ": > \"$1\".ready; while ! test -e \"$1\"; do sleep 0.05; done";
    let tracing = bench.trace()?.start("sh", script(command, &done))?;
    let ready = bench.aside("done.ready");
    wait::for_size(&ready, 0, STARTS)?;
    let file = root.join("other");
    let status = Command::new(ACTOR)
        .args(["write-range"])
        .arg(&file)
        .args(["0", "1000"])
        .status()?;
    assert!(status.success());
    fs::write(&done, "")?;
    let traced = tracing.finish()?;
    let report = traced.exact()?;
    assert_eq!(report.command_bytes(), 0, "{report:#?}");
    assert_eq!(report.credited_bytes(), 1000, "{report:#?}");
    Ok(())
}

#[test]
fn the_command_runs_as_the_user_that_is_named() -> Result<()> {
    let bench = Bench::for_everyone("user")?;
    chown(bench.root(), Some(NOBODY.parse()?), Some(NOBODY.parse()?))?;
    let command = "id -u; printf 12345 > \"$1/file\"";
    let trace = bench.trace()?.option("--user").option(NOBODY);
    let traced = trace.run("sh", script(command, bench.root()))?;
    assert_eq!(traced.stdout, format!("{NOBODY}\n"), "{}", traced.stderr);
    let report = traced.exact()?;
    assert_eq!(report.processes[0].uid.to_string(), NOBODY, "{report:#?}");
    Ok(())
}

#[test]
fn a_cache_that_is_not_there_yet_belongs_to_the_user_that_is_named() -> Result<()> {
    let bench = Bench::for_everyone("user-new-cache")?;
    let home = bench.root();
    chown(&home, Some(NOBODY.parse()?), Some(NOBODY.parse()?))?;
    let trace = bench.trace_without_root()?.root(home.join("cache"));
    let command = "mkdir -p \"$1/cache/ab\" && printf 12345 > \"$1/cache/ab/file\"";
    let traced = trace
        .option("--user")
        .option(NOBODY)
        .run("sh", script(command, home))?;
    assert_eq!(traced.exact()?.ledger_bytes(), 5);
    Ok(())
}

#[test]
fn a_number_that_nobody_has_is_a_user_too() -> Result<()> {
    let bench = Bench::for_everyone("stranger")?;
    let trace = bench.trace()?.option("--user").option("31337");
    let words = "id -u; id -G; echo $HOME $USER $LOGNAME";
    let traced = trace.run("sh", script(words, ""))?;
    let expected = "31337\n31337\n/ 31337 31337\n";
    assert_eq!(traced.stdout, expected, "{}", traced.stderr);
    Ok(())
}

#[test]
fn under_sudo_the_command_runs_as_the_caller() -> Result<()> {
    let bench = Bench::for_everyone("sudo")?;
    let trace = bench
        .trace()?
        .env("SUDO_UID", NOBODY)
        .env("SUDO_GID", NOBODY);
    let traced = trace.run("sh", script("id -u; id -g", ""))?;
    assert_eq!(
        traced.stdout,
        format!("{NOBODY}\n{NOBODY}\n"),
        "{}",
        traced.stderr
    );
    Ok(())
}
