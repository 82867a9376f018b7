//! Bounded waiting: the only place that sleeps.

use std::{
    env,
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Time between two looks at a condition: short against everything the tests wait for.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Waits until `look` gives something; an error that says `what` was missing after `limit`.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    let limit = limit * patience();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if started.elapsed() > limit {
            bail!("{what}: not within {} s", limit.as_secs_f64());
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// How much slower than what the limits are made for this machine may be: an emulated one is told.
pub fn patience() -> u32 {
    let told = env::var("CACHE_TEST_PATIENCE").ok();
    told.and_then(|told| told.parse().ok()).unwrap_or(1)
}

/// Waits until `child` has ended, and kills it when it does not within `limit`.
pub fn for_end(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let ended = until("end of the process", limit, || Ok(child.try_wait()?));
    if ended.is_err() {
        child
            .kill()
            .context("cannot kill the process that does not end")?;
        child.wait().context("cannot wait for the killed process")?;
    }
    ended
}
