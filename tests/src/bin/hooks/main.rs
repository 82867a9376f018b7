//! What the agent's hooks cost an open: run times of its BPF programs, as the kernel counts them, on top
//! of an empty program at the same hook. Runs natively and, by itself, in a VM guest.
//!
//! Takes the agent from the environment like a test, and gives one document of JSON on stdout. It never
//! judges: the limits are the benchmark's (`cargo xtask bench hooks`).

mod empty;
mod opens;
mod programs;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    daemon::{Daemon, Run},
    env::{Bench, FileSystem},
};
use clap::Parser;
use serde::Serialize;

use self::{
    empty::Empty,
    opens::{Access, Place},
    programs::{Counts, Program, Statistics},
};

#[derive(Debug, Parser)]
struct Options {
    /// The object with the empty programs
    #[arg(long, value_name = "FILE")]
    empty: PathBuf,
    /// Opens for each figure
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    calls: u64,
    /// Numbers of roots to measure with
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 100])]
    roots: Vec<u32>,
}

#[derive(Serialize)]
struct Document {
    backend: String,
    calls: u64,
    programs: Vec<Program>,
    figures: Vec<Figure>,
}

/// What one open at one place cost, per call, in nanoseconds of the guest's or the machine's clock.
#[derive(Serialize)]
struct Figure {
    roots: u32,
    place: Place,
    access: Access,
    /// The empty program at the hook of the open.
    empty: f64,
    /// The agent's program at the same hook, the empty one's cost taken off.
    open: f64,
    /// The agent's other programs that ran for the open and the close after it, likewise.
    rest: f64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hooks: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let bench = Bench::new("hooks", FileSystem::Native)?;
    let elsewhere = Bench::new("hooks-elsewhere", FileSystem::Tmpfs)?;
    let _statistics = Statistics::enable()?;
    let mut document = Document {
        backend: String::new(),
        calls: options.calls,
        programs: Vec::new(),
        figures: Vec::new(),
    };
    for roots in &options.roots {
        let daemon = start(&bench, *roots)?;
        document.backend = backend(&daemon)?;
        let empty = Empty::attach(&options.empty, &document.backend)?;
        for place in Place::ALL {
            let file = place.file(&bench, &elsewhere)?;
            for access in Access::ALL {
                eprintln!(
                    "hooks: {roots} roots, {} opens {place:?} for {access:?}",
                    options.calls
                );
                let before = counts(&empty, &daemon)?;
                opens::open_and_close(&file, access, options.calls)?;
                let spent = counts(&empty, &daemon)?.since(&before)?;
                let (empty, open, rest) = spent.per_call(options.calls)?;
                document.figures.push(Figure {
                    roots: *roots,
                    place,
                    access,
                    empty,
                    open,
                    rest,
                });
            }
        }
        document.programs = programs::describe(daemon.pid())?;
        drop(empty);
        ensure!(daemon.stop()?.success(), "the agent ended badly");
    }
    let text = serde_json::to_string_pretty(&document)?;
    writeln!(io::stdout().lock(), "{text}").context("cannot write to stdout")
}

/// The agent on the root of `bench`, and on as many others beside it as make `roots`.
fn start(bench: &Bench, roots: u32) -> Result<Daemon> {
    let mut run = Run::new(bench, "hooks")?.root(bench.root());
    for number in 1..roots {
        let path = bench.outside().join(format!("root{number}"));
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        run = run.root(path);
    }
    run.ready()
}

fn backend(daemon: &Daemon) -> Result<String> {
    let exposition = daemon.scrape()?;
    let known = ["fentry", "tracepoint"].into_iter().find(|backend| {
        exposition
            .value("go_cache_agent_build_info", &[("backend", backend)])
            .is_ok()
    });
    known
        .map(str::to_owned)
        .context("the agent names no known backend")
}

fn counts(empty: &Empty, daemon: &Daemon) -> Result<Counts> {
    Counts::take(empty.id()?, daemon.pid())
}
