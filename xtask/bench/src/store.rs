//! How long the history takes to answer: a generated one, read as the command line reads it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use xtask::{
    build::{self, Profile},
    command::{ask, cargo, program, run as run_command},
    paths, setup,
};

use super::{json, limits::mebibytes};

/// What the contract allows for the two questions, in milliseconds.
const LIMIT_MS: f64 = 300.0;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Invocations in the history
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(50_000..))]
    invocations: u32,
    /// Write every figure as JSON; - is stdout
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail when a question takes longer than 300 ms
    #[arg(long)]
    assert: bool,
}

/// As the agent's example `history` prints them: the slowest of five, the file opened anew each time.
#[derive(Debug, Deserialize, Serialize)]
struct Answers {
    bytes: u64,
    last_50_of_module_ms: f64,
    growth_by_module_7_days_ms: f64,
    earlier_of_module_ms: f64,
}

#[derive(Serialize)]
struct Document {
    version: u32,
    invocations: u32,
    generate_s: f64,
    limit_ms: f64,
    met: bool,
    #[serde(flatten)]
    answers: Answers,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let history = example()?;
    let folder = paths::scratch().join("bench-store");
    let measured = measure(&history, &folder, options.invocations);
    // A gigabyte, and of no use after a failure either.
    let removed = fs::remove_dir_all(&folder);
    let (generate_s, answers) = measured?;
    removed.with_context(|| format!("cannot remove {}", folder.display()))?;
    let slowest = answers
        .last_50_of_module_ms
        .max(answers.growth_by_module_7_days_ms);
    let document = Document {
        version: 1,
        invocations: options.invocations,
        generate_s,
        limit_ms: LIMIT_MS,
        met: slowest < LIMIT_MS,
        answers,
    };
    print(&document);
    if let Some(target) = &options.json {
        json::write_document(target, &document)?;
    }
    ensure!(
        !options.assert || document.met,
        "the history takes {slowest:.0} ms to answer, at most {LIMIT_MS} ms are allowed"
    );
    Ok(())
}

/// Built with the same kernel object as the agent, so that neither makes the other stale.
fn example() -> Result<PathBuf> {
    let built = build::agent(&setup::for_build()?, Profile::Dist)?;
    run_command(
        cargo()
            .env("CACHE_EBPF_OBJECT", built.kernel_object)
            .args(["build", "--profile", Profile::Dist.name()])
            .args(["--package", "cache-agent"])
            .args(["--example", "history", "--target-dir"])
            .arg(paths::target()),
    )?;
    Ok(paths::target()
        .join(Profile::Dist.name())
        .join("examples/history"))
}

fn measure(history: &Path, folder: &Path, invocations: u32) -> Result<(f64, Answers)> {
    let parent = paths::scratch();
    fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let started = Instant::now();
    let count = invocations.to_string();
    run_command(program(history).arg("generate").arg(folder).arg(&count))?;
    let generate_s = started.elapsed().as_secs_f64();
    let answers = ask(program(history).arg("measure").arg(folder))?;
    let answers =
        serde_json::from_str(&answers).with_context(|| format!("the example printed {answers}"))?;
    Ok((generate_s, answers))
}

fn print(document: &Document) {
    let Document {
        version: _,
        invocations,
        generate_s,
        limit_ms,
        met,
        answers,
    } = document;
    let size = mebibytes(answers.bytes);
    eprintln!("\nhistory of {invocations} invocations: {size:.0} MiB, made in {generate_s:.0} s");
    eprintln!("{:<38} {:>10} {:>10}", "slowest of 5", "ms", "at most");
    for (question, ms) in [
        ("last 50 of a module", answers.last_50_of_module_ms),
        (
            "growth by module in 7 days",
            answers.growth_by_module_7_days_ms,
        ),
    ] {
        eprintln!("{question:<38} {ms:>10.1} {limit_ms:>10.0}");
    }
    let earlier = answers.earlier_of_module_ms;
    eprintln!(
        "{:<38} {earlier:>10.1}",
        "20 earlier ones with their packages"
    );
    eprintln!("{}", if *met { "met" } else { "NOT MET" });
}
