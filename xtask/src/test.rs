//! Every test: checks, unit tests, then the system tests against the built agent.

pub(crate) mod suites;

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use self::suites::Suite;
use crate::{
    build::{self, Built},
    check,
    command::{as_root, cargo, program, run as run_command},
    paths,
    setup::{self, TestTools},
    vm,
};

/// Suites without which a green run would say too little.
const REQUIRED: [&str; 9] = [
    "conformance",
    "builds",
    "invocations",
    "metrics",
    "cli",
    "faults",
    "history",
    "live",
    VMS,
];
/// The virtual machines count as one suite.
const VMS: &str = "vm";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Long runs too
    #[arg(long)]
    soak: bool,
    /// Only this suite of system tests, or the system tests whose name contains this
    #[arg(long, value_name = "FILTER")]
    only: Option<String>,
    /// Without formatting, lints and project rules
    #[arg(long)]
    no_check: bool,
}

/// One line of the closing table.
struct Verdict {
    suite: String,
    tests: String,
    duration: Duration,
    error: Option<anyhow::Error>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let tools = setup::for_test()?;
    let mut verdicts = Vec::new();
    if !options.no_check {
        verdicts.push(timed("check", || check::run(&check::Options {})));
    }
    let built = build::agent(&tools.build)?;
    if options.only.is_none() {
        verdicts.push(timed("unit tests", unit_tests));
    }
    let skips = system_tests(options, &tools, &built, &mut verdicts)?;
    if options.only.as_ref().is_none_or(|only| only == VMS) {
        verdicts.push(timed(VMS, vm::all));
    }
    report(options, &verdicts, &skips)
}

fn timed(suite: &str, work: impl FnOnce() -> Result<()>) -> Verdict {
    let started = Instant::now();
    let error = work().err();
    if let Some(error) = &error {
        eprintln!("{suite}: {error:#}");
    }
    Verdict {
        suite: suite.to_owned(),
        tests: String::new(),
        duration: started.elapsed(),
        error,
    }
}

fn unit_tests() -> Result<()> {
    run_command(
        cargo()
            .args(["test", "--quiet", "--workspace", "--exclude", "cache-tests"])
            .arg("--target-dir")
            .arg(paths::target()),
    )
}

/// Runs the suites one after the other, since all of them measure the one kernel. Gives the skips
/// that the tests noted.
fn system_tests(
    options: &Options,
    tools: &TestTools,
    built: &Built,
    verdicts: &mut Vec<Verdict>,
) -> Result<Vec<String>> {
    let scratch = paths::scratch();
    fs::create_dir_all(&scratch)
        .with_context(|| format!("cannot make the folder {}", scratch.display()))?;
    let skips = scratch.join("skips.tsv");
    fs::write(&skips, "").with_context(|| format!("cannot write {}", skips.display()))?;
    let notes = scratch.join("verdicts.jsonl");
    fs::write(&notes, "").with_context(|| format!("cannot write {}", notes.display()))?;
    let variables = environment(options, tools, built, [&skips, &notes])?;
    for suite in suites::build()? {
        let Some((filter, tests)) = suite.selection(options.only.as_deref())? else {
            continue;
        };
        let mut verdict = timed(&suite.name, || run_suite(&suite, filter, &variables));
        verdict.tests = tests.to_string();
        verdicts.push(verdict);
    }
    let verdicts_of_operations = fs::read_to_string(&notes)?;
    vm::results::add(&own_kernel()?, verdicts_of_operations.lines())?;
    let noted = fs::read_to_string(&skips)
        .with_context(|| format!("cannot read the skipped tests in {}", skips.display()))?;
    Ok(noted.lines().map(str::to_owned).collect())
}

fn run_suite(suite: &Suite, filter: Option<&str>, variables: &[(&str, OsString)]) -> Result<()> {
    let mut command = program(&suite.executable);
    command
        .current_dir(paths::root().join("tests"))
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .arg("--test-threads=1")
        .args(filter);
    run_command(&mut as_root(command)?)
}

