//! Writers at the same time, as many files as they can: what a busy build server does.

use std::{
    fs,
    path::Path,
    process,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rustix::process::{WaitOptions, wait as wait_for_child};

use super::{say, sys};

const BYTES: usize = 4096;

/// `number` processes, each with a directory of its own, create files for so many seconds; then each
/// says how many it made.
pub(super) fn writers(number: usize, seconds: u64, directory: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    for index in 0..number {
        if sys::fork()?.is_none() {
            let files = write_until(deadline, &directory.join(format!("writer{index}")))?;
            say(&serde_json::json!({"writer": index, "files": files}))?;
            process::exit(0);
        }
    }
    (0..number).try_for_each(|_| {
        let ended = wait_for_child(WaitOptions::empty())?;
        let good = ended.is_some_and(|(_, status)| status.exit_status() == Some(0));
        ensure!(good, "a writer failed: {ended:?}");
        Ok(())
    })
}

fn write_until(deadline: Instant, directory: &Path) -> Result<u64> {
    fs::create_dir(directory)?;
    let content = [b'w'; BYTES];
    let mut files = 0;
    while Instant::now() < deadline {
        fs::write(directory.join(format!("file{files}")), content)?;
        files += 1;
    }
    Ok(files)
}
