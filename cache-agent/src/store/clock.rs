//! Times as the history keeps them, milliseconds since the Unix epoch, and as people read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Minutes are the grain of root sizes.
pub const MS_PER_MINUTE: i64 = 60_000;

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
pub fn rfc3339_seconds(ms: i64) -> String {
    humantime::format_rfc3339_seconds(time(ms)).to_string()
}

/// The present time as it stands in names of files: `20260102T030405Z`.
pub fn stamp() -> String {
    rfc3339_seconds(milliseconds(SystemTime::now())).replace(['-', ':'], "")
}

fn time(ms: i64) -> SystemTime {
    let ms = u64::try_from(ms).unwrap_or(0).min(LAST_MS);
    UNIX_EPOCH + Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

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
