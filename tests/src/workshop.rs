//! Go modules of a test's own making, and the toolchain that builds them: whose bytes are whose is known beforehand.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    agent::Trace,
    env::Bench,
    go::{self, Go, open_directory},
    report::{Invocation, Report, signed},
};

/// How old what is written looks.
const AGE: Duration = Duration::from_hours(1);
/// Builds on a busy machine.
const LIMIT: Duration = Duration::from_mins(10);

/// A bench with a toolchain, and a place for modules beside the watched root.
pub struct Workshop {
    pub bench: Bench,
    pub go: Go,
}

impl Workshop {
    /// With the newest toolchain; every user can get to it.
    pub fn new(name: &str) -> Result<Self> {
        let go = Go::newest()?;
        let bench = Bench::for_everyone(name)?;
        let workshop = Self { bench, go };
        go::make_places(&workshop.bench.outside())?;
        open_directory(&workshop.place("src"))?;
        open_directory(&workshop.bench.root())?;
        Ok(workshop)
    }

    /// A place outside of the root.
    pub fn place(&self, name: &str) -> PathBuf {
        self.bench.outside().join(name)
    }

    /// The agent, set to watch the cache while a toolchain uses it.
    pub fn trace(&self) -> Result<Trace> {
        let trace = self.bench.trace()?.limit(LIMIT);
        Ok(trace.envs(
            self.go
                .environment(&self.bench.outside(), &self.bench.root()),
        ))
    }

    /// `go` in a module, and its cache elsewhere than in the root if need be.
    pub fn go(&self, module: &Path, cache: &Path) -> Command {
        let mut command = self.go.command(&self.bench.outside(), cache);
        command.current_dir(module).env("PWD", module);
        command
    }

    /// A module `example.com/<name>` of so many packages `p0`, `p1`, .. that need nothing but the compiler.
    pub fn module(&self, name: &str, packages: usize) -> Result<PathBuf> {
        let directory = self.place("src").join(name);
        open_directory(&directory)?;
        write(
            &directory.join("go.mod"),
            &format!("module example.com/{name}\n\ngo 1.21\n"),
        )?;
        for number in 0..packages {
            let package = directory.join(format!("p{number}"));
            open_directory(&package)?;
            let mut text = format!("package p{number}\n");
            // Of another size and content in each module: nobody finds it in the cache already.
            for function in 0..20 {
                writeln!(
                    text,
                    "func F{function}() string {{ return \"{name} {number} {function}\" }}"
                )?;
            }
            write(&package.join("p.go"), &text)?;
        }
        Ok(directory)
    }
}

/// Writes a file that everybody may read. It looks old: go indexes no directory with files of the last seconds,
/// and would do so in a later build.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let mut file =
        fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(file.set_modified(SystemTime::now() - AGE)?)
}

/// All bytes of processes are in invocations, each once; packages explain what grew.
pub fn whole(report: &Report) -> Result<()> {
    let of_processes = report.command_bytes();
    let of_invocations: i64 = report
        .invocations
        .iter()
        .map(|invocation| invocation.growth_bytes)
        .sum();
    ensure!(
        of_processes == of_invocations,
        "{of_processes} B by processes of the command, {of_invocations} B by invocations: {:#?}",
        report.invocations
    );
    for invocation in &report.invocations {
        let grown = invocation.growth_bytes + signed(invocation.freed_bytes);
        let packages: i64 = packages(report, invocation).map(|(_, bytes)| bytes).sum();
        ensure!(
            grown == packages,
            "{:?} grew by {grown} B, its packages by {packages} B",
            invocation.argv
        );
    }
    Ok(())
}

/// Paths and bytes of what an invocation built.
pub fn packages<'a>(
    report: &'a Report,
    invocation: &'a Invocation,
) -> impl Iterator<Item = (&'a str, i64)> {
    let own = report
        .packages
        .iter()
        .filter(|package| package.invocation == invocation.id);
    own.map(|package| (package.path.as_str(), package.growth_bytes))
}

/// Bytes of packages below example.com/`module`, in this invocation.
pub fn bytes_of(report: &Report, invocation: &Invocation, module: &str) -> i64 {
    let prefix = format!("example.com/{module}");
    let own = packages(report, invocation)
        .filter(|(path, _)| *path == prefix || path.starts_with(&format!("{prefix}/")));
    own.map(|(_, bytes)| bytes).sum()
}

/// The one invocation with these words in its command line.
pub fn the_one<'a>(report: &'a Report, words: &[&str]) -> Result<&'a Invocation> {
    let mut found = report.invocations.iter().filter(|invocation| {
        invocation.argv.ends_with(
            &words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>(),
        )
    });
    let one = found.next();
    let one = one.with_context(|| format!("no invocation {words:?}: {:#?}", report.invocations))?;
    ensure!(found.next().is_none(), "several invocations {words:?}");
    Ok(one)
}
