//! What this process has used so far.

use std::time::Duration;

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};

/// See getrusage(2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// User and system time in seconds, that of children not included.
    pub(crate) cpu_seconds: f64,
    /// Largest resident set in bytes.
    pub(crate) max_rss_bytes: i64,
}

/// Of this process, all its threads.
pub(crate) fn own() -> nix::Result<Usage> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |time: TimeVal| {
        let parts = (time.tv_sec().unsigned_abs(), time.tv_usec().unsigned_abs());
        (Duration::from_secs(parts.0) + Duration::from_micros(parts.1)).as_secs_f64()
    };
    Ok(Usage {
        cpu_seconds: seconds(usage.user_time()) + seconds(usage.system_time()),
        max_rss_bytes: usage.max_rss() * 1024,
    })
}
