//! The clocks of the host: processes are dated by the one that counts since boot, everything else by the one on
//! the wall.

use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// Looks at two clocks, of which the one counts that took least.
const LOOKS: u32 = 3;

/// Nanoseconds since boot, sleep included.
pub(crate) fn boot_now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// A moment of the boot clock for people (RFC 3339), and in milliseconds since the epoch.
pub(crate) fn wall_clock(boot_ns: u64) -> (String, i64) {
    let (now_ns, now) = both();
    let ago = Duration::from_nanos(now_ns.saturating_sub(boot_ns));
    let at = now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let milliseconds = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    (
        humantime::format_rfc3339_millis(at).to_string(),
        milliseconds,
    )
}

/// Both clocks at one moment: on a busy host much time may pass between two looks.
fn both() -> (u64, SystemTime) {
    let looks = (0..LOOKS).map(|_| {
        let boot_ns = boot_now_ns();
        let now = SystemTime::now();
        (boot_now_ns().saturating_sub(boot_ns), boot_ns, now)
    });
    let best = looks.min_by_key(|(apart_ns, ..)| *apart_ns);
    best.map_or((0, SystemTime::UNIX_EPOCH), |(_, boot_ns, now)| {
        (boot_ns, now)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_the_boot_clock_is_one_on_the_wall() {
        let milliseconds = |at: SystemTime| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            i64::try_from(since.as_millis()).unwrap()
        };
        let before = milliseconds(SystemTime::now());
        let (text, at) = wall_clock(boot_now_ns());
        let after = milliseconds(SystemTime::now());
        assert!((before - 1..=after + 1).contains(&at), "{text}: {at}");
        let (_, earlier) = wall_clock(boot_now_ns() - 60_000_000_000);
        assert!((at - 60_001..at - 59_000).contains(&earlier), "{earlier}");
    }
}
