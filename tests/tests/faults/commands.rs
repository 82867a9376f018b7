//! What happens to the command must not disturb the agent's figures, nor the other way round.

use std::{fs, time::Duration};

use anyhow::Result;
use cache_tests::{
    daemon::send,
    env::{Bench, FileSystem},
    wait,
};
use rustix::process::Signal;

use crate::{ACTOR, bench};

/// Far more than the commands here need.
const LIMIT: Duration = Duration::from_secs(30);

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
    wait::for_size(&file, 54_321, LIMIT)?;
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
    wait::for_size(&file, 1000, LIMIT)?;
    send(tracing.pid(), Signal::KILL)?;
    // Both its end and that of its reader threads: nothing of the agent is left then.
    drop(tracing);
    fs::write(&sign, "")?;
    wait::for_size(&file, 2000, LIMIT)
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
