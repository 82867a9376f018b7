//! Real builds with real Go toolchains: no drift, and the bytes are the build's.
//!
//! One test per toolchain goes through a day of a cache: filled, used, vetted, tested with, emptied,
//! and filled by two builds at once.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    agent::{Trace, Traced},
    env::{self, Bench, FileSystem},
    go::{self, Go},
    report::{Report, signed},
};

const SUITE: &str = "builds";
/// A cold build of the standard library takes a minute or two, vetting all of it five.
const LIMIT: Duration = Duration::from_mins(20);
/// What is vetted where long runs are not wanted.
const VETTED: [&str; 2] = ["strings", "net/http"];

/// Packages that import next to nothing.
const LEAVES: &[&str] = &[
    "unicode/utf8",
    "unicode/utf16",
    "math/bits",
    "container/ring",
    "cmp",
];

#[test]
fn oldest_go() -> Result<()> {
    with(0, "oldest_go", Day::pass)
}

#[test]
fn middle_go() -> Result<()> {
    with(1, "middle_go", Day::pass)
}

#[test]
fn newest_go() -> Result<()> {
    with(2, "newest_go", Day::pass)
}

/// Small enough for an emulated machine: leaf packages, no runtime.
#[test]
fn a_few_packages() -> Result<()> {
    let Some(newest) = go::toolchains()?.len().checked_sub(1) else {
        return env::skip(SUITE, "a_few_packages", "CACHE_TEST_GO names no toolchain");
    };
    with(newest, "a_few_packages", |day| {
        day.grows("cold build", &[&["build"], LEAVES].concat())?;
        day.stays("warm build", &[&["build"], LEAVES].concat())?;
        day.empties()
    })
}

/// Runs `test` with the toolchain number `index`, or notes that there is none.
fn with(index: usize, test: &str, pass: impl FnOnce(&Day) -> Result<()>) -> Result<()> {
    let Some(go) = go::toolchains()?.into_iter().nth(index) else {
        return env::skip(SUITE, test, "CACHE_TEST_GO names fewer toolchains");
    };
    let version = go.version.clone();
    let bench = Bench::new("go", FileSystem::Native)?;
    go::make_places(&bench.outside())?;
    pass(&Day { bench, go }).with_context(|| format!("Go {version}"))
}

/// A cache and the toolchain that uses it.
struct Day {
    bench: Bench,
    go: Go,
}

impl Day {
    fn pass(&self) -> Result<()> {
        let vetted: &[&str] = if env::soak() { &["std"] } else { &VETTED };
        self.grows("cold build", &["build", "std"])?;
        self.stays("warm build", &["build", "std"])?;
        self.grows("vet", &[&["vet"], vetted].concat())?;
        self.grows("test", &["test", "-run=NONE", "strings"])?;
        self.stays("test again", &["test", "-run=NONE", "strings"])?;
        self.empties()?;
        self.two_at_once()
    }

    /// The agent, set to watch the cache while the toolchain uses it.
    fn trace(&self) -> Result<Trace> {
        let aside = self.bench.outside();
        let trace = self.bench.trace()?.limit(LIMIT);
        let trace = trace.directory(&aside.join("home"));
        Ok(trace.envs(self.go.environment(&aside, &self.bench.root())))
    }

    fn go(&self, arguments: &[&str]) -> Result<Traced> {
        self.trace()?
            .run(self.go.program(), arguments.iter().copied())
    }

    /// A command that adds to the cache, all of it (but a thousandth) credited to its processes.
    fn grows(&self, what: &str, arguments: &[&str]) -> Result<()> {
        let traced = self.go(arguments)?;
        let report = traced.exact().with_context(|| what.to_owned())?;
        self.tell(what, report)?;
        let growth = growth(report);
        ensure!(growth > 0, "{what}: the cache did not grow");
        let unmapped = report.unmapped_bytes();
        ensure!(
            unmapped * 100 <= growth,
            "{what}: {unmapped} of {growth} B have no package"
        );
        credited(report, growth).with_context(|| what.to_owned())
    }

    /// A command that finds everything in the cache.
    fn stays(&self, what: &str, arguments: &[&str]) -> Result<()> {
        let traced = self.go(arguments)?;
        let report = traced.exact().with_context(|| what.to_owned())?;
        self.tell(what, report)?;
        let root = report.roots.first().context("no root")?;
        let changed = (root.ledger_bytes, root.files_created, root.files_deleted);
        ensure!(
            changed == (0, 0, 0),
            "{what}: changed the cache: {report:#?}"
        );
        Ok(())
    }

    /// `go clean -cache` gives back what the builds before it took.
    fn empties(&self) -> Result<()> {
        let before = self.bench.walk()?;
        let traced = self.go(&["clean", "-cache"])?;
        let report = traced.exact().context("clean")?;
        self.tell("clean", report)?;
        ensure!(
            growth(report) <= -signed(before.bytes * 999 / 1000),
            "clean: {report:#?}"
        );
        let freed: u64 = report
            .processes
            .iter()
            .map(|process| process.freed_bytes)
            .sum();
        ensure!(
            signed(freed) == -growth(report),
            "clean: {freed} B freed: {report:#?}"
        );
        credited(report, growth(report)).context("clean")
    }

    /// Two commands fill one cache, with packages in common.
    fn two_at_once(&self) -> Result<()> {
        let [one, two] = if env::soak() {
            ["std", "std"]
        } else {
            ["net/http", "go/types"]
        };
        let script = "\"$1\" build \"$2\" & first=$!; \"$1\" build \"$3\" && wait $first";
        let words = [
            "-c".into(),
            script.into(),
            "sh".into(),
            self.go.program(),
            one.into(),
            two.into(),
        ];
        let traced = self.trace()?.run("sh", words)?;
        let report = traced.exact().context("two builds")?;
        self.tell("two builds", report)?;
        ensure!(growth(report) > 0, "two builds: the cache did not grow");
        credited(report, growth(report)).context("two builds")
    }

    /// The figures, for whoever watches.
    fn tell(&self, what: &str, report: &Report) -> Result<()> {
        let created: u64 = report.roots.iter().map(|root| root.files_created).sum();
        env::say(&format!(
            "go {} {what}: {:+} B, {created} files created, {} B unattributed, {} B unmapped, {:.1} s; agent {:.2} s CPU",
            self.go.version,
            growth(report),
            report.unattributed_bytes(),
            report.unmapped_bytes(),
            report.command.duration_s,
            report.agent.cpu_s,
        ))
    }
}

/// What the disk says.
fn growth(report: &Report) -> i64 {
    let of =
        |root: &cache_tests::report::Root| signed(root.after_bytes) - signed(root.before_bytes);
    report.roots.iter().map(of).sum()
}

/// At least 99.9 % of `growth` is credited to processes of the command.
fn credited(report: &Report, growth: i64) -> Result<()> {
    let missing = (growth - report.command_bytes()).abs();
    ensure!(
        missing * 1000 <= growth.abs(),
        "{missing} of {growth} B not credited: {report:#?}"
    );
    Ok(())
}
