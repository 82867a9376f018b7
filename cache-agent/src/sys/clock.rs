//! The clocks of the host: processes are dated by the one that counts since boot, everything else by the one on
//! the wall.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Looks at two clocks, of which the one counts that took least.
const LOOKS: u32 = 3;
/// The last millisecond that RFC 3339 can write, in the year 9999.
const LAST_MS: u64 = 253_402_300_799_999;

/// Milliseconds since the Unix epoch; 0 before it.
pub fn milliseconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// RFC 3339 with milliseconds, UTC; the nearest one there is for what no calendar has.
pub fn rfc3339(ms: i64) -> String {
    humantime::format_rfc3339_millis(time(ms)).to_string()
}

/// The same to the second.
pub(crate) fn rfc3339_seconds(ms: i64) -> String {
    humantime::format_rfc3339_seconds(time(ms)).to_string()
}

/// The present time as it stands in names of files: `20260102T030405Z`.
pub(crate) fn stamp() -> String {
    rfc3339_seconds(milliseconds(SystemTime::now())).replace(['-', ':'], "")
}

fn time(ms: i64) -> SystemTime {
    let ms = u64::try_from(ms).unwrap_or(0).min(LAST_MS);
    UNIX_EPOCH + Duration::from_millis(ms)
}

/// The kernel's clock of event times, which stands still while the host sleeps.
pub(crate) fn event_clock() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// Nanoseconds since boot, sleep included.
pub(crate) fn boot_now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// A moment of the boot clock for people (RFC 3339), and in milliseconds since the epoch.
pub(crate) fn wall_clock(boot_ns: u64) -> (String, i64) {
    let (now_ns, now) = both();
    let ago = Duration::from_nanos(now_ns.saturating_sub(boot_ns));
    let at_ms = milliseconds(now.checked_sub(ago).unwrap_or(UNIX_EPOCH));
    (rfc3339(at_ms), at_ms)
}

/// Both clocks at one moment: on a busy host much time may pass between two looks.
fn both() -> (u64, SystemTime) {
    let looks = (0..LOOKS).map(|_| {
        let boot_ns = boot_now_ns();
        let now = SystemTime::now();
        (boot_now_ns().saturating_sub(boot_ns), boot_ns, now)
    });
    let best = looks.min_by_key(|(apart_ns, ..)| *apart_ns);
    best.map_or((0, UNIX_EPOCH), |(_, boot_ns, now)| (boot_ns, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_the_boot_clock_is_one_on_the_wall() {
        let before = milliseconds(SystemTime::now());
        let (text, at) = wall_clock(boot_now_ns());
        let after = milliseconds(SystemTime::now());
        assert!((before - 1..=after + 1).contains(&at), "{text}: {at}");
        let (_, earlier) = wall_clock(boot_now_ns() - 60_000_000_000);
        assert!((at - 60_001..at - 59_000).contains(&earlier), "{earlier}");
    }

    #[test]
    fn any_number_has_a_time() {
        for (ms, expected) in [
            (i64::MIN, "1970-01-01T00:00:00.000Z"),
            (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(ms), expected);
        }
        assert_eq!(rfc3339_seconds(999), "1970-01-01T00:00:00Z");
        let stamp = stamp();
        assert!(stamp.len() == 16 && stamp.ends_with('Z'), "{stamp}");
    }
}
