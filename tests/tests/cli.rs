//! The command line as users and scripts meet it: exit statuses, streams, signals, complaints.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    agent::Traced,
    daemon::{Run, send},
    env::{self, Bench, FileSystem},
    report::Report,
    wait,
};
use rustix::process::Signal;

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");
/// The user `nobody` of every distribution, by number.
const NOBODY: &str = "65534";
/// The command needs far less until it waits for a signal.
const STARTS: Duration = Duration::from_secs(20);

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
fn an_agent_that_fails_is_125_and_starts_nothing() -> Result<()> {
    let bench = bench("status-125")?;
    let (file, one, two) = (bench.aside("file"), bench.aside("one"), bench.aside("two"));
    fs::write(&file, "")?;
    symlink(&two, &one)?;
    symlink(&one, &two)?;
    for root in [&file, &one] {
        let witness = bench.aside("witness");
        let trace = bench.trace_without_root()?.root(root.clone());
        let traced = trace.run("touch", [witness.clone()])?;
        assert_eq!(traced.code(), 125, "{}: {}", root.display(), traced.stderr);
        assert!(traced.stderr.contains(text(root)?), "{}", traced.stderr);
        assert!(!witness.exists(), "the command ran: {}", traced.stderr);
    }
    Ok(())
}

#[test]
fn a_report_that_cannot_be_written_is_125_and_starts_nothing() -> Result<()> {
    let bench = bench("status-125-report")?;
    let (witness, report) = (bench.aside("witness"), bench.aside("no/such/report"));
    let (root, report) = (bench.root(), text(&report)?.to_owned());
    let output = agent(&[
        "trace",
        "--root",
        text(&root)?,
        "--json",
        &report,
        "--",
        "touch",
        text(&witness)?,
    ])?;
    complains(&output, 125, &[&report])?;
    assert!(!witness.exists(), "the command ran");
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
        wait::until("the command's start", STARTS, || {
            Ok(ready.exists().then_some(()))
        })?;
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
        ("mv", "rename", "two"),
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
    wait::until("the command's start", STARTS, || {
        Ok(ready.exists().then_some(()))
    })?;
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
fn wrong_usage_is_2() -> Result<()> {
    for (words, part) in [
        (&["trace"][..], "CMD"),
        (&["trace", "--nonsense", "--", "true"], "--nonsense"),
        (&["trace", "--events=xml", "--", "true"], "xml"),
        (&["run", "--listen", "nowhere"], "nowhere"),
        (&["run", "extra"], "extra"),
        (&["nonsense"], "nonsense"),
        (&["config"], "check"),
    ] {
        complains(&agent(words)?, 2, &[part]).with_context(|| words.join(" "))?;
    }
    Ok(())
}

#[test]
fn unusable_roots_are_refused_by_name() -> Result<()> {
    let bench = bench("bad-roots")?;
    let (file, one, two) = (bench.aside("file"), bench.aside("one"), bench.aside("two"));
    fs::write(&file, "")?;
    symlink(&two, &one)?;
    symlink(&one, &two)?;
    for root in [&file, &one] {
        let mut daemon = Run::new(&bench, "refused")?.root(root).start()?;
        let status = daemon.wait_refusal()?;
        let log = daemon.log()?;
        assert_eq!(status.code(), Some(1), "{}: {log}", root.display());
        assert!(log.contains(text(root)?), "{log}");
    }
    Ok(())
}

/// The agent as a user without any right, run through util-linux.
fn as_nobody(words: &[&str]) -> Result<Output> {
    let bench = bench("unprivileged")?;
    // The build directory may be closed to others; a copy in the scratch directory is not.
    let copy = bench.aside("cache-agent");
    fs::copy(env::agent()?, &copy)?;
    let id = [
        format!("--reuid={NOBODY}"),
        format!("--regid={NOBODY}"),
        "--clear-groups".to_owned(),
    ];
    Ok(Command::new("setpriv")
        .args(id)
        .arg(copy)
        .args(words)
        .output()?)
}

#[test]
fn without_privileges_it_says_so() -> Result<()> {
    complains_in_one_line(
        &as_nobody(&["run", "--listen", "127.0.0.1:1"])?,
        1,
        &["root"],
    )?;
    complains_in_one_line(&as_nobody(&["trace", "--", "true"])?, 125, &["root"])
}

#[test]
fn configuration_errors_name_the_place_and_the_nearest_key() -> Result<()> {
    let bench = bench("config")?;
    let file = bench.aside("agent.toml");
    let path = text(&file)?.to_owned();
    for (content, parts) in [
        (
            "listen = \"127.0.0.1:1\"\nlisen = 1\n",
            &[":2:1", "lisen", "`listen`"][..],
        ),
        (
            "[[root]]\npath = \"/srv/x\"\nwran = \"8GiB\"\n",
            &[":3:1", "wran", "`warn`"],
        ),
        (
            "[[root]]\npath = \"relative\"\n",
            &[":2:8", "relative", "absolute"],
        ),
        (
            "[[root]]\npath = \"/a\"\nkind = \"cargo\"\n",
            &[":3:8", "cargo", "gobuild", "gomod", "other"],
        ),
        (
            "[[root]]\npath = \"/a\"\nwarn = \"much\"\n",
            &[":3:8", "much"],
        ),
        ("[[root]]\nname = \"a\"\n", &["path"]),
        ("listen = \"localhost\"\n", &[":1:10", "localhost"]),
        ("= 1\n", &[":1:1"]),
    ] {
        fs::write(&file, content)?;
        let output = agent(&["config", "check", &path])?;
        complains_in_one_line(&output, 1, parts).with_context(|| content.to_owned())?;
        let run = agent(&["run", "--config", &path])?;
        complains(&run, 1, parts).with_context(|| format!("run: {content}"))?;
    }
    Ok(())
}

#[test]
fn a_good_configuration_is_ok_and_shown() -> Result<()> {
    let bench = bench("config-good")?;
    let file: PathBuf = bench.aside("agent.toml");
    let path = text(&file)?.to_owned();
    fs::write(
        &file,
        "[[root]]\nname = \"ci\"\npath = \"/srv/ci\"\nkind = \"gobuild\"\nwarn = \"8GiB\"\n",
    )?;
    let check = agent(&["config", "check", &path])?;
    assert_eq!(
        (check.status.code(), check.stdout.as_slice()),
        (Some(0), &b"OK\n"[..])
    );
    let shown = String::from_utf8(agent(&["config", "show", &path])?.stdout)?;
    assert!(
        shown.contains("name = \"ci\"") && shown.contains("8589934592"),
        "{shown}"
    );
    fs::write(&file, &shown)?;
    assert_eq!(
        agent(&["config", "check", &path])?.status.code(),
        Some(0),
        "{shown}"
    );
    Ok(())
}

#[test]
fn a_configuration_that_is_not_there_is_named() -> Result<()> {
    let path = text(&bench("config-absent")?.aside("absent.toml"))?.to_owned();
    for words in [
        ["config", "check", &path],
        ["config", "show", &path],
        ["run", "--config", &path],
    ] {
        complains(&agent(&words)?, 1, &[&path]).with_context(|| words.join(" "))?;
    }
    Ok(())
}

#[test]
fn the_command_runs_as_the_user_that_is_named() -> Result<()> {
    let bench = bench("user")?;
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
fn under_sudo_the_command_runs_as_the_caller() -> Result<()> {
    let bench = bench("sudo")?;
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
