//! Who a process is: what the kernel side captured of it.

use cache_ebpf::{PROCESS_IN_COMMAND, Process, ProcessKey};

use super::{mask::Arguments, tool_group};

/// Who a process is; text from the observed side, never trusted, never printed raw.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identity {
    /// Command name.
    pub comm: String,
    /// Arguments, possibly cut.
    pub argv: Arguments,
    /// Real user id.
    pub uid: u32,
    /// Parent's process id when it was first seen.
    pub ppid: u32,
    /// Descends from the traced command.
    pub in_command: bool,
    /// When it ended, in nanoseconds since boot.
    pub ended_ns: Option<u64>,
    /// Index of its tool in `snapshot::GROUPS`.
    pub group: usize,
    /// Innermost tool it descends from, or is.
    pub invocation: Option<ProcessKey>,
}

impl Identity {
    /// From what the kernel side captured.
    pub fn of(process: &Process) -> Self {
        let comm = text(&process.comm);
        let length = usize::try_from(process.argv_len)
            .unwrap_or(0)
            .min(process.argv.len());
        let argv = arguments(process.argv.get(..length).unwrap_or_default());
        Self {
            group: tool_group::group(&comm, &argv),
            comm,
            argv: argv.into(),
            uid: process.uid,
            ppid: process.ppid,
            in_command: process.flags & PROCESS_IN_COMMAND != 0,
            ended_ns: Some(process.ended_ns).filter(|ended| *ended != 0),
            invocation: Some(process.invocation).filter(|leader| leader.tgid != 0),
        }
    }
}

/// Text up to the first NUL, as command names are kept.
pub fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// Strings that end with NUL each, as `execve` left them.
pub fn arguments(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_split_at_nul_and_never_panic() {
        for (bytes, expected) in [
            (&b"go\0build\0./...\0"[..], vec!["go", "build", "./..."]),
            (b"go\0\0x", vec!["go", "", "x"]),
            (b"", vec![]),
            (b"\xff\xfe\0", vec!["\u{fffd}\u{fffd}"]),
        ] {
            assert_eq!(arguments(bytes), expected);
        }
    }
}
