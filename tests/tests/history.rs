//! The history: what the daemon remembers when it is killed, when its file is damaged, when the disk is full.

use std::{
    fs,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    daemon::{Daemon, Run, SETTLES},
    env::{Bench, FileSystem},
    scrape,
    wait::{self, QuietTime},
};
use rusqlite::{Connection, OpenFlags};
use rustix::process::Signal;

/// What a killed agent may lose.
const LOSS: Duration = Duration::from_secs(2);
/// Agents are killed at different moments between two commits.
const STEP: Duration = Duration::from_millis(50);
/// The agent tries again after ten seconds when there was no room.
const RECOVERS: Duration = Duration::from_secs(40);

fn bench(name: &str) -> Result<Bench> {
    Bench::new(name, FileSystem::Native)
}

/// An agent on that root, its history there.
fn daemon(bench: &Bench, root: &Path, state: &Path) -> Result<Daemon> {
    Run::new(bench, "agent")?.root(root).state(state).ready()
}

fn ask<T: rusqlite::types::FromSql>(state: &Path, sql: &str) -> Result<T> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(state.join("history.db"), flags)?;
    connection.busy_timeout(SETTLES)?;
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// The newest size of any root that is in the history.
fn newest_size(state: &Path) -> Result<i64> {
    ask(
        state,
        "SELECT size_bytes FROM root_size ORDER BY minute DESC LIMIT 1",
    )
}

/// Waits until the history tells that size.
fn wait_remembered(state: &Path, bytes: i64) -> Result<()> {
    let mut last = None;
    let waited = wait::until("the size in the history", SETTLES, || {
        // Before the first commit there is nothing to ask.
        last = newest_size(state).ok();
        Ok((last == Some(bytes)).then_some(()))
    });
    waited.with_context(|| format!("it tells {last:?}, not {bytes}"))
}

/// Lines of /readyz that tell of the history.
fn degraded(daemon: &Daemon) -> Result<String> {
    let answer = scrape::get(daemon.address(), "/readyz")?;
    let lines = answer.body.lines();
    Ok(lines
        .filter(|line| line.starts_with("degraded: ") && line.contains("histor"))
        .collect::<Vec<_>>()
        .join("\n"))
}

