//! Caches that exist in a container only.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    wait,
    workshop::{Workshop, open_directory},
};

use super::daemon::{discovering, told};

/// Until the agent lets go of what is in a container that is gone: it looks twice.
const LET_GO: Duration = Duration::from_secs(40);

/// A root directory and a mount namespace of its own, in which the cache is where nothing is on the host. It lives
/// for a second longer than the build: a cache that is gone before the agent has looked is no root any more.
const CONTAINER: &str = "mount --rbind / \"$1\" && mount -t tmpfs none \"$1/mnt\" && exec chroot \"$1\" \
     sh -c 'cd \"$1\" && \"$2\" build ./... && find /mnt/cache -type f -printf \"%s\\n\" && sleep 1' sh \"$2\" \"$3\"";

/// A cache that only one mount namespace shows becomes a root there.
#[test]
fn a_containers_cache_is_discovered() -> Result<()> {
    let shop = Workshop::new("contained")?;
    let module = shop.module("contained", 40)?;
    let place = shop.place("container");
    open_directory(&place)?;
    let (daemon, state) = discovering(&shop)?;
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--propagation=private",
            "sh",
            "-c",
            CONTAINER,
            "sh",
        ])
        .args([&place, &module, &shop.program()])
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", shop.place("home"))
        .env("TMPDIR", shop.place("tmp"))
        .envs([
            ("GOCACHE", "/mnt/cache"),
            ("GOMODCACHE", "/mnt/mod"),
            ("GOENV", "off"),
            ("GOTOOLCHAIN", "local"),
            ("GOPROXY", "off"),
        ])
        .output()
        .context("cannot start unshare")?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {complaints}", output.status);
    let sizes = String::from_utf8(output.stdout)?;
    let sizes: Vec<u64> = sizes.lines().map(str::parse).collect::<Result<_, _>>()?;
    let bytes: u64 = sizes.iter().sum();
    let record = told(&daemon, &state, "example.com/contained")?;
    let roots = record["roots"].as_object().context("no roots")?;
    let [(path, share)] = roots.iter().collect::<Vec<_>>()[..] else {
        anyhow::bail!("not one root: {record:#}\n{}", daemon.log()?);
    };
    ensure!(
        path.starts_with("/proc/") && path.ends_with("/mnt/cache"),
        "{path}"
    );
    ensure!(
        share["growth_bytes"] == bytes && bytes > 0,
        "{bytes} B: {record:#}\n{}",
        daemon.log()?
    );
    let size = daemon
        .scrape()?
        .of_root("go_cache_size_bytes", "gobuild:uid0")?;
    ensure!(size.to_string() == bytes.to_string(), "{size} of {bytes} B");
    // The container is gone: holding the directory would hold its file system.
    wait::until("the end of the root", LET_GO, || {
        let log = daemon.log()?;
        let is_gone = |line: &str| line.contains("root is gone") && line.contains("gobuild:uid0");
        Ok(log.lines().any(is_gone).then_some(()))
    })
}
