//! `invocations`: what is in the history comes out, in a table or as JSON; without a history, one sentence.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::env::{self, Bench};
use rusqlite::{Connection, named_params};
use serde_json::Value;

use super::{NOBODY, agent, bench, complains, complains_in_one_line, text};

/// The tables as documented, made without the agent.
const SCHEMA: &str = concat!(
    include_str!("../../../cache-agent/src/store/migrations/1.sql"),
    include_str!("../../../cache-agent/src/store/migrations/2.sql"),
    include_str!("../../../cache-agent/src/store/migrations/3.sql"),
    include_str!("../../../cache-agent/src/store/migrations/4.sql"),
    include_str!("../../../cache-agent/src/store/migrations/5.sql")
);

/// A state directory as the agent would leave it.
fn state(bench: &Bench) -> Result<(PathBuf, Connection)> {
    let directory = bench.aside("state");
    fs::create_dir(&directory)?;
    let connection = Connection::open(directory.join("history.db"))?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.execute_batch(SCHEMA)?;
    connection.pragma_update(None, "user_version", 5)?;
    Ok((directory, connection))
}

struct Row<'a> {
    id: &'a str,
    hours_ago: i64,
    module: &'a str,
    root: &'a str,
    user: &'a str,
}

fn insert(connection: &Connection, row: &Row<'_>) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let start_ms = i64::try_from(now)? - row.hours_ago * 3_600_000;
    let roots = serde_json::json!({row.root: {"growth_bytes": 95_420_416, "freed_bytes": 0}});
    connection.execute(
        "INSERT INTO invocation (id, tool, verb, version, argv, cwd, module, uid, user, container, runtime, pod,
             namespace, unit, slice, cgroup, ci, traceparent, start_ms, duration_s, exit_code, growth_bytes,
             freed_bytes, files_created, files_deleted, lookups, hits, misses, roots, cause, fingerprint, processes)
         VALUES (:id, 'go', 'test', 'go1.27.3', '[\"go\",\"test\",\"./...\"]', '/srv/shop', :module, 1000, :user,
             '', '', '', '', '', '', '/', '{\"job\":\"lint\"}', '', :start_ms, 2.5, 1, 95420416, 0, 10, 0, 200, 150,
             50, :roots, '[{\"kind\":\"GOFLAGS\",\"detail\":\"\\\"\\\" -> \\\"-race\\\"\"}]', '{}',
             '{\"compile\":{\"count\":3,\"cpu_s\":1.5}}')",
        named_params! {
            ":id": row.id, ":module": row.module, ":user": row.user, ":start_ms": start_ms,
            ":roots": roots.to_string(),
        },
    )?;
    connection.execute(
        "INSERT OR IGNORE INTO root_path (path) VALUES (?1)",
        [row.root],
    )?;
    connection.execute(
        "INSERT INTO touched SELECT invocation.key, root_path.key, start_ms FROM invocation, root_path
         WHERE id = ?1 AND path = ?2",
        [row.id, row.root],
    )?;
    Ok(())
}

/// Three of two modules, the newest first in this list.
fn filled(bench: &Bench) -> Result<(PathBuf, Connection)> {
    let (directory, connection) = state(bench)?;
    let rows = [
        ("new", 1, "example.com/shop", "/srv/ci"),
        ("old", 48, "example.com/shop", "/srv/other"),
        ("middle", 3, "example.com/desk", "/srv/ci"),
    ];
    for (id, hours_ago, module, root) in rows {
        let user = "alice";
        insert(
            &connection,
            &Row {
                id,
                hours_ago,
                module,
                root,
                user,
            },
        )?;
    }
    connection.execute(
        "INSERT INTO root (name, path, kind) VALUES ('ci', '/srv/ci', 'gobuild')",
        [],
    )?;
    Ok((directory, connection))
}

fn list(state: &Path, words: &[&str]) -> Result<Output> {
    agent(&[&["invocations", "--state-dir", text(state)?], words].concat())
}

fn good(output: &Output) -> Result<&str> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && stderr.is_empty(),
        "{}: {stderr}",
        output.status
    );
    Ok(std::str::from_utf8(&output.stdout)?)
}

fn ids(output: &Output) -> Result<String> {
    let document: Value = serde_json::from_str(good(output)?)?;
    ensure!(document["version"] == 1, "{document}");
    let list = document["invocations"].as_array().context("no list")?;
    Ok(list
        .iter()
        .filter_map(|invocation| invocation["id"].as_str())
        .collect::<Vec<_>>()
        .join(" "))
}

#[test]
fn invocations_are_listed_newest_first() -> Result<()> {
    let bench = bench("invocations")?;
    let (state, _connection) = filled(&bench)?;
    let output = list(&state, &[])?;
    let lines: Vec<&str> = good(&output)?.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    for title in [
        "START", "USER", "GROWTH", "HITS", "EXIT", "COMMAND", "MODULE", "CAUSE",
    ] {
        assert!(lines[0].contains(title), "{title} not in {}", lines[0]);
    }
    for part in [
        "alice",
        "+91.0 MiB",
        "75.0%",
        "go test",
        "example.com/shop",
        "GOFLAGS \"\" -> \"-race\"",
    ] {
        assert!(lines[1].contains(part), "{part} not in {}", lines[1]);
    }
    assert!(lines[1] > lines[2] && lines[2] > lines[3], "{lines:#?}");
    assert!(lines[2].contains("example.com/desk"), "{lines:#?}");
    Ok(())
}

