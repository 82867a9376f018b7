//! What a plan for very many entries takes.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use xtask::{
    build::Profile,
    command::{ask, cargo, program, run as run_command},
    paths,
};

use crate::{
    limits::{assert_met, mebibytes, verdict},
    report,
};

const MAX_S: f64 = 1.0;
const MAX_MIB: f64 = 64.0;

/// As the agent's example `plan` prints it.
#[derive(Deserialize)]
struct Measured {
    victims: u32,
    plan_s: f64,
    peak_bytes: u64,
}

pub(super) fn run(entries: u32, assert: bool) -> Result<()> {
    let profile = Profile::Release.name();
    run_command(
        cargo()
            .args(["build", "--profile", profile])
            .args(["--package", "cache-agent", "--example", "plan"])
            .arg("--target-dir")
            .arg(paths::target()),
    )?;
    let example = paths::target().join(profile).join("examples/plan");
    let answer = ask(program(example).arg(entries.to_string()))?;
    let Measured {
        victims,
        plan_s,
        peak_bytes,
    } = serde_json::from_str(&answer).with_context(|| format!("the example printed {answer}"))?;
    eprintln!("{victims} of {entries} entries are to go");
    let verdicts = [
        verdict("plan, s", plan_s, MAX_S),
        verdict(
            "peak memory with the entries, MiB",
            mebibytes(peak_bytes),
            MAX_MIB,
        ),
    ];
    report::print_verdicts(&verdicts);
    if assert {
        assert_met(&verdicts)
    } else {
        Ok(())
    }
}
