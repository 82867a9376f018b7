//! What /proc tells about processes.

use std::{collections::BTreeMap, fmt::Display, fs};

use anyhow::{Context as _, Result};
use xtask::command::{ask, program};

/// `USER_HZ`: the unit of times in /proc, the same on every architecture this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds, user and system, of all our children that ended and were waited for, with theirs.
pub(super) fn children_cpu() -> Result<f64> {
    let stat = read("/proc/self/stat")?;
    cpu_fields(&stat, 16).context("/proc/self/stat has no times of children")
}

/// CPU seconds, user and system, of a process' threads.
pub(super) fn cpu_of(pid: u32) -> Result<f64> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    cpu_fields(&stat, 14).with_context(|| format!("/proc/{pid}/stat has no times"))
}

/// The same with its children that ended and were waited for.
pub(super) fn cpu_of_family(pid: u32) -> Result<f64> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    let times = cpu_fields(&stat, 14).zip(cpu_fields(&stat, 16));
    let (own, children) = times.with_context(|| format!("/proc/{pid}/stat has no times"))?;
    Ok(own + children)
}

/// Number of the kernel's thread of that name, if there is one.
pub(super) fn kernel_thread(name: &str) -> Option<u32> {
    let is_it = |pid: u32| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm"));
        let arguments = fs::read(format!("/proc/{pid}/cmdline"));
        comm.is_ok_and(|comm| comm.trim_end() == name) && arguments.is_ok_and(|it| it.is_empty())
    };
    fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .find(|pid| is_it(*pid))
}

/// Sends a signal to a process; one with a minus in front names its group.
pub(super) fn signal(pid: impl Display, name: &str) -> Result<()> {
    let kill = format!("kill -s {name} -- {pid}");
    ask(program("sh").args(["-c", &kill])).map(drop)
}

/// The most memory a process ever had resident, in bytes.
pub(super) fn peak_memory_of(pid: u32) -> Result<u64> {
    let status = read(&format!("/proc/{pid}/status"))?;
    peak_memory(&status).with_context(|| format!("/proc/{pid}/status has no VmHWM"))
}

/// Numbers of the BPF programs that a process holds, directly or by a link.
pub(super) fn bpf_programs_of(pid: u32) -> Result<Vec<u64>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))?;
    let mut programs: Vec<u64> = entries
        .filter_map(Result::ok)
        // A descriptor that was closed meanwhile is none of the programs.
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter_map(|text| value(&text, "prog_id:")?.parse().ok())
        .collect();
    programs.sort_unstable();
    programs.dedup();
    Ok(programs)
}

/// Kernel memory of the BPF maps that a process holds, in bytes.
pub(super) fn bpf_map_bytes_of(pid: u32) -> Result<u64> {
    let folder = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))?;
    let maps: BTreeMap<u64, u64> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter_map(|text| {
            let id = value(&text, "map_id:")?.parse().ok()?;
            Some((id, value(&text, "memlock:")?.parse().ok()?))
        })
        .collect();
    Ok(maps.values().sum())
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// The sum of two neighbouring fields, numbered as in proc(5). The second field is the program's
/// name in brackets and may itself hold spaces and brackets.
fn cpu_fields(stat: &str, number: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split_whitespace().skip(number - 3);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

fn peak_memory(status: &str) -> Option<u64> {
    let kibibytes: u64 = value(status, "VmHWM:")?.strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 700 300 20 0 1 0 9 1 1";
        assert_eq!(cpu_fields(stat, 14), Some(2.0));
        assert_eq!(cpu_fields(stat, 16), Some(10.0));
        assert_eq!(cpu_fields("nonsense", 14), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(
            peak_memory("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(peak_memory("VmPeak:\t 9 kB\n"), None);
    }
}
