//! The start page, and the words of readiness.

use crate::{
    model::printable::printable,
    snapshot::{RootSnapshot, Snapshot},
};

/// Roots in trouble that are listed.
const TROUBLES_MAX: usize = 20;

/// Why the agent is not ready, one line each.
pub(super) fn unready_reasons(snapshot: &Snapshot) -> Vec<String> {
    let walking = snapshot.roots.iter().filter(|root| root.is_waited_for());
    walking
        .map(|root| format!("root {} is not walked yet", root.name))
        .collect()
}

/// What keeps single roots from being watched, or walked whole, one line each. It makes nobody unready.
pub(super) fn troubles(snapshot: &Snapshot) -> Vec<String> {
    let line = |root: &RootSnapshot| {
        let trouble = printable(root.trouble.as_ref()?.as_bytes());
        Some(format!("root {}: {trouble}", root.name))
    };
    let mut lines: Vec<String> = snapshot.roots.iter().filter_map(line).collect();
    let more = lines.len().saturating_sub(TROUBLES_MAX);
    lines.truncate(TROUBLES_MAX);
    lines.extend((more > 0).then(|| format!("and {more} more roots in trouble")));
    lines
}

/// Links, backend and coverage. Nothing on it comes from outside but the degraded reasons.
pub(super) fn index(snapshot: &Snapshot) -> String {
    let coverage: Vec<String> = snapshot
        .coverage
        .iter()
        .map(|(operation, observation)| {
            format!(
                "<tr><td>{}<td>{}\n",
                escaped(operation),
                observation.as_str()
            )
        })
        .collect();
    let degraded: Vec<String> = snapshot
        .degraded
        .iter()
        .map(|degraded| format!("<li>{}\n", escaped(&degraded.sentence)))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>cache-agent</title>\n\
         <h1>cache-agent {version}</h1>\n\
         <p><a href=\"/metrics\">metrics</a> · <a href=\"/healthz\">health</a> · <a href=\"/readyz\">readiness</a></p>\n\
         <h2>Coverage of the {backend} backend</h2>\n<table>\n{coverage}</table>\n<p>{proof}\n\
         <h2>Degraded</h2>\n<ul>\n{degraded}</ul>\n</html>\n",
        version = env!("CARGO_PKG_VERSION"),
        coverage = coverage.concat(),
        proof = proof(snapshot),
        degraded = degraded.concat(),
        backend = escaped(snapshot.backend),
    )
}

/// On what the coverage rests.
fn proof(snapshot: &Snapshot) -> String {
    let Some(proof) = &snapshot.canary else {
        return "Not proved: the canary is off.".to_owned();
    };
    let Some(proved_at) = proof.proved_at else {
        return "Not proved: the canary has not shown all figures to be right yet.".to_owned();
    };
    format!(
        "Proved by the canary at {}: {}. The rest is what the hooks say.",
        humantime::format_rfc3339_seconds(proved_at),
        proof.operations.join(", ")
    )
}

/// Reasons may quote paths, and paths may contain anything.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