/// Databases in the state directory, without their companions.
fn databases(state: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(state)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_companion = name.ends_with("-wal") || name.ends_with("-shm");
        if name.starts_with("history.db") && !is_companion {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[test]
fn a_killed_agent_loses_two_seconds_at_most() -> Result<()> {
    let (bench, mut lost) = (bench("history-killed")?, Vec::new());
    for round in 0..3_u64 {
        let state = bench.aside(&format!("state{round}"));
        let root = bench.root().join(format!("root{round}"));
        fs::create_dir(&root)?;
        let mut daemon = daemon(&bench, &root, &state)?;
        let mut file = fs::File::create(root.join("file"))?;
        let mut quiet = QuietTime::start();
        let duration = LOSS * 2 + STEP * u32::try_from(round * 7)?;
        // Its size is the time, in milliseconds.
        let mut size = 0;
        wait::until("the end of the writing", duration * 2, || {
            let elapsed = quiet.elapsed();
            let now = u64::try_from(elapsed.as_millis())?;
            file.write_all(&vec![b'x'; usize::try_from(now - size)?])?;
            size = now;
            Ok((elapsed > duration).then_some(()))
        })?;
        daemon.signal(Signal::KILL)?;
        daemon.wait_end()?;
        let remembered = u64::try_from(newest_size(&state)?)?;
        lost.push(size - remembered);
        // Whatever was lost, the next one goes on with what is there.
        let daemon = self::daemon(&bench, &root, &state)?;
        wait_remembered(&state, i64::try_from(size)?)?;
        assert_eq!(degraded(&daemon)?, "");
        assert_eq!(databases(&state)?, ["history.db"]);
    }
    cache_tests::env::say(&format!(
        "killed agents lost the last {lost:?} ms (at most {LOSS:?})"
    ))?;
    let limit = u64::try_from(LOSS.as_millis())?;
    ensure!(lost.iter().all(|lost| *lost <= limit), "lost {lost:?} ms");
    Ok(())
}

#[test]
fn an_ended_agent_loses_nothing() -> Result<()> {
    let bench = bench("history-ended")?;
    let state = bench.aside("state");
    let daemon = daemon(&bench, &bench.root(), &state)?;
    fs::write(bench.root().join("file"), [b'x'; 1234])?;
    assert!(daemon.stop()?.success());
    assert_eq!(newest_size(&state)?, 1234);
    Ok(())
}

#[test]
fn sizes_have_a_row_for_each_minute_with_a_change() -> Result<()> {
    let bench = bench("history-minutes")?;
    let state = bench.aside("state");
    let daemon = daemon(&bench, &bench.root(), &state)?;
    let started = Instant::now();
    for size in [10, 200, 3000] {
        fs::write(bench.root().join("file"), vec![b'x'; size])?;
        wait_remembered(&state, i64::try_from(size)?)?;
    }
    let minutes = i64::try_from(started.elapsed().as_secs() / 60)? + 2;
    let rows: i64 = ask(&state, "SELECT count(*) FROM root_size")?;
    ensure!(
        (1..=minutes).contains(&rows),
        "{rows} rows in {minutes} minutes"
    );
    let path: String = ask(&state, "SELECT path FROM root")?;
    assert_eq!(Path::new(&path), bench.root());
    assert!(daemon.stop()?.success());
    Ok(())
}

#[test]
fn crossings_are_remembered() -> Result<()> {
    let bench = bench("history-crossings")?;
    let (config, state) = (bench.aside("agent.toml"), bench.aside("state"));
    let root = bench.root();
    let text = format!(
        "[[root]]\nname = \"ci\"\npath = \"{}\"\nwarn = \"10kB\"\n",
        root.display()
    );
    fs::write(&config, text)?;
    let daemon = Run::new(&bench, "agent")?
        .config(&config)
        .state(&state)
        .ready()?;
    fs::write(root.join("big"), [b'x'; 12_000])?;
    daemon.wait_metric("go_cache_limit_crossed", "ci", 1)?;
    fs::remove_file(root.join("big"))?;
    daemon.wait_metric("go_cache_limit_crossed", "ci", 0)?;
    assert!(daemon.stop()?.success());
    let told: String = ask(
        &state,
        "SELECT group_concat(level || ' ' || crossed || ' ' || value || ' ' || \"limit\", '; ')
         FROM (SELECT * FROM crossing JOIN root ON root.key = crossing.root WHERE name = 'ci' ORDER BY crossing.key)",
    )?;
    assert_eq!(told, "warn 1 12000.0 10000.0; warn 0 0.0 10000.0");
    Ok(())
}

#[test]
fn a_damaged_history_is_set_aside_and_told() -> Result<()> {
    let bench = bench("history-damaged")?;
    let state = bench.aside("state");
    fs::create_dir(&state)?;
    fs::write(state.join("history.db"), vec![b'?'; 100_000])?;
    let daemon = daemon(&bench, &bench.root(), &state)?;
    fs::write(bench.root().join("file"), [b'x'; 55])?;
    daemon.wait_size("root", 55)?;
    wait_remembered(&state, 55)?;
    let told = wait::until("the reason", SETTLES, || {
        Ok(Some(degraded(&daemon)?).filter(|told| !told.is_empty()))
    })?;
    ensure!(told.contains("history.db.corrupt-"), "{told}");
    let aside = daemon
        .scrape()?
        .value("go_cache_agent_history_set_aside_total", &[])?;
    assert_eq!(aside.to_string(), "1");
    let names = databases(&state)?;
    ensure!(
        names.len() == 2 && names[1].starts_with("history.db.corrupt-"),
        "{names:?}"
    );
    assert_eq!(fs::read(state.join(&names[1]))?, vec![b'?'; 100_000]);
    ensure!(
        daemon.log()?.contains("history set aside"),
        "{}",
        daemon.log()?
    );
    assert!(daemon.stop()?.success());
    Ok(())
}

#[test]
fn a_newer_history_is_left_alone() -> Result<()> {
    let bench = bench("history-newer")?;
    let state = bench.aside("state");
    fs::create_dir(&state)?;
    let file = state.join("history.db");
    Connection::open(&file)?.pragma_update(None, "user_version", 1_000_000)?;
    let before = fs::read(&file)?;
    let daemon = daemon(&bench, &bench.root(), &state)?;
    let told = wait::until("the reason", SETTLES, || {
        Ok(Some(degraded(&daemon)?).filter(|told| !told.is_empty()))
    })?;
    ensure!(
        told.contains("1000000") && told.contains("left alone"),
        "{told}"
    );
    fs::write(bench.root().join("file"), [b'x'; 55])?;
    daemon.wait_size("root", 55)?;
    assert!(daemon.stop()?.success());
    assert_eq!(fs::read(&file)?, before);
    Ok(())
}

#[test]
fn a_full_disk_costs_the_history_only_and_not_for_ever() -> Result<()> {
    let bench = Bench::new("history-full", FileSystem::Tmpfs)?;
    // The state is on the bench's own file system, the root on another one.
    let (state, filler) = (
        bench.outside().join("state"),
        bench.outside().join("filler"),
    );
    let root = bench.aside("root");
    fs::create_dir(&root)?;
    let daemon = daemon(&bench, &root, &state)?;
    fs::write(root.join("file"), [b'x'; 1000])?;
    wait_remembered(&state, 1000)?;

    fill(&filler)?;
    let mut size = 1000;
    let told = wait::until("the reason", RECOVERS, || {
        size += 1;
        fs::write(root.join("file"), vec![b'x'; size])?;
        daemon.wait_size("root", u64::try_from(size)?)?;
        Ok(Some(degraded(&daemon)?).filter(|told| told.contains("set aside")))
    })?;
    ensure!(told.contains("full"), "{told}");
    let names = databases(&state)?;
    ensure!(
        names.iter().any(|name| name.contains(".full-")),
        "{names:?}"
    );

    fs::remove_file(&filler)?;
    let remembered = wait::until("the size in the history", RECOVERS, || {
        Ok(newest_size(&state).ok().filter(|found| *found > 1000))
    });
    remembered.with_context(|| daemon.log().unwrap_or_default())?;
    // The same database went on: the first size is still there.
    assert_eq!(databases(&state)?, ["history.db"]);
    let lost = daemon
        .scrape()?
        .value("go_cache_agent_history_lost_records_total", &[])?;
    assert_eq!(
        lost.to_string(),
        "0",
        "few records wait until there is room"
    );
    assert!(daemon.stop()?.success());
    Ok(())
}

/// Writes until there is no room.
fn fill(path: &Path) -> Result<()> {
    let mut file = fs::File::create(path)?;
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
    Ok(())
}
