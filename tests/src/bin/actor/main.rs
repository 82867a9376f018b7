//! The observed process: performs one named operation on files and ends in one named way.
//!
//! It says on stdout, as a line of JSON, which process does what, before it does it: some endings
//! leave no time afterwards.

mod content;
mod crowd;
mod ending;
mod paths;
mod ring;
mod sequence;
mod sys;
mod until_full;
mod ways;
mod writers;

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{self, Command, ExitCode},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use cache_tests::cases::{Case, Ending, Place};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match act(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("actor {}: {error:#}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn act(words: &[&str]) -> Result<()> {
    match words {
        ["each", inside, outside, names @ ..] => names
            .iter()
            .try_for_each(|name| each(name, inside.as_ref(), outside.as_ref())),
        ["case", name, ending, inside, outside] => {
            let place = Place {
                inside: PathBuf::from(inside),
                outside: PathBuf::from(outside),
            };
            case(Case::named(name)?, Ending::named(ending)?, &place)
        }
        ["sequences", file, inside, outside] => {
            sequence::all(file.as_ref(), inside.as_ref(), outside.as_ref())
        }
        ["sequence-worker", inside, outside] => sequence::worker(inside.as_ref(), outside.as_ref()),
        ["nothing"] => Ok(()),
        ["append-to", descriptor] => ending::append_to_inherited(descriptor),
        ["receive", descriptor] => ending::append_to_received(descriptor),
        ["crowd", number, directory] => crowd::crowd(number.parse()?, directory.as_ref()),
        ["writers", number, seconds, directory] => {
            writers::writers(number.parse()?, seconds.parse()?, directory.as_ref())
        }
        ["reuse", cycles, directory] => crowd::reuse(cycles.parse()?, directory.as_ref()),
        ["same-names", number, directory] => crowd::same_names(number.parse()?, directory.as_ref()),
        ["two-writers", file] => crowd::two_writers(file.as_ref()),
        ["write-range", file, offset, bytes] => {
            crowd::write_range(file.as_ref(), offset.parse()?, bytes.parse()?)
        }
        ["files", number, bytes, directory] => {
            crowd::files(number.parse()?, bytes.parse()?, directory.as_ref())
        }
        ["sparse", number, bytes, directory] => {
            crowd::sparse(number.parse()?, bytes.parse()?, directory.as_ref())
        }
        ["hold", file, bytes, until] => crowd::hold(file.as_ref(), bytes.parse()?, until.as_ref()),
        ["ways", inside, bound] => ways::all(inside.as_ref(), bound.as_ref()),
        ["way", way, place] => ways::one(way, place.as_ref()),
        ["until-full", errno, directory] => until_full::fill(errno, directory.as_ref()),
        ["until-full", errno, directory, user] => {
            sys::become_user(user.parse()?)?;
            until_full::fill(errno, directory.as_ref())
        }
        ["read-only", mounted, directory] => {
            until_full::read_only(mounted.as_ref(), directory.as_ref())
        }
        ["append", bytes, file] => content::append(file.as_ref(), bytes.parse()?),
        ["hold-many", number, bytes, directory, until] => crowd::hold_many(
            number.parse()?,
            bytes.parse()?,
            directory.as_ref(),
            until.as_ref(),
        ),
        ["grow", bytes, steps, pause_ms, file] => crowd::grow(
            file.as_ref(),
            bytes.parse()?,
            steps.parse()?,
            Duration::from_millis(pause_ms.parse()?),
        ),
        ["ring", file, bytes] => ring::whole(file.as_ref(), bytes.parse()?),
        ["ring-write", file, bytes] => ring::write_only(file.as_ref(), bytes.parse()?),
        _ => bail!("not understood"),
    }
}

/// One process per ending, each in directories named after the operation and the ending.
fn each(name: &str, inside: &Path, outside: &Path) -> Result<()> {
    for ending in Case::named(name)?.endings() {
        let own = |directory: &Path| directory.join(name).join(ending.name());
        let status = again()?
            .args(["case", name, ending.name()])
            .args([own(inside), own(outside)])
            .status()?;
        let expected = status.success() || *ending == Ending::Kill;
        ensure!(expected, "{name}, {}: {status}", ending.name());
    }
    Ok(())
}

fn case(case: &Case, ending: Ending, place: &Place) -> Result<()> {
    say(&serde_json::json!({"case": case.name, "ending": ending.name(), "pid": process::id()}))?;
    match perform(case.name, place).with_context(|| case.name.to_owned())? {
        Some(file) => ending::end(file, ending),
        None if ending == Ending::Kill => ending::kill_self(),
        None => Ok(()),
    }
}

fn perform(name: &str, place: &Place) -> Result<Option<File>> {
    if let Some(file) = content::perform(name, place)? {
        return Ok(Some(file));
    }
    ensure!(paths::perform(name, place)?, "the actor does not know how");
    Ok(None)
}

/// A process that runs this program.
fn again() -> io::Result<Command> {
    Ok(program(env::current_exe()?))
}

fn program(path: impl AsRef<OsStr>) -> Command {
    Command::new(path)
}

/// One line of JSON to stdout, at once.
fn say(value: &serde_json::Value) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{value}")?;
    output.flush()
}
