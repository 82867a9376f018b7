//! From the running kernel's types to attached programs.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Btf as KernelBtf, Ebpf, Endianness,
    programs::{ProgramError, RawTracePoint, TracePoint},
};

use super::{
    btf::{Btf, Function},
    coverage::{Coverage, Hook},
    detach::Links,
    hooks::{self, Backend, PROCESS_HOOKS, STATUS_HOOKS, SYSCALL_HOOKS, VFS_HOOKS, VfsHook},
    loading,
    offsets::{self, Global, KERNEL_BTF},
    session::CONTROL,
    trampolines::Trampolines,
};

/// What the running kernel's types tell.
pub(super) struct Types {
    /// Globals of the kernel side.
    pub(super) globals: Vec<Global>,
    /// Functions that exist under a name of our hooks.
    functions: Vec<Function>,
    /// The same as aya wants them.
    ids: KernelBtf,
}

impl Types {
    /// Reads them: 6 MiB.
    pub(super) fn read() -> Result<Self> {
        let blob = std::fs::read(KERNEL_BTF).with_context(|| {
            format!("cannot read {KERNEL_BTF}: the kernel needs CONFIG_DEBUG_INFO_BTF")
        })?;
        let btf = Btf::parse(&blob)?;
        let functions = btf.functions(&hooks::functions())?;
        Ok(Self {
            globals: offsets::resolve(&btf)?,
            ids: ids_only(&functions)?,
            functions,
        })
    }
}

/// What a backend needs to know of the running kernel.
pub(super) struct Prepared<'t> {
    backend: Backend,
    types: &'t Types,
    /// `tracepoint`: where tracepoints are described.
    tracefs: PathBuf,
}

impl<'t> Prepared<'t> {
    /// Looks at the tracepoints of system calls, where the backend uses them.
    pub(super) fn new(backend: Backend, types: &'t Types) -> Result<Self> {
        let mut tracefs = PathBuf::new();
        if backend == Backend::Tracepoint {
            tracefs = super::tracefs::ensure()?;
            offsets::check_syscall_records(&tracefs)?;
        }
        Ok(Self {
            backend,
            types,
            tracefs,
        })
    }

    /// Loads and attaches every program of the backend.
    pub(super) fn attach(
        &self,
        ebpf: &mut Ebpf,
        trampolines: &mut Trampolines,
        links: &mut Links,
    ) -> Result<Coverage> {
        let mut coverage = Coverage::new(self.backend);
        let hooks = self.hooks();
        // Where the kernel refuses programs of a type, verifying the others would be for nothing.
        if self.backend == Backend::Fentry
            && let Some(hook) = hooks.iter().find(|hook| hook.is_essential())
        {
            coverage.note(*hook, loading::one(ebpf, *hook, &self.types.ids))?;
        }
        loading::all(ebpf, &hooks, &self.types.ids);
        let control: &mut RawTracePoint = ebpf
            .program_mut(CONTROL)
            .context("no control program")?
            .try_into()?;
        if control.fd().is_err() {
            let refused = "the kernel refuses the control program";
            control.load().map_err(refusal).context(refused)?;
        }
        attach_all_raw(ebpf, &PROCESS_HOOKS, &mut coverage)?;
        match self.backend {
            Backend::Fentry => self.attach_functions(ebpf, trampolines, &mut coverage)?,
            Backend::Tracepoint => {
                attach_all_raw(ebpf, &STATUS_HOOKS, &mut coverage)?;
                self.attach_syscalls(ebpf, &mut coverage, links)?;
            }
        }
        Ok(coverage)
    }

    /// All hooks, and the program that user space runs.
    fn hooks(&self) -> Vec<Hook> {
        let hook = |(program, target)| Hook { program, target };
        let both = [(CONTROL, "")].into_iter().chain(PROCESS_HOOKS);
        match self.backend {
            Backend::Fentry => {
                let fitting = |group| hooks::fitting(group, &self.types.functions);
                let functions = VFS_HOOKS.into_iter().filter_map(fitting);
                let functions = functions.map(|(hook, _)| (hook.program, hook.function));
                both.chain(functions).map(hook).collect()
            }
            Backend::Tracepoint => {
                let calls = STATUS_HOOKS.into_iter().chain(SYSCALL_HOOKS);
                both.chain(calls).map(hook).collect()
            }
        }
    }

    fn attach_functions(
        &self,
        ebpf: &mut Ebpf,
        trampolines: &mut Trampolines,
        coverage: &mut Coverage,
    ) -> Result<()> {
        for group in VFS_HOOKS {
            let Some(first) = group.first() else { continue };
            let (hook, outcome) = match hooks::fitting(group, &self.types.functions) {
                Some((hook, _)) => (hook, trampolines.attach(ebpf, hook, &self.types.ids)),
                None => (first, Err(self.misfit(first))),
            };
            coverage.note(
                Hook {
                    program: hook.program,
                    target: hook.function,
                },
                outcome,
            )?;
        }
        Ok(())
    }

