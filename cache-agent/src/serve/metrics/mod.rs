//! The snapshot as Prometheus metrics.
//!
//! The number of series is bounded whatever the load. With r roots (at most 51 rows), of which w
//! have a size limit, c causes of loss and fault, and m kernel maps (at most 3 rows), a scrape has
//! `63 + c + 2m + 10r + 2w` series, which keeps ten roots below 200; the tests count them.

pub(crate) mod agent;
mod families;
mod folded;
mod invocations;
mod limits;
mod names;
mod roots;

use prometheus::{Encoder as _, TextEncoder, proto::MetricFamily};

use self::families::Families;
use crate::snapshot::Snapshot;

/// Media type of what [`render`] gives.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The text of one scrape.
pub fn render(snapshot: &Snapshot) -> Result<Vec<u8>, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&families(snapshot), &mut text)?;
    Ok(text)
}

/// All metrics of a snapshot, one subject after the other.
///
/// Nothing is registered: every total is kept by the ledger, so that a scrape only translates.
pub fn families(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let mut families = Families::default();
    let rows = folded::rows(&snapshot.roots);
    roots::add(&mut families, &rows);
    invocations::add_groups(&mut families, snapshot);
    invocations::add(&mut families, &snapshot.invocations);
    limits::add(&mut families, snapshot, &rows);
    limits::add_file_systems(&mut families, &rows);
    agent::add(&mut families, snapshot, &rows);
    families.into_inner()
}

#[cfg(test)]
pub(crate) mod tests;
