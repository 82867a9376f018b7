//! The daemon: its figures against the disk, its exposition against Prometheus' rules, its bounds.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    actor::{self, Holding},
    cases::crowd_bytes,
    daemon::{Daemon, Run, SETTLES},
    env::{self, Bench, FileSystem},
    scrape, tree, wait,
};
use rustix::process::Signal;

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");
/// What the contract allows for ten roots.
const MOST_SERIES: usize = 200;
/// A scrape that takes longer is broken; the figure itself is printed.
const SLOW_SCRAPE: Duration = Duration::from_millis(50);
/// How many are timed at least.
const SCRAPES: u32 = 20;
/// Far more than a writer here needs, beside whatever else the machine does.
const WRITES: Duration = Duration::from_mins(1);

fn bench(name: &str) -> Result<Bench> {
    Bench::new(name, FileSystem::Native)
}

/// Directories with those names in the root of the bench, to be watched.
fn directories<const N: usize>(bench: &Bench, names: [&str; N]) -> Result<[PathBuf; N]> {
    let paths = names.map(|name| bench.root().join(name));
    paths.iter().try_for_each(fs::create_dir)?;
    Ok(paths)
}

fn actor(words: &[&str], path: &Path) -> Result<()> {
    actor::run(ACTOR, words, path)
}

/// The metrics say of `root` what a walk of its directory says.
fn agrees(daemon: &Daemon, root: &Path) -> Result<()> {
    let name = root
        .file_name()
        .and_then(|name| name.to_str())
        .context("a root without a name")?;
    let tree = tree::walk(root, &[])?;
    daemon.wait_size(name, tree.bytes)?;
    let exposition = daemon.wait_metric("go_cache_files", name, tree.files)?;
    let drift = exposition.of_root("go_cache_drift_bytes", name)?;
    ensure!(drift.abs() < f64::EPSILON, "{name}: drift {drift} B");
    Ok(())
}

#[test]
fn sizes_are_those_of_the_disk() -> Result<()> {
    let bench = bench("sizes")?;
    let [one, two] = directories(&bench, ["one", "two"])?;
    fs::write(one.join("before"), [b'x'; 777])?;
    let daemon = Run::new(&bench, "agent")?.root(&one).root(&two).ready()?;
    agrees(&daemon, &one)?;
    actor(&["files", "50", "1234"], &one)?;
    actor(&["files", "3", "100000"], &two)?;
    fs::rename(two.join("file0"), one.join("moved"))?;
    fs::remove_file(one.join("before"))?;
    agrees(&daemon, &one)?;
    agrees(&daemon, &two)?;
    let exposition = daemon.scrape()?;
    let totals = |name| {
        exposition
            .of_root(name, "one")
            .map(|value| value.to_string())
    };
    assert_eq!(
        totals("go_cache_files_created_total")?,
        "51",
        "{}",
        exposition.text
    );
    assert_eq!(
        totals("go_cache_files_deleted_total")?,
        "1",
        "{}",
        exposition.text
    );
    assert_eq!(
        totals("go_cache_freed_bytes_total")?,
        "777",
        "{}",
        exposition.text
    );
    assert_eq!(
        totals("go_cache_growth_bytes_total")?,
        (50 * 1234 + 100_000).to_string(),
        "{}",
        exposition.text
    );
    assert!(daemon.stop()?.success());
    Ok(())
}

#[test]
fn a_file_that_stays_open_shows_while_it_grows() -> Result<()> {
    let bench = bench("live")?;
    let daemon = Run::new(&bench, "agent")?.root(bench.root()).ready()?;
    let file = bench.root().join("file").into_os_string();
    let words = ["hold".into(), file, "50000".into()];
    let writer = Holding::start(ACTOR, words, bench.aside("go-on"))?;
    daemon.wait_size("root", 50_000)?;
    writer.release()?;
    agrees(&daemon, &bench.root())
}

