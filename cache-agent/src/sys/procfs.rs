//! What `/proc` tells of processes. Each names himself as he likes: a name is bytes, and separates nothing.

use std::{
    fs::{File, read_dir, read_to_string},
    os::fd::{OwnedFd, RawFd},
};

use cache_ebpf::{ProcessKey, ancestry::SEED_UNIT_NS};
use rustix::fs::{CWD, fstat};

use super::openat::{Links, place, read_regular_file, regular_file};

/// How much of one file is read.
const MAX_BYTES: u64 = 256 * 1024;

/// `/proc/PID` held open: whatever is read through it is of this process, or of nobody.
#[derive(Debug)]
pub(crate) struct Process(OwnedFd);

impl Process {
    /// Whoever has this number now.
    pub(crate) fn numbered(pid: u32) -> Option<Self> {
        place(CWD, format!("/proc/{pid}"), Links::Anywhere).map(Self)
    }

    /// This very process, if it is there: its start, cut to the unit of /proc, tells a number used again.
    pub(crate) fn of(key: &ProcessKey) -> Option<Self> {
        let start_ns = key.start_ns / SEED_UNIT_NS * SEED_UNIT_NS;
        let process = Self::numbered(key.tgid)?;
        (process.stat()?.start_ns == start_ns).then_some(process)
    }

    /// Name, parent and start.
    pub(crate) fn stat(&self) -> Option<Stat> {
        Stat::parse(&self.read("stat")?)
    }

    /// The beginning of one of its files.
    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        read_regular_file(&self.0, name, Links::Anywhere, MAX_BYTES)
    }

    /// One of its files, opened for reading.
    pub(crate) fn open(&self, name: &str) -> Option<File> {
        regular_file(&self.0, name, Links::Anywhere)
    }

    /// Where its link `cwd` or `root` leads.
    pub(crate) fn directory(&self, link: &str) -> Option<OwnedFd> {
        place(&self.0, link, Links::Anywhere)
    }

    /// User id it runs as.
    pub(crate) fn owner(&self) -> Option<u32> {
        Some(fstat(&self.0).ok()?.st_uid)
    }
}

/// True while this very process exists.
pub(crate) fn is_alive(key: &ProcessKey) -> bool {
    Process::of(key).is_some()
}

/// Numbers of the processes there are; `None` where they cannot be listed.
pub(crate) fn numbers() -> Option<impl Iterator<Item = u32>> {
    let processes = read_dir("/proc").ok()?.flatten();
    Some(processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

/// What `/proc/PID/stat` says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stat {
    /// Command name.
    pub(crate) comm: Vec<u8>,
    /// Process id of the parent.
    pub(crate) parent: u32,
    /// Start in nanoseconds since boot, cut to [`SEED_UNIT_NS`].
    pub(crate) start_ns: u64,
}

impl Stat {
    /// Only numbers follow the last bracket: what comes before it is the name's, brackets and newlines too.
    fn parse(stat: &[u8]) -> Option<Self> {
        let open = stat.iter().position(|byte| *byte == b'(')?;
        let close = stat.iter().rposition(|byte| *byte == b')')?;
        let comm = stat.get(open + 1..close)?.to_vec();
        let mut fields = str::from_utf8(stat.get(close + 1..)?)
            .ok()?
            .split_ascii_whitespace();
        // Field 3 is the first one here; the parent is field 4, the start field 22 (proc_pid_stat(5)).
        let parent = fields.nth(1)?.parse().ok()?;
        let ticks: u64 = fields.nth(17)?.parse().ok()?;
        Some(Self {
            comm,
            parent,
            start_ns: ticks.checked_mul(SEED_UNIT_NS)?,
        })
    }
}

/// What the kernel tells of a descriptor of this process.
#[derive(Debug)]
pub(crate) struct DescriptorInfo(String);

impl DescriptorInfo {
    const DIRECTORY: &str = "/proc/self/fdinfo";

    /// Of one that is open.
    pub(crate) fn of(descriptor: RawFd) -> Option<Self> {
        let text = read_to_string(format!("{}/{descriptor}", Self::DIRECTORY)).ok()?;
        Some(Self(text))
    }

    /// Of all that are open.
    pub(crate) fn all() -> impl Iterator<Item = (RawFd, Self)> {
        let entries = read_dir(Self::DIRECTORY).into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.filter_map(|number| Some((number, Self::of(number)?)))
    }

    /// The number on the line that begins with this name and a colon.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let mut lines = self.0.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    /// The numbers of a process with parent 7 that started at tick 4711.
    const NUMBERS: &str = "S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 12 13";

    #[test]
    fn a_name_separates_nothing() {
        for comm in [
            "go",
            "",
            ") (",
            ") S 1 2",
            "a\nb) R 1 1",
            "((",
            "))",
            "1 (x) S 99",
            " ",
        ] {
            let stat = Stat::parse(format!("42 ({comm}) {NUMBERS}\n").as_bytes()).unwrap();
            assert_eq!(stat.comm, comm.as_bytes(), "{comm:?}");
            assert_eq!((stat.parent, stat.start_ns), (7, 47_110_000_000));
        }
        let stat = [b"42 (\xff\0) ".as_slice(), NUMBERS.as_bytes()].concat();
        assert_eq!(Stat::parse(&stat).unwrap().comm, b"\xff\0");
    }

    #[test]
    fn what_is_no_stat_is_none() {
        let whole = format!("42 (go) {NUMBERS}");
        let start = whole.find(" 4711").unwrap();
        for length in 0..=start {
            assert_eq!(Stat::parse(&whole.as_bytes()[..length]), None, "{length}");
        }
        for text in [
            ")(",
            "42 )go( S 7",
            "42 (go) S -7 8 9",
            &whole.replace("4711", "18446744073709551615"),
        ] {
            assert_eq!(Stat::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn this_process_is_alive_and_its_past_is_not() {
        let pid = std::process::id();
        let own = Process::numbered(pid).unwrap();
        let key = ProcessKey {
            start_ns: own.stat().unwrap().start_ns,
            tgid: pid,
            pad: 0,
        };
        assert!(is_alive(&key));
        let start_ns = key.start_ns + SEED_UNIT_NS - 1;
        assert!(is_alive(&ProcessKey { start_ns, ..key }));
        let start_ns = key.start_ns + SEED_UNIT_NS;
        assert!(!is_alive(&ProcessKey { start_ns, ..key }));
        assert!(numbers().unwrap().any(|number| number == pid));
        assert_eq!(
            own.stat().unwrap().parent,
            std::os::unix::process::parent_id()
        );
        assert_eq!(own.owner(), Some(nix::unistd::geteuid().as_raw()));
    }

    #[test]
    fn descriptors_are_told_of() {
        let file = tempfile::tempfile().unwrap();
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(11)).unwrap();
        let number = file.as_raw_fd();
        let info = DescriptorInfo::of(number).unwrap();
        assert_eq!(info.number("pos"), Some(11));
        assert_eq!(info.number("po"), None);
        assert!(DescriptorInfo::all().any(|(open, _)| open == number));
    }
}