#[test]
fn invocations_are_selected() -> Result<()> {
    let bench = bench("invocations-selected")?;
    let (state, _connection) = filled(&bench)?;
    for (words, expected) in [
        (&[][..], "new middle old"),
        (&["--since", "24h"], "new middle"),
        (&["--since", "2h"], "new"),
        (&["--since", "1s"], ""),
        (&["--limit", "2"], "new middle"),
        (&["--root", "ci"], "new middle"),
        (&["--root", "/srv/other/"], "old"),
        (&["--module", "example.com/shop"], "new old"),
        (
            &[
                "--module",
                "example.com/shop",
                "--root",
                "ci",
                "--since",
                "7d",
            ],
            "new",
        ),
    ] {
        let output = list(&state, &[&["--json"], words].concat())?;
        assert_eq!(ids(&output)?, expected, "{words:?}");
    }
    let cut = list(&state, &["--limit", "1"])?;
    assert!(good(&cut)?.trim_end().ends_with("see --limit"), "{cut:?}");
    complains_in_one_line(&list(&state, &["--root", "nowhere"])?, 1, &["nowhere"])
}

#[test]
fn invocations_have_the_documented_names_in_json() -> Result<()> {
    let bench = bench("invocations-json")?;
    let (state, _connection) = filled(&bench)?;
    let output = list(&state, &["--json", "--limit", "1"])?;
    let document: Value = serde_json::from_str(good(&output)?)?;
    let found = &document["invocations"][0];
    for name in [
        "id",
        "parent",
        "tool",
        "verb",
        "version",
        "argv",
        "cwd",
        "module",
        "uid",
        "user",
        "container",
        "pod",
        "unit",
        "ci",
        "start",
        "duration_s",
        "exit_code",
        "growth_bytes",
        "freed_bytes",
        "files_created",
        "files_deleted",
        "lookups",
        "hits",
        "misses",
        "cause",
        "processes",
    ] {
        assert!(found.get(name).is_some(), "{name} not in {found}");
    }
    assert_eq!(found["ci"]["job"], "lint");
    assert_eq!(found["cause"][0]["detail"], "\"\" -> \"-race\"");
    assert_eq!(found["processes"]["compile"]["count"], 3);
    assert_eq!(
        (&found["growth_bytes"], &found["exit_code"]),
        (&95_420_416.into(), &1.into())
    );
    Ok(())
}

#[test]
fn hostile_names_do_not_reach_the_terminal() -> Result<()> {
    let bench = bench("invocations-hostile")?;
    let (state, connection) = state(&bench)?;
    let row = Row {
        id: "x",
        hours_ago: 1,
        module: "m\u{1b}[2J\nfake",
        root: "/r",
        user: "a\rb\u{9b}c",
    };
    insert(&connection, &row)?;
    let output = list(&state, &[])?;
    let shown = good(&output)?;
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(
        shown.contains("m\\u{1b}[2J\\nfake") && shown.contains("a\\rb\\u{9b}c"),
        "{shown}"
    );
    Ok(())
}

#[test]
fn without_a_history_one_sentence_says_so() -> Result<()> {
    let bench = bench("invocations-absent")?;
    let absent = bench.aside("absent");
    complains_in_one_line(&list(&absent, &[])?, 1, &["no history in", text(&absent)?])?;
    assert!(!absent.exists(), "reading made a directory");
    let garbage = bench.aside("garbage");
    fs::create_dir(&garbage)?;
    fs::write(garbage.join("history.db"), vec![b'?'; 10_000])?;
    complains_in_one_line(&list(&garbage, &[])?, 1, &["not a database"])?;
    let newer = bench.aside("newer");
    fs::create_dir(&newer)?;
    Connection::open(newer.join("history.db"))?.pragma_update(None, "user_version", 77)?;
    complains_in_one_line(&list(&newer, &[])?, 1, &["schema 77", "left alone"])?;
    for words in [
        &["--since", "soon"][..],
        &["--limit", "0"],
        &["--state-dir"],
        &["extra"],
    ] {
        complains(&agent(&[&["invocations"], words].concat())?, 2, &[])
            .with_context(|| words.join(" "))?;
    }
    Ok(())
}

#[test]
fn a_history_that_can_be_read_needs_no_root() -> Result<()> {
    let bench = Bench::for_everyone("invocations-unprivileged")?;
    let (state, connection) = filled(&bench)?;
    drop(connection);
    let copy = bench.aside("cache-agent");
    fs::copy(env::agent()?, &copy)?;
    let list = || -> Result<Output> {
        let id = [
            format!("--reuid={NOBODY}"),
            format!("--regid={NOBODY}"),
            "--clear-groups".to_owned(),
        ];
        let mut command = Command::new("setpriv");
        command
            .args(id)
            .arg(&copy)
            .args(["invocations", "--json", "--state-dir"]);
        Ok(command.arg(&state).output()?)
    };
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    allow(&state, 0o755)?;
    allow(&state.join("history.db"), 0o644)?;
    assert_eq!(ids(&list()?)?, "new middle old");
    allow(&state.join("history.db"), 0o600)?;
    complains_in_one_line(&list()?, 1, &["history"])?;
    allow(&state, 0o700)?;
    complains_in_one_line(&list()?, 1, &["Permission denied"])
}

#[test]
fn help_has_examples_and_exit_statuses() -> Result<()> {
    let output = agent(&["invocations", "--help"])?;
    let help = good(&output)?;
    for part in [
        "Examples:",
        "cache-agent invocations --since 24h",
        "Exit status:",
        "--root",
        "--json",
    ] {
        assert!(help.contains(part), "{part} not in {help}");
    }
    Ok(())
}