#[test]
fn promtool_finds_nothing() -> Result<()> {
    let bench = bench("promtool")?;
    let daemon = Run::new(&bench, "agent")?.root(bench.root()).ready()?;
    actor(&["files", "5", "100"], &bench.root())?;
    let exposition = daemon.wait_size("root", 500)?;
    let mut promtool = Command::new(env::promtool()?)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    promtool
        .stdin
        .take()
        .context("no stdin")?
        .write_all(exposition.text.as_bytes())?;
    let output = promtool.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}",
        String::from_utf8_lossy(&said)
    );
    Ok(())
}

#[test]
fn ten_roots_and_twenty_thousand_processes_leave_few_series() -> Result<()> {
    const PROCESSES: usize = 2000;
    let bench = bench("bounded")?;
    let roots = directories(
        &bench,
        ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9"],
    )?;
    let run = roots.iter().fold(Run::new(&bench, "agent")?, Run::root);
    let daemon = run.ready()?;
    for root in &roots {
        actor(&["crowd", &PROCESSES.to_string()], root)?;
    }
    let bytes: usize = (0..PROCESSES).map(crowd_bytes).sum();
    for root in &roots {
        assert_eq!(tree::walk(root, &[])?.bytes, u64::try_from(bytes)?);
        agrees(&daemon, root)?;
    }
    let exposition = daemon.scrape()?;
    let series = exposition.samples.len();
    assert!(
        series <= MOST_SERIES,
        "{series} series:\n{}",
        exposition.text
    );
    let created = exposition.value("go_cache_files_created_total", &[])?;
    assert_eq!(created.to_string(), (10 * PROCESSES).to_string());

    // One that had a processor to itself tells what a scrape takes.
    let (mut scrapes, mut best) = (0, Duration::MAX);
    let fast = wait::until("a fast scrape", SETTLES, || {
        let started = Instant::now();
        daemon.scrape()?;
        best = best.min(started.elapsed());
        scrapes += 1;
        Ok((scrapes >= SCRAPES && best < SLOW_SCRAPE).then_some(()))
    });
    env::say(&format!(
        "scrape of ten roots, {series} series: best of {scrapes} is {best:?} (to reach: under 5 ms)"
    ))?;
    fast.with_context(|| format!("a scrape takes {best:?}"))
}

#[test]
fn health_is_told() -> Result<()> {
    let bench = bench("health")?;
    let daemon = Run::new(&bench, "agent")?.root(bench.root()).ready()?;
    let health = scrape::get(daemon.address(), "/healthz")?;
    assert_eq!(health.status, 200, "{}", health.body);
    assert_eq!(scrape::get(daemon.address(), "/no-such-page")?.status, 404);
    Ok(())
}

#[test]
fn sigterm_and_sigint_end_it_in_order() -> Result<()> {
    for signal in [Signal::TERM, Signal::INT] {
        let bench = bench("ends")?;
        let mut daemon = Run::new(&bench, "agent")?.root(bench.root()).ready()?;
        daemon.signal(signal)?;
        let status = daemon.wait_end()?;
        assert_eq!(status.code(), Some(0), "{signal:?}: {}", daemon.log()?);
    }
    Ok(())
}

#[test]
fn a_root_is_taken_up_when_it_appears_and_when_it_comes_back() -> Result<()> {
    let bench = bench("late-root")?;
    let root = bench.root().join("late");
    let daemon = Run::new(&bench, "agent")?.root(&root).ready()?;
    for round in 1..=3_usize {
        fs::create_dir(&root)?;
        actor(&["files", &round.to_string(), "1000"], &root)?;
        agrees(&daemon, &root).with_context(|| format!("round {round}"))?;
        // Taken up means watched too, not only walked once.
        fs::write(root.join("later"), [b'x'; 55])?;
        agrees(&daemon, &root).with_context(|| format!("round {round}, a later file"))?;
        fs::remove_dir_all(&root)?;
        daemon
            .wait_size("late", 0)
            .with_context(|| format!("round {round}, removed"))?;
    }
    Ok(())
}

#[test]
fn a_second_agent_on_the_same_port_gives_way() -> Result<()> {
    let bench = bench("port")?;
    let daemon = Run::new(&bench, "first")?.root(bench.root()).ready()?;
    let mut second = Run::new(&bench, "second")?
        .root(bench.root())
        .listen(daemon.address())
        .start()?;
    let status = second.wait_refusal()?;
    let log = second.log()?;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains(&daemon.address().port().to_string()), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    fs::write(bench.root().join("file"), [b'x'; 10])?;
    agrees(&daemon, &bench.root())
}

