//! The same in a virtual machine whose clock counts instructions: what the kernel then takes for
//! nanoseconds is the number of instructions that the guest executed, helpers included. It is exact and
//! repeats on a busy machine; what it is in nanoseconds depends on the processor, so backends are compared
//! with each other.

use anyhow::{Result, ensure};
use xtask::command::cargo;

use super::{Figure, Measured, measured_by};
use crate::limits::{Verdict, verdict};

/// Roots cost the same however many there are; that is shown natively.
const ROOTS: u32 = 1;

/// On that kernel, with the agent told to use that backend.
pub(super) fn measure(kernel: &str, backend: &str, calls: u64) -> Result<Measured> {
    let hooks = format!(
        "CACHE_TEST_BACKEND={backend} /bin/hooks --empty /vm/cache-ebpf-empty.o --calls {calls} --roots {ROOTS}"
    );
    let mut command = cargo();
    command.args(["xtask", "vm", "--kernel", kernel]).args([
        "--count-instructions",
        "--command",
        &hooks,
    ]);
    let measured = measured_by(&mut command)?;
    let used = &measured.backend;
    ensure!(used == backend, "measured {used} instead of {backend}");
    Ok(measured)
}

/// The last backend must take no more instructions than the first, anywhere.
pub(super) fn judge(backends: &[Measured]) -> Vec<Verdict> {
    let [first, last] = backends else {
        return Vec::new();
    };
    let name = |figure: &Figure| {
        format!(
            "open {} for {}, against {}",
            figure.place, figure.access, first.backend
        )
    };
    first
        .figures
        .iter()
        .zip(&last.figures)
        .map(|(limit, figure)| verdict(name(figure), figure.open, limit.open))
        .collect()
}