    fn misfit(&self, hook: &VfsHook) -> anyhow::Error {
        match self
            .types
            .functions
            .iter()
            .find(|function| function.name == hook.function)
        {
            Some(function) => anyhow!(
                "its parameters ({}) are laid out in no way that is known",
                function.parameters.join(", ")
            ),
            None => anyhow!("this kernel has no such function, or several"),
        }
    }

    fn attach_syscalls(
        &self,
        ebpf: &mut Ebpf,
        coverage: &mut Coverage,
        links: &mut Links,
    ) -> Result<()> {
        for (program, target) in SYSCALL_HOOKS {
            if !self.tracefs.join("events/syscalls").join(target).is_dir() {
                // Not a call of this architecture or kernel: there is nothing to miss.
                continue;
            }
            let outcome = attach_syscall(ebpf, program, target, links);
            coverage.note(Hook { program, target }, outcome)?;
        }
        Ok(())
    }
}

/// The kernel's types as aya wants them, reduced to the functions in use at their own ids: all of them would
/// cost 20 MiB of memory.
fn ids_only(functions: &[Function]) -> Result<KernelBtf> {
    const MAGIC: u32 = 0xeb9f | 1 << 16;
    const HEADER_BYTES: u32 = 24;
    const FORWARD: u32 = 7 << 24;
    const FUNCTION: u32 = 12 << 24;
    let mut strings = vec![0];
    let last = functions.iter().map(|function| function.id).max();
    let mut types = vec![[0, FORWARD, 0]; last.unwrap_or_default() as usize];
    for function in functions {
        let name = u32::try_from(strings.len())?;
        strings.extend_from_slice(function.name.as_bytes());
        strings.push(0);
        let slot = function
            .id
            .checked_sub(1)
            .and_then(|at| types.get_mut(at as usize));
        *slot.context("kernel type information has no type 0")? = [name, FUNCTION, 0];
    }
    let types_len = u32::try_from(types.len() * 12)?;
    let strings_len = u32::try_from(strings.len())?;
    let header = [MAGIC, HEADER_BYTES, 0, types_len, types_len, strings_len];
    let words = header.iter().chain(types.as_flattened());
    let mut blob: Vec<u8> = words.flat_map(|word| word.to_ne_bytes()).collect();
    blob.extend_from_slice(&strings);
    Ok(KernelBtf::parse(&blob, Endianness::default())?)
}

fn attach_all_raw(
    ebpf: &mut Ebpf,
    hooks: &[(&'static str, &'static str)],
    coverage: &mut Coverage,
) -> Result<()> {
    for &(program, target) in hooks {
        let outcome = attach_raw(ebpf, program, target);
        coverage.note(Hook { program, target }, outcome)?;
    }
    Ok(())
}

fn attach_raw(ebpf: &mut Ebpf, name: &str, tracepoint: &str) -> Result<()> {
    let program: &mut RawTracePoint = ebpf
        .program_mut(name)
        .context("not in the kernel object")?
        .try_into()?;
    if program.fd().is_err() {
        program.load().map_err(refusal)?;
    }
    program.attach(tracepoint)?;
    Ok(())
}

fn attach_syscall(ebpf: &mut Ebpf, name: &str, tracepoint: &str, links: &mut Links) -> Result<()> {
    let program: &mut TracePoint = ebpf
        .program_mut(name)
        .context("not in the kernel object")?
        .try_into()?;
    if program.fd().is_err() {
        program.load().map_err(refusal)?;
    }
    let link = program.attach("syscalls", tracepoint)?;
    links.keep(program.take_link(link)?);
    Ok(())
}

/// One sentence out of a refused load; the verifier's whole log, up to thousands of lines, is for debugging.
pub(super) fn refusal(error: ProgramError) -> anyhow::Error {
    let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    else {
        return error.into();
    };
    let log = verifier_log.to_string();
    tracing::debug!(log, "verifier");
    let said = log
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !is_statistics(line));
    match said {
        Some(said) => anyhow!(
            "kernel {}: {io_error}; the verifier says: {said}",
            release()
        ),
        None => anyhow!(
            "kernel {} refuses programs of this type: {io_error}",
            release()
        ),
    }
}

/// Closing lines that each verifier log has.
fn is_statistics(line: &str) -> bool {
    [
        "processed ",
        "insns processed ",
        "verification time ",
        "stack depth ",
    ]
    .iter()
    .any(|prefix| line.starts_with(prefix))
}

fn release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}
