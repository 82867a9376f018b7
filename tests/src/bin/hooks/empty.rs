//! The empty program, attached where the agent's program for an open is.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use aya::{
    Btf, Ebpf,
    programs::{FEntry, Program, TracePoint},
};

/// Detached when dropped.
pub(super) struct Empty {
    ebpf: Ebpf,
    name: &'static str,
}

impl Empty {
    pub(super) fn attach(object: &Path, backend: &str) -> Result<Self> {
        let bytes =
            fs::read(object).with_context(|| format!("cannot read {}", object.display()))?;
        let mut ebpf = Ebpf::load(&bytes).context("cannot load the empty programs")?;
        let name = match backend {
            "tracepoint" => "empty_point",
            "fentry" => "empty_entry",
            _ => bail!("there is no empty program for the backend {backend}"),
        };
        let program = ebpf
            .program_mut(name)
            .with_context(|| format!("{} has no program {name}", object.display()))?;
        match program {
            Program::TracePoint(program) => {
                program.load()?;
                program.attach("syscalls", "sys_exit_openat")?;
            }
            Program::FEntry(program) => {
                program.load("security_file_open", &Btf::from_sys_fs()?)?;
                program.attach()?;
            }
            _ => bail!("{name} is of another type"),
        }
        Ok(Self { ebpf, name })
    }

    /// Its number in the kernel.
    pub(super) fn id(&self) -> Result<u32> {
        let program = self
            .ebpf
            .program(self.name)
            .context("the empty program is gone")?;
        let info = match program {
            Program::TracePoint(_) => <&TracePoint>::try_from(program)?.info()?,
            _ => <&FEntry>::try_from(program)?.info()?,
        };
        Ok(info.id())
    }
}
