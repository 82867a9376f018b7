//! What holds of the daemon's figures whatever was lost: each identity in one place, for every test to check.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Result, ensure};

use crate::{daemon::Daemon, scrape::Exposition, tree};

/// Every identity between figures of one scrape.
pub fn hold(exposition: &Exposition) -> Result<()> {
    events_add_up(exposition)?;
    accounts_add_up(exposition)
}

/// Each hit of a hook is either a delivered event or a dropped one.
pub fn events_add_up(exposition: &Exposition) -> Result<()> {
    let sum = |name| exposition.value(name, &[]);
    let hits = sum("go_cache_agent_events_hits_total")?;
    let delivered = sum("go_cache_agent_events_delivered_total")?;
    let dropped = sum("go_cache_agent_events_dropped_total")?;
    equal("hits", hits, "delivered and dropped", delivered + dropped)
}

/// The growth of all roots is that of all tools and of nobody.
pub fn accounts_add_up(exposition: &Exposition) -> Result<()> {
    let roots = exposition.value("go_cache_growth_bytes_total", &[])?;
    let groups = exposition.value("go_cache_group_growth_bytes_total", &[])?;
    equal("growth of roots", roots, "growth of groups", groups)
}

/// What no account explains.
pub fn unattributed(exposition: &Exposition) -> Result<f64> {
    exposition.value(
        "go_cache_group_growth_bytes_total",
        &[("group", "unattributed")],
    )
}

/// Every byte is in the account of a process.
pub fn all_is_attributed(exposition: &Exposition) -> Result<()> {
    equal("unattributed", unattributed(exposition)?, "nothing", 0.0)
}

/// The ledger is the disk: size and number of files, to the byte. Gives the scrape that says so.
pub fn ledger_is_disk(daemon: &Daemon, name: &str, root: &Path) -> Result<Exposition> {
    let tree = tree::walk(root, &[])?;
    daemon.wait_size(name, tree.bytes)?;
    daemon.wait_metric("go_cache_files", name, tree.files)
}

/// Losses of one cause, which the metrics must name.
pub fn lost(exposition: &Exposition, cause: &str) -> Result<f64> {
    let labels = [("cause", cause)];
    exposition
        .value("go_cache_agent_faults_total", &labels)
        .or_else(|_| exposition.value("go_cache_agent_events_dropped_total", &labels))
}

/// Causes of which at least one loss was counted.
pub fn causes(exposition: &Exposition) -> BTreeSet<&str> {
    let counted = exposition.samples.iter().filter(|sample| {
        let name = sample.series.split('{').next().unwrap_or_default();
        let is_loss = matches!(
            name,
            "go_cache_agent_faults_total" | "go_cache_agent_events_dropped_total"
        );
        is_loss && sample.value > 0.0
    });
    counted
        .filter_map(|sample| sample.series.split('"').nth(1))
        .collect()
}

fn equal(what: &str, value: f64, other: &str, expected: f64) -> Result<()> {
    ensure!(
        (value - expected).abs() < 0.5,
        "{what}: {value}, {other}: {expected}"
    );
    Ok(())
}