#[test]
fn two_agents_on_one_root_are_both_exact() -> Result<()> {
    let bench = bench("two-agents")?;
    let first = Run::new(&bench, "first")?.root(bench.root()).ready()?;
    fs::write(bench.root().join("early"), [b'x'; 4000])?;
    let second = Run::new(&bench, "second")?.root(bench.root()).ready()?;
    actor(&["files", "100", "100"], &bench.root())?;
    agrees(&first, &bench.root())?;
    agrees(&second, &bench.root())?;
    assert!(first.stop()?.success());
    fs::remove_file(bench.root().join("early"))?;
    agrees(&second, &bench.root())
}

#[test]
fn a_crossed_limit_is_told_once() -> Result<()> {
    let bench = bench("limit")?;
    let config = bench.aside("agent.toml");
    let path = bench.root();
    fs::write(
        &config,
        format!(
            "[[root]]\nname = \"ci\"\npath = \"{}\"\nwarn = \"10kB\"\n",
            path.display()
        ),
    )?;
    let daemon = Run::new(&bench, "agent")?.config(&config).ready()?;
    let crossed = |expected: u64| daemon.wait_metric("go_cache_limit_crossed", "ci", expected);
    assert_eq!(
        crossed(0)?
            .of_root("go_cache_limit_bytes", "ci")?
            .to_string(),
        "10000"
    );
    for _ in 0..3 {
        fs::write(path.join("big"), [b'x'; 12_000])?;
        crossed(1)?;
        // Not far enough below the limit to be another crossing next time.
        fs::write(path.join("big"), [b'x'; 9990])?;
        daemon.wait_size("ci", 9990)?;
    }
    let crossings = daemon
        .scrape()?
        .value("go_cache_limit_crossings_total", &[("level", "warn")])?;
    assert_eq!(crossings.to_string(), "1");
    let told = |daemon: &Daemon| -> Result<usize> {
        Ok(daemon
            .log()?
            .lines()
            .filter(|line| line.contains("WARN") && line.contains("ci"))
            .count())
    };
    wait::until("the log line", SETTLES, || {
        Ok((told(&daemon)? > 0).then_some(()))
    })?;
    assert_eq!(told(&daemon)?, 1, "{}", daemon.log()?);
    fs::remove_file(path.join("big"))?;
    crossed(0)?;
    Ok(())
}

#[test]
fn walks_while_others_write_find_no_drift() -> Result<()> {
    let bench = bench("walks")?;
    let config = bench.aside("agent.toml");
    let [path] = directories(&bench, ["ci"])?;
    fs::write(
        &config,
        format!(
            "walk_interval = \"1s\"\n[[root]]\npath = \"{}\"\n",
            path.display()
        ),
    )?;
    let daemon = Run::new(&bench, "agent")?.config(&config).ready()?;
    let mut drifts = Vec::new();
    for round in 0..2 {
        let directory = path.join(format!("round{round}"));
        fs::create_dir(&directory)?;
        let mut writer = Command::new(ACTOR)
            .args(["reuse", "20000"])
            .arg(&directory)
            .spawn()?;
        let status = wait::until("the writer's end", WRITES, || {
            drifts.push(daemon.scrape()?.of_root("go_cache_drift_bytes", "ci")?);
            Ok(writer.try_wait()?)
        })?;
        ensure!(status.success(), "the writer: {status}");
    }
    let tree = tree::walk(&path, &[])?;
    let exposition = daemon.wait_size("ci", tree.bytes)?;
    let worst = drifts.into_iter().map(f64::abs).fold(0.0, f64::max);
    let log = daemon.log()?;
    assert!(worst < 1.0, "drift of {worst} B\n{log}");
    let unattributed = exposition.value(
        "go_cache_group_growth_bytes_total",
        &[("group", "unattributed")],
    )?;
    assert_eq!(unattributed.to_string(), "0", "{log}");
    Ok(())
}
