//! The plan's work: a command, or tests one by one.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    vm::{Message, Outcome, Plan, Suite, Tested, Work},
    wait,
};
use rustix::process::{Pid, Signal, kill_process_group};

use super::Host;

/// Where tests note what they could not run.
const SKIPS: &str = "/run/skips.tsv";
/// Where tests note what they found about single operations.
const VERDICTS: &str = "/run/verdicts.jsonl";
/// What a test prints.
const OUTPUT: &str = "/run/output";
/// The end of the output that is told, in bytes.
const TOLD: usize = 24 * 1024;

/// Does all of it; gives the number of failures.
pub(super) fn all(plan: &Plan, host: &mut Host) -> Result<u64> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    host.tell(&Message::Ready(release.trim().to_owned()))?;
    match &plan.work {
        Work::Command(line) => command(line, plan, host),
        Work::Tests { suites, limit_s } => {
            let limit = Duration::from_secs(*limit_s);
            let mut failures = 0;
            for suite in suites {
                let chosen = list(suite, plan)?;
                for test in chosen.into_iter().filter(|test| chooses(suite, test)) {
                    host.tell(&Message::Begins {
                        suite: suite.name.clone(),
                        backend: suite.backend.clone(),
                        test: test.clone(),
                    })?;
                    let tested = run(suite, test, limit, plan)?;
                    failures += u64::from(tested.outcome != Outcome::Passed);
                    host.tell(&Message::Test(tested))?;
                }
            }
            Ok(failures)
        }
    }
}

fn command(line: &str, plan: &Plan, host: &mut Host) -> Result<u64> {
    let (mut output, input) = std::io::pipe()?;
    let mut command = in_plan(Command::new("/bin/sh"), plan);
    command.args(["-c", line]);
    let mut child = command.stdout(input.try_clone()?).stderr(input).spawn()?;
    // It holds the writing end, which would keep the pipe open.
    drop(command);
    let mut buffer = [0; 4096];
    loop {
        let count = output.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        host.tell(&Message::Output(text))?;
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(0);
    }
    host.tell(&Message::Output(format!("{status}\n")))?;
    Ok(1)
}

fn list(suite: &Suite, plan: &Plan) -> Result<Vec<String>> {
    let mut command = in_plan(Command::new(&suite.executable), plan);
    let output = command.args(["--list", "--format", "terse"]).output()?;
    ensure!(
        output.status.success(),
        "{} does not list its tests: {}",
        suite.name,
        String::from_utf8_lossy(&output.stderr)
    );
    let names = String::from_utf8(output.stdout)?;
    let tests = names.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(tests.map(str::to_owned).collect())
}

fn chooses(suite: &Suite, test: &str) -> bool {
    let fits = |parts: &Vec<String>| {
        parts.is_empty() || parts.iter().any(|part| test.contains(part.as_str()))
    };
    suite.filters.iter().all(fits)
}

/// Runs one test to its end, or to that of its time.
fn run(suite: &Suite, test: String, limit: Duration, plan: &Plan) -> Result<Tested> {
    for notes in [SKIPS, VERDICTS] {
        fs::write(notes, "")?;
    }
    let output = File::create(OUTPUT)?;
    let mut command = in_plan(Command::new(&suite.executable), plan);
    command
        .args(["--exact", &test, "--test-threads=1"])
        .env("CACHE_TEST_BACKEND", &suite.backend)
        .env("CACHE_TEST_SKIPS", SKIPS)
        .env("CACHE_TEST_VERDICTS", VERDICTS)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0);
    let started = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", suite.executable))?;
    let outcome = match wait::for_end_by_the_clock(&mut child, limit) {
        Ok(status) if status.success() => Outcome::Passed,
        Ok(_) => Outcome::Failed,
        Err(_) => {
            // Ended in between is as good.
            let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            if let Some(group) = group {
                kill_process_group(group, Signal::KILL).unwrap_or_default();
            }
            Outcome::Hung
        }
    };
    let told = fs::read(OUTPUT)?;
    let told = told
        .get(told.len().saturating_sub(TOLD)..)
        .unwrap_or_default();
    Ok(Tested {
        suite: suite.name.clone(),
        backend: suite.backend.clone(),
        test,
        outcome,
        seconds: started.elapsed().as_secs_f64(),
        output: if outcome == Outcome::Passed {
            String::new()
        } else {
            String::from_utf8_lossy(told).into_owned()
        },
        skips: lines(SKIPS)?,
        verdicts: lines(VERDICTS)?,
    })
}

fn lines(file: &str) -> Result<Vec<String>> {
    Ok(fs::read_to_string(file)?
        .lines()
        .map(str::to_owned)
        .collect())
}

fn in_plan(mut command: Command, plan: &Plan) -> Command {
    command.env_clear().envs(&plan.environment);
    command
}
