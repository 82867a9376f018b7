//! Every test: checks, unit tests, then the system tests against the built agent.

pub mod suites;

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
    build::{self, Built, Profile},
    check,
    command::{as_root, cargo, program, run as run_command},
    paths,
    setup::{self, TestTools},
    vm,
};

/// Suites without which a green run would say too little.
const REQUIRED: [&str; 11] = [
    "conformance",
    "builds",
    "invocations",
    "metrics",
    "cli",
    "faults",
    "hostile",
    "history",
    "live",
    "sequences",
    VMS,
];
/// The virtual machines count as one suite.
const VMS: &str = "vm";

#[derive(Debug, clap::Args)]
pub struct Options {
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
    /// Of a suite of system tests.
    tests: Option<usize>,
    duration: Duration,
    error: Option<anyhow::Error>,
}

/// A test that could not run here, as it noted it itself.
#[derive(Debug, PartialEq)]
struct Skip {
    suite: String,
    test: String,
    reason: String,
}

impl Skip {
    fn read(line: &str) -> Result<Self> {
        let mut fields = line.splitn(3, '\t').map(str::to_owned);
        let mut field = || {
            let field = fields.next();
            field.with_context(|| format!("a test noted its skipping as `{line}`"))
        };
        Ok(Self {
            suite: field()?,
            test: field()?,
            reason: field()?,
        })
    }
}

pub fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let mut verdicts = Vec::new();
    let tools = step("set-up", &mut verdicts, setup::for_test)?;
    if !options.no_check {
        verdicts.push(timed("check", || check::run(&check::Options {})));
    }
    let (built, suites) = step("build", &mut verdicts, || {
        let built = build::agent(&tools.build, Profile::Release)?;
        Ok((built, suites::build()?.suites))
    })?;
    if options.only.is_none() {
        verdicts.push(timed("unit tests", unit_tests));
    }
    let skips = system_tests(options, &suites, &tools, &built, &mut verdicts)?;
    if options.only.as_ref().is_none_or(|only| only == VMS) {
        verdicts.push(timed(VMS, vm::all));
    }
    print_table(&verdicts, &skips, started.elapsed());
    judge(options, &verdicts, &skips)
}

/// Something that the rest needs: its time is a line of the table too, its failure is the end.
fn step<T>(name: &str, verdicts: &mut Vec<Verdict>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let done = work()?;
    verdicts.push(Verdict {
        suite: name.to_owned(),
        tests: None,
        duration: started.elapsed(),
        error: None,
    });
    Ok(done)
}

fn timed(suite: &str, work: impl FnOnce() -> Result<()>) -> Verdict {
    let started = Instant::now();
    let error = work().err();
    if let Some(error) = &error {
        eprintln!("{suite}: {error:#}");
    }
    Verdict {
        suite: suite.to_owned(),
        tests: None,
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
    suites: &[Suite],
    tools: &TestTools,
    built: &Built,
    verdicts: &mut Vec<Verdict>,
) -> Result<Vec<Skip>> {
    let scratch = paths::scratch();
    fs::create_dir_all(&scratch)
        .with_context(|| format!("cannot make the folder {}", scratch.display()))?;
    let skips = scratch.join("skips.tsv");
    fs::write(&skips, "").with_context(|| format!("cannot write {}", skips.display()))?;
    let notes = scratch.join("verdicts.jsonl");
    fs::write(&notes, "").with_context(|| format!("cannot write {}", notes.display()))?;
    let variables = environment(options, tools, built, [&skips, &notes])?;
    for suite in suites {
        let Some((filter, tests)) = suite.selection(options.only.as_deref())? else {
            continue;
        };
        let mut verdict = timed(&suite.name, || run_suite(suite, filter, &variables));
        verdict.tests = Some(tests);
        verdicts.push(verdict);
    }
    let verdicts_of_operations = fs::read_to_string(&notes)?;
    vm::results::add(&own_kernel()?, verdicts_of_operations.lines())?;
    let noted = fs::read_to_string(&skips)
        .with_context(|| format!("cannot read the skipped tests in {}", skips.display()))?;
    noted.lines().map(Skip::read).collect()
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

fn print_table(verdicts: &[Verdict], skips: &[Skip], total: Duration) {
    eprintln!(
        "\n{:<16} {:>6} {:>8} {:>9}  result",
        "suite", "tests", "skipped", "seconds"
    );
    let number = |number: Option<usize>| number.map_or(String::new(), |it| it.to_string());
    for Verdict {
        suite,
        tests,
        duration,
        error,
    } in verdicts
    {
        let seconds = duration.as_secs_f64();
        let skipped = tests.map(|_| skips.iter().filter(|skip| skip.suite == *suite).count());
        let result = if error.is_some() { "FAILED" } else { "ok" };
        let (tests, skipped) = (number(*tests), number(skipped));
        eprintln!("{suite:<16} {tests:>6} {skipped:>8} {seconds:>9.1}  {result}");
    }
    eprintln!("{:<32} {:>9.1}", "all", total.as_secs_f64());
    for Skip {
        suite,
        test,
        reason,
    } in skips
    {
        eprintln!("skipped: {suite} {test}: {reason}");
    }
}

fn judge(options: &Options, verdicts: &[Verdict], skips: &[Skip]) -> Result<()> {
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
    } else if verdicts
        .iter()
        .all(|it| it.tests.is_none() && it.suite != VMS)
    {
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

fn missing_suites(ran: &[&str]) -> impl Iterator<Item = String> {
    REQUIRED
        .into_iter()
        .filter(|required| !ran.contains(required))
        .map(|required| format!("required suite {required} did not run"))
}

fn forbidden_skips(skips: &[Skip]) -> impl Iterator<Item = String> {
    skips
        .iter()
        .filter(|skip| REQUIRED.contains(&skip.suite.as_str()))
        .map(|Skip { suite, test, .. }| format!("required test {suite}/{test} was skipped"))
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
            "hostile",
            "history",
            "live",
            "sequences",
            "vm",
        ])
        .collect();
        assert_eq!(missing, ["required suite cli did not run"]);
    }

    #[test]
    fn skips_count_in_required_suites_only() {
        let skips: Vec<Skip> = [
            "filesystems\txfs::table\tthe kernel has no xfs",
            "cli\tsudo\tno sudo",
        ]
        .into_iter()
        .map(|line| Skip::read(line).expect("three fields"))
        .collect();
        assert!(Skip::read("cli\tsudo").is_err());
        let forbidden: Vec<_> = forbidden_skips(&skips).collect();
        assert_eq!(forbidden, ["required test cli/sudo was skipped"]);
    }
}