/// What the tests need to know; the other side of it is the tests' environment object.
fn environment(
    options: &Options,
    tools: &TestTools,
    built: &Built,
    [skips, verdicts]: [&Path; 2],
) -> Result<Vec<(&'static str, OsString)>> {
    let mut go = Vec::new();
    for toolchain in &tools.go {
        let goroot = absolute(&toolchain.goroot)?;
        go.push(format!("{}={}", toolchain.version, goroot.display()));
    }
    let mut variables = vec![
        ("CACHE_AGENT", built.agent.clone().into()),
        ("CACHE_TEST_GO", go.join(",").into()),
        ("CACHE_TEST_PROMTOOL", tools.promtool.clone().into()),
        ("CACHE_TEST_SCRATCH", absolute(&paths::scratch())?.into()),
        ("CACHE_TEST_SKIPS", absolute(skips)?.into()),
        ("CACHE_TEST_VERDICTS", absolute(verdicts)?.into()),
    ];
    if options.soak {
        variables.push(("CACHE_TEST_SOAK", "1".into()));
    }
    Ok(variables)
}

/// The first two numbers of the running kernel's release.
fn own_kernel() -> Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(release.split('.').take(2).collect::<Vec<_>>().join("."))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("cannot resolve {}", path.display()))
}

fn report(options: &Options, verdicts: &[Verdict], skips: &[String]) -> Result<()> {
    print_table(verdicts, skips);
    let ran: Vec<&str> = verdicts
        .iter()
        .map(|verdict| verdict.suite.as_str())
        .collect();
    let mut complaints: Vec<String> = verdicts
        .iter()
        .filter(|verdict| verdict.error.is_some())
        .map(|verdict| format!("{} failed", verdict.suite))
        .collect();
    if options.only.is_none() {
        complaints.extend(missing_suites(&ran));
    } else if ran.iter().all(|suite| *suite == "check") {
        complaints.push("no system test matches --only".to_owned());
    }
    // On a developer's machine a skip is told, in CI it must not pass for a result.
    if env::var_os("CI").is_some_and(|value| value == "true") {
        complaints.extend(forbidden_skips(skips));
    }
    if complaints.is_empty() {
        return Ok(());
    }
    bail!(complaints.join("; "))
}

fn print_table(verdicts: &[Verdict], skips: &[String]) {
    eprintln!("\n{:<16} {:>6} {:>9}  result", "suite", "tests", "seconds");
    for verdict in verdicts {
        let seconds = verdict.duration.as_secs_f64();
        let result = if verdict.error.is_some() {
            "FAILED"
        } else {
            "ok"
        };
        eprintln!(
            "{:<16} {:>6} {seconds:>9.1}  {result}",
            verdict.suite, verdict.tests
        );
    }
    for skip in skips {
        eprintln!("skipped: {}", skip.replace('\t', " / "));
    }
}

fn missing_suites(ran: &[&str]) -> impl Iterator<Item = String> {
    REQUIRED
        .into_iter()
        .filter(|required| !ran.contains(required))
        .map(|required| format!("required suite {required} did not run"))
}

fn forbidden_skips(skips: &[String]) -> impl Iterator<Item = String> {
    skips.iter().filter_map(|line| {
        let mut fields = line.split('\t');
        let (suite, test) = (fields.next()?, fields.next()?);
        REQUIRED
            .contains(&suite)
            .then(|| format!("required test {suite}/{test} was skipped"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_suite_that_did_not_run_is_named() {
        let missing: Vec<_> = missing_suites(&[
            "check",
            "conformance",
            "builds",
            "invocations",
            "metrics",
            "faults",
            "history",
            "live",
            "vm",
        ])
        .collect();
        assert_eq!(missing, ["required suite cli did not run"]);
    }

    #[test]
    fn skips_count_in_required_suites_only() {
        let skips = [
            "filesystems\txfs::table\tthe kernel has no xfs".to_owned(),
            "cli\tsudo\tno sudo".to_owned(),
        ];
        let forbidden: Vec<_> = forbidden_skips(&skips).collect();
        assert_eq!(forbidden, ["required test cli/sudo was skipped"]);
    }
}
