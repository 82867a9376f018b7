//! What goes wrong around the agent must not go wrong in its figures, nor in the traced command.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use cache_tests::{
    daemon::{Run, send},
    env::{Bench, FileSystem},
    wait,
};
use rustix::process::Signal;

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");
/// How long the agent does not run while the caches grow.
const STOPPED: Duration = Duration::from_secs(5);
/// Far more than the commands here need.
const LIMIT: Duration = Duration::from_secs(30);

fn bench(name: &str) -> Result<Bench> {
    Bench::new(name, FileSystem::Native)
}

/// Lets an actor write `number` files of `bytes` bytes to a new directory of the root.
fn write_files(bench: &Bench, directory: &str, number: usize, bytes: usize) -> Result<()> {
    let directory = bench.root().join(directory);
    fs::create_dir(&directory)?;
    let words = ["files".to_owned(), number.to_string(), bytes.to_string()];
    let status = Command::new(ACTOR).args(words).arg(directory).status()?;
    ensure!(status.success(), "the actor: {status}");
    Ok(())
}

#[test]
fn an_agent_that_was_stopped_for_seconds_has_the_right_totals() -> Result<()> {
    let bench = bench("stopped")?;
    let daemon = Run::new(&bench, "agent")?.root(bench.root()).ready()?;
    daemon.signal(Signal::STOP)?;
    let stopped = Instant::now();
    let mut round = 0;
    while stopped.elapsed() < STOPPED {
        write_files(&bench, &format!("round{round}"), 100, 1000)?;
        round += 1;
    }
    fs::remove_dir_all(bench.root().join("round0"))?;
    daemon.signal(Signal::CONT)?;
    let tree = bench.walk()?;
    let exposition = daemon.wait_size("root", tree.bytes)?;
    assert_eq!(
        exposition
            .of_root("go_cache_drift_bytes", "root")?
            .to_string(),
        "0"
    );
    daemon.wait_metric("go_cache_files", "root", tree.files)?;
    assert!(daemon.stop()?.success());
    Ok(())
}

#[test]
fn a_command_killed_while_it_writes_is_accounted_for() -> Result<()> {
    let bench = bench("killed-command")?;
    let file = bench.root().join("file");
    let words = [
        "hold".into(),
        file.clone().into_os_string(),
        "54321".into(),
        bench.aside("never").into_os_string(),
    ];
    let pid_file = bench.aside("pid");
    let shell = [
        "-c".into(),
        "echo $$ > \"$1\"; shift; exec \"$@\"".into(),
        "sh".into(),
        pid_file.clone().into_os_string(),
        ACTOR.into(),
    ];
    let tracing = bench.trace()?.start("sh", shell.into_iter().chain(words))?;
    wait::until("the actor's first write", LIMIT, || {
        Ok(fs::metadata(&file)
            .is_ok_and(|found| found.len() == 54_321)
            .then_some(()))
    })?;
    let pid = fs::read_to_string(pid_file)?.trim().parse()?;
    send(pid, Signal::KILL)?;
    let traced = tracing.finish()?;
    assert_eq!(traced.code(), 137, "{}", traced.stderr);
    let report = traced.report()?;
    assert_eq!(report.contradictions(), [""; 0], "{report:#?}");
    let account = traced.account(pid)?;
    assert_eq!(
        account.map(|process| process.growth_bytes),
        Some(54_321),
        "{report:#?}"
    );
    Ok(())
}

#[test]
fn a_killed_agent_leaves_the_command_alone() -> Result<()> {
    let bench = bench("killed-agent")?;
    let (file, sign) = (bench.root().join("file"), bench.aside("go-on"));
    let words = [
        "hold".into(),
        file.clone().into_os_string(),
        "1000".into(),
        sign.clone().into_os_string(),
    ];
    let tracing = bench.trace()?.start(ACTOR, words)?;
    let size = |bytes: u64| {
        wait::until("the actor's write", LIMIT, || {
            Ok(fs::metadata(&file)
                .is_ok_and(|found| found.len() == bytes)
                .then_some(()))
        })
    };
    size(1000)?;
    send(tracing.pid(), Signal::KILL)?;
    // Both its end and that of its reader threads: nothing of the agent is left then.
    drop(tracing);
    fs::write(&sign, "")?;
    size(2000)
}

#[test]
fn a_full_file_system_is_not_the_agents_fault() -> Result<()> {
    let bench = Bench::new("full", FileSystem::Tmpfs)?;
    let command = "head -c 600000000 /dev/zero > \"$1/file\" 2>/dev/null; test -s \"$1/file\"";
    let words = [
        "-c".into(),
        command.into(),
        "sh".into(),
        bench.root().into_os_string(),
    ];
    let traced = bench.trace()?.run("sh", words)?;
    let report = traced.exact()?;
    assert!(report.command_bytes() > 0, "{report:#?}");
    assert!(report.command_bytes() < 600_000_000, "{report:#?}");
    Ok(())
}

#[test]
fn a_restarted_agent_is_right_again_also_about_files_that_are_open() -> Result<()> {
    let bench = bench("restarted")?;
    let first = Run::new(&bench, "first")?.root(bench.root()).ready()?;
    write_files(&bench, "before", 20, 300)?;
    let (file, sign) = (bench.root().join("open"), bench.aside("go-on"));
    let mut writer = Command::new(ACTOR)
        .arg("hold")
        .arg(file)
        .arg("5000")
        .arg(&sign)
        .spawn()?;
    first.wait_size("root", 20 * 300 + 5000)?;
    first.signal(Signal::KILL)?;
    drop(first);
    write_files(&bench, "between", 20, 300)?;
    let second = Run::new(&bench, "second")?.root(bench.root()).ready();
    fs::write(&sign, "")?;
    assert!(writer.wait()?.success());
    let second = second?;
    fs::remove_dir_all(bench.root().join("before"))?;
    let exposition = second.wait_size("root", 20 * 300 + 10_000)?;
    assert_eq!(
        exposition
            .of_root("go_cache_growth_bytes_total", "root")?
            .to_string(),
        "5000"
    );
    assert_eq!(
        exposition
            .of_root("go_cache_freed_bytes_total", "root")?
            .to_string(),
        "6000"
    );
    Ok(())
}
