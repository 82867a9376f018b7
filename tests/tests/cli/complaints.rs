//! Bad input: one sentence that names the thing and the way out, the right status, nothing done.

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, Output},
};

use anyhow::{Context as _, Result};
use cache_tests::{
    daemon::Run,
    env::{self, Bench},
};

use super::{NOBODY, agent, bench, complains, complains_in_one_line, text};

#[test]
fn an_agent_that_fails_is_125_and_starts_nothing() -> Result<()> {
    let bench = bench("status-125")?;
    let (file, one, two) = (bench.aside("file"), bench.aside("one"), bench.aside("two"));
    fs::write(&file, "")?;
    symlink(&two, &one)?;
    symlink(&one, &two)?;
    let witness = bench.aside("witness");
    for root in [&file, &one] {
        let root = text(root)?;
        let output = agent(&["trace", "--root", root, "--", "touch", text(&witness)?])?;
        complains_in_one_line(&output, 125, &[root]).with_context(|| root.to_owned())?;
        assert!(!witness.exists(), "{root}: the command ran");
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
    let bench = Bench::for_everyone("unprivileged")?;
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
        &as_nobody(&["run", "--listen", "127.0.0.1:0"])?,
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
