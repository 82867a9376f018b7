//! Commands that are over before anybody has looked at them.

use anyhow::{Result, ensure};
use cache_tests::workshop::Workshop;

/// A hundred listings, versions and builds that fail at once, on a machine whose processors are all busy: each has
/// its module and its version.
#[test]
fn a_hundred_short_commands_keep_module_and_version() -> Result<()> {
    let shop = Workshop::new("short")?;
    let module = shop.module("short", 1)?;
    let script = "for i in 1 2 3; do (while :; do :; done) & done
        for i in $(seq 40); do go list >$1; go version >$1; done 2>$1
        for i in $(seq 20); do go build ./nothing 2>$1; done
        kill $(jobs -p)";
    let trace = shop.trace()?.directory(&module);
    let traced = trace.run("bash", ["-c", script, "bash", "/dev/null"])?;
    let report = traced.exact()?;
    let all = report.invocations.iter().filter(|one| one.tool == "go");
    let all: Vec<_> = all.collect();
    ensure!(all.len() == 100, "{} invocations", all.len());
    let version = format!("go{}", shop.go.version);
    for one in all {
        ensure!(
            one.module == "example.com/short" && one.version == version,
            "{one:#?}"
        );
    }
    Ok(())
}
