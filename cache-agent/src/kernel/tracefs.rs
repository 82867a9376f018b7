//! tracefs holds the identities of tracepoints; where nobody mounted it, the agent does.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::offsets;

/// Where tracefs belongs.
const MOUNT_POINT: &str = "/sys/kernel/tracing";

/// Path of a mounted tracefs, mounting it if need be.
pub fn ensure() -> Result<PathBuf> {
    if let Some(path) = offsets::tracefs() {
        return Ok(path);
    }
    rustix::mount::mount("tracefs", MOUNT_POINT, "tracefs", rustix::mount::MountFlags::empty(), None)
        .with_context(|| format!("tracefs is not mounted and cannot be; run `mount -t tracefs tracefs {MOUNT_POINT}` as root"))?;
    // A change of the host, left in place: others may use it by now.
    tracing::warn!(path = MOUNT_POINT, "mounted tracefs, which was not mounted");
    offsets::tracefs().context("the mounted tracefs has no events")
}
