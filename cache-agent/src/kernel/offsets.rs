//! From the running kernel's types and tracepoint formats to the globals of the kernel side.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use cache_ebpf::offsets::{FIELDS, FILE_COUNT_ONE, FIRST_ARGUMENT, RESULT, SECOND_ARGUMENT};

use super::btf::{Btf, BtfError};

/// Where the kernel keeps its own types.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// A global and its value.
pub type Global = (&'static str, u64);

/// Resolves every kernel field in use.
pub fn resolve(btf: &Btf<'_>) -> Result<Vec<Global>> {
    let mut globals = Vec::with_capacity(FIELDS.len() + 1);
    for field in FIELDS {
        let (member, offset) = first_of(btf, field.structure, field.members)?;
        globals.push((field.global, offset));
        if field.global == "FILE_COUNT" {
            // file_ref_t counts from 0, the atomic_long_t before it from 1 (kernel 6.13, include/linux/file_ref.h).
            globals.push((FILE_COUNT_ONE, u64::from(member == "f_count")));
        }
    }
    Ok(globals)
}

fn first_of<'m>(
    btf: &Btf<'_>,
    structure: &str,
    members: &[&'m str],
) -> Result<(&'m str, u64), BtfError> {
    let mut missing = BtfError::NoStructure(structure.to_owned());
    for member in members {
        match btf.offset(structure, member) {
            Ok(offset) => return Ok((member, offset)),
            Err(error @ BtfError::Ambiguous { .. }) => return Err(error),
            Err(error) => missing = error,
        }
    }
    Err(missing)
}

/// The mounted tracefs, if any.
pub fn tracefs() -> Option<PathBuf> {
    ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.join("events").is_dir())
}

/// Makes sure that the records of system call tracepoints are laid out as the programs read them.
pub fn check_syscall_records(tracefs: &Path) -> Result<()> {
    for (event, field, expected) in [
        ("sys_enter_close", "fd", FIRST_ARGUMENT),
        ("sys_enter_dup3", "newfd", SECOND_ARGUMENT),
        ("sys_exit_close", "ret", RESULT),
    ] {
        let path = tracefs.join("events/syscalls").join(event).join("format");
        let format = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let found = position(&format, field)?;
        ensure!(
            found == expected as u64,
            "tracepoint {event} has {field} at {found} instead of {expected}: this kernel lays out its records in another way"
        );
    }
    Ok(())
}

/// Offset of `field` in a tracepoint's format: `field:unsigned int fd; offset:16; size:8; signed:0;`.
fn position(format: &str, field: &str) -> Result<u64> {
    for line in format.lines() {
        let Some(rest) = line.trim().strip_prefix("field:") else {
            continue;
        };
        let Some((declaration, rest)) = rest.split_once(';') else {
            continue;
        };
        let name = declaration
            .rsplit(|c: char| c.is_whitespace() || c == '*')
            .next();
        if name != Some(field) {
            continue;
        }
        let offset = rest
            .trim()
            .strip_prefix("offset:")
            .and_then(|rest| rest.split(';').next());
        return offset
            .and_then(|offset| offset.parse().ok())
            .with_context(|| format!("odd tracepoint format {line:?}"));
    }
    bail!("tracepoint format has no field {field}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_positions_from_a_format() {
        let format = "name: sys_enter_dup3\nID: 1\nformat:\n\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n\n\tfield:unsigned int oldfd;\toffset:16;\tsize:8;\tsigned:0;\n\tfield:unsigned int newfd;\toffset:24;\tsize:8;\tsigned:0;\n\tfield:char * name;\toffset:32;\tsize:8;\tsigned:0;\n";
        for (field, offset) in [
            ("oldfd", Some(16)),
            ("newfd", Some(24)),
            ("name", Some(32)),
            ("fd", None),
        ] {
            assert_eq!(position(format, field).ok(), offset, "{field}");
        }
    }

    #[test]
    fn the_running_kernel_has_every_field() {
        let blob = std::fs::read(KERNEL_BTF).unwrap();
        let globals = resolve(&Btf::parse(&blob).unwrap()).unwrap();
        assert_eq!(globals.len(), FIELDS.len() + 1);
    }
}
