//! Caches that exist in a container only.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{daemon::Daemon, go::open_directory, tree, wait, workshop::Workshop};

use super::daemon::{discovering, told};

/// Until the agent lets go of what is in a container that is gone: it looks twice.
const LET_GO: Duration = Duration::from_secs(40);

/// A root directory and a mount namespace of its own, in which the cache is where nothing is on the host. It lives
/// until it is told to end: a cache that is gone before the agent has looked is no root any more.
const CONTAINER: &str = "mount --rbind / \"$1\" && mount -t tmpfs none \"$1/mnt\" && exec chroot \"$1\" \
     sh -c 'cd \"$1\" && \"$2\" build ./... || exit; until test -e \"$3\"; do sleep 0.05; done' sh \"$2\" \"$3\" \"$4\"";

/// A cache that only one mount namespace shows becomes a root there.
#[test]
fn a_containers_cache_is_discovered() -> Result<()> {
    let shop = Workshop::new("contained")?;
    let module = shop.module("contained", 40)?;
    let (place, sign) = (shop.place("container"), shop.place("end"));
    open_directory(&place)?;
    let (daemon, state) = discovering(&shop)?;
    let container = Command::new("unshare")
        .args([
            "--mount",
            "--propagation=private",
            "sh",
            "-c",
            CONTAINER,
            "sh",
        ])
        .args([&place, &module, &shop.go.program(), &sign])
        .env_clear()
        .envs(
            shop.go
                .environment(&shop.bench.outside(), "/mnt/cache".as_ref()),
        )
        .env("GOMODCACHE", "/mnt/mod")
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start unshare")?;
    let seen = credited(&daemon, &state, container.id());
    fs::write(sign, "")?;
    let output = container.wait_with_output()?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {complaints}", output.status);
    seen?;
    // The container is gone: holding the directory would hold its file system.
    wait::until("the end of the root", LET_GO, || {
        let log = daemon.log()?;
        let is_gone = |line: &str| line.contains("root is gone") && line.contains("gobuild:uid0");
        Ok(log.lines().any(is_gone).then_some(()))
    })
}

/// All bytes of the container's cache are the build's, and the root's.
fn credited(daemon: &Daemon, state: &Path, container: u32) -> Result<()> {
    let record = told(daemon, state, "example.com/contained")?;
    let place = Path::new("/proc").join(container.to_string()).join("root");
    let bytes = tree::walk(&place.join("mnt/cache"), &[])?.bytes;
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
    Ok(())
}
