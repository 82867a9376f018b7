//! Programs on trampolines, each attached several times over where the kernel may preempt it.
//!
//! While such a program is preempted, the kernel leaves out every run of it on that CPU
//! (`__bpf_prog_enter_recur`). A copy is another program to the kernel: it does what the first left undone. Only
//! opens and closes have copies: each takes the kernel time to verify, and runs of the others are few. Those that
//! are left out are counted (`missed_run`), and walked for.

use std::{
    any::Any,
    fs,
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
};

use anyhow::{Context as _, Result};
use aya::{
    Btf as KernelBtf, Ebpf,
    programs::{FEntry, FExit, ProgramFd},
};

use super::{attach::refusal, hooks::VfsHook};

/// Beside the first: that all are preempted at once on one CPU takes three tasks.
const COPIES: usize = 2;
/// The kinds of preemption, the one in force in parentheses (Linux 5.12, `kernel/sched/debug.c`).
const MODE: &str = "/sys/kernel/debug/sched/preempt";
/// Those that leave kernel code alone.
const CALM: [&str; 2] = ["(none)", "(voluntary)"];

/// Attached programs; they run as long as this lives.
#[derive(Debug)]
pub(super) struct Trampolines {
    copies: usize,
    links: Vec<Box<dyn Any + Send>>,
    programs: Vec<ProgramFd>,
    /// Descriptors of the programs that stand in for each other.
    groups: Vec<Vec<RawFd>>,
}

/// Loads and attaches a program of this type; its link, and a descriptor of it.
macro_rules! attached {
    ($program:ident, $kind:ty, $hook:ident, $types:ident) => {{
        let program = <&mut $kind>::try_from($program)?;
        program.load($hook.function, $types).map_err(refusal)?;
        let link = program.attach()?;
        let link: Box<dyn Any + Send> = Box::new(program.take_link(link)?);
        let descriptor = program.fd()?.try_clone()?;
        // Room for a copy: what is attached stays.
        program.unload()?;
        (link, descriptor)
    }};
}

impl Trampolines {
    /// None yet.
    pub(super) fn new() -> Self {
        Self {
            copies: if is_preemptible() { COPIES } else { 0 },
            links: Vec::new(),
            programs: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Attaches the program of a hook, and its copies behind it.
    pub(super) fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        hook: &VfsHook,
        types: &KernelBtf,
    ) -> Result<()> {
        let copies = hook.again.iter().cycle().take(self.copies);
        let mut group = Vec::new();
        for name in std::iter::once(&hook.program).chain(copies) {
            let program = ebpf.program_mut(name).context("not in the kernel object")?;
            let (link, program) = if hook.at_exit {
                attached!(program, FExit, hook, types)
            } else {
                attached!(program, FEntry, hook, types)
            };
            group.push(program.as_fd().as_raw_fd());
            self.links.push(link);
            self.programs.push(program);
        }
        self.groups.push(group);
        Ok(())
    }

    /// Descriptors of programs, those together that stand in for each other.
    pub(super) fn groups(&self) -> &[Vec<RawFd>] {
        &self.groups
    }
}

/// The kernel may preempt its own code. Where it does not tell, what it was built for counts.
fn is_preemptible() -> bool {
    match fs::read_to_string(MODE) {
        Ok(mode) => !CALM.iter().any(|calm| mode.contains(calm)),
        Err(_) => rustix::system::uname()
            .version()
            .to_string_lossy()
            .contains("PREEMPT"),
    }
}
