//! Verifying programs is most of what a start takes, and the kernel does it for several at once.

use std::{sync::Mutex, thread};

use anyhow::{Context as _, Result};
use aya::{Btf, Ebpf, programs::Program};

use super::{attach::refusal, coverage::Hook};

/// Loads the programs of `hooks`, as many at a time as there are CPUs, the first ones first. What the kernel
/// refuses is left for its attachment to tell of.
pub(super) fn all(ebpf: &mut Ebpf, hooks: &[Hook], types: &Btf) {
    let place = |name: &str| hooks.iter().position(|hook| hook.program == name);
    let programs = ebpf.programs_mut();
    let mut wanted: Vec<_> = programs
        .filter_map(|(name, program)| Some((place(name)?, program)))
        .collect();
    wanted.sort_by_key(|(place, _)| *place);
    let wanted = Mutex::new(wanted.into_iter());
    let work = || {
        while let Some((place, program)) = wanted.lock().ok().and_then(|mut wanted| wanted.next()) {
            let hook = hooks[place];
            if let Err(error) = load(program, hook.target, types) {
                tracing::debug!(hook.program, error = format!("{error:#}"), "refused");
            }
        }
    };
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 1..cpus {
            // Without another thread it only takes longer.
            drop(thread::Builder::new().spawn_scoped(scope, work));
        }
        work();
    });
}

/// Loads the program of one hook.
pub(super) fn one(ebpf: &mut Ebpf, hook: Hook, types: &Btf) -> Result<()> {
    let program = ebpf.program_mut(hook.program);
    load(
        program.context("not in the kernel object")?,
        hook.target,
        types,
    )
}

fn load(program: &mut Program, target: &str, types: &Btf) -> Result<()> {
    if program.fd().is_ok() {
        return Ok(());
    }
    match program {
        Program::RawTracePoint(program) => program.load(),
        Program::TracePoint(program) => program.load(),
        Program::FEntry(program) => program.load(target, types),
        Program::FExit(program) => program.load(target, types),
        _ => Ok(()),
    }
    .map_err(refusal)
}
