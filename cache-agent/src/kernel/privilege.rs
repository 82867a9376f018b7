//! What the agent must be allowed to do, checked before anything is tried: one sentence instead of an errno.

use anyhow::{Context as _, Result, bail};

/// `linux/capability.h`.
const CAP_SYS_ADMIN: u32 = 21;
/// See above; since Linux 5.8.
const CAP_PERFMON: u32 = 38;
/// See above; since Linux 5.8.
const CAP_BPF: u32 = 39;

/// An error unless this process may load and attach programs.
pub fn check() -> Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")
        .context("cannot read /proc/self/status: is /proc mounted?")?;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .context("/proc/self/status does not tell capabilities")?;
    match missing(effective) {
        None => Ok(()),
        Some(missing) => bail!(
            "not allowed to use eBPF: {missing} missing; run as root, or give the binary these capabilities"
        ),
    }
}

fn missing(effective: u64) -> Option<String> {
    let has = |capability: u32| effective >> capability & 1 == 1;
    if has(CAP_SYS_ADMIN) {
        return None;
    }
    let wanted = [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")];
    let missing: Vec<_> = wanted
        .into_iter()
        .filter(|(capability, _)| !has(*capability))
        .map(|(_, name)| name)
        .collect();
    (!missing.is_empty()).then(|| missing.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_capabilities_or_the_old_all_powerful_one() {
        for (effective, expected) in [
            (0, Some("CAP_BPF and CAP_PERFMON")),
            (1 << CAP_SYS_ADMIN, None),
            (1 << CAP_BPF, Some("CAP_PERFMON")),
            (1 << CAP_BPF | 1 << CAP_PERFMON, None),
        ] {
            assert_eq!(missing(effective).as_deref(), expected, "{effective:x}");
        }
    }
}
