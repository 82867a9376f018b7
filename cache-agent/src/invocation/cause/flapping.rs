//! Settings that go back and forth between two values.

use std::collections::BTreeSet;

use super::compare::differences;
use crate::model::{
    compiled::Past,
    invocation::{Cause, Finished, Invocation},
};

/// Earlier invocations in which a setting is looked for that comes and goes.
const WINDOW: usize = 8;
/// A setting that changed so often within them comes and goes.
const CHANGES: usize = 3;

/// Settings that differ from the invocation just before, and have gone back and forth.
pub(super) fn causes(now: &Finished, past: &Past) -> Vec<Cause> {
    let record = &now.record;
    let own: Vec<&Finished> = past
        .earlier
        .iter()
        .filter(|one| is_kin(record, &one.record) && shares_root(record, &one.record))
        .filter(|one| one.record.growth_bytes > 0)
        .collect();
    let Some(previous) = own.last().filter(|_| !now.compiled.is_empty()) else {
        return Vec::new();
    };
    let differing = differences(&previous.record.fingerprint, &record.fingerprint);
    differing
        .iter()
        // Nobody sets this one: `go run` links without, `go build` with.
        .filter(|difference| difference.name != "dwarf")
        .filter_map(|difference| flapping(&difference.name, record, &own))
        .collect()
}

/// Of the same module, or, outside of modules, in the same directory.
fn is_kin(now: &Invocation, earlier: &Invocation) -> bool {
    if now.module.is_empty() {
        earlier.module.is_empty() && earlier.cwd == now.cwd
    } else {
        earlier.module == now.module
    }
}

/// A setting that comes and goes is told in the place of its difference, with the bytes of that.
pub(super) fn merged(mut flapping: Vec<Cause>, causes: Vec<Cause>) -> Vec<Cause> {
    let mut rest = Vec::new();
    for cause in causes {
        let name = cause.kind.strip_prefix("settings:").unwrap_or(&cause.kind);
        let told = flapping
            .iter_mut()
            .find(|told| told.detail.split(' ').next() == Some(name));
        match told {
            Some(told) => {
                (told.bytes, told.packages, told.cpu_s) =
                    (cause.bytes, cause.packages, cause.cpu_s);
            }
            None => rest.push(cause),
        }
    }
    flapping.extend(rest);
    flapping
}

/// Both changed a common root; one that changed none says nothing.
fn shares_root(now: &Invocation, other: &Invocation) -> bool {
    now.roots.keys().any(|root| other.roots.contains_key(root))
}

/// A setting that goes back and forth between two values.
fn flapping(name: &str, now: &Invocation, own: &[&Finished]) -> Option<Cause> {
    let value = |record: &Invocation| record.fingerprint.get(name).cloned().unwrap_or_default();
    let window = own.iter().rev().take(WINDOW).rev();
    let records: Vec<&Invocation> = window
        .map(|one| &one.record)
        .chain(std::iter::once(now))
        .collect();
    let values: Vec<String> = records.iter().map(|record| value(record)).collect();
    let changes = values.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let distinct: BTreeSet<&String> = values.iter().collect();
    let [one, other] = distinct.iter().collect::<Vec<_>>()[..] else {
        return None;
    };
    if changes < CHANGES {
        return None;
    }
    let who = |wanted: &str| {
        let of = records.iter().filter(|record| value(record) == wanted);
        let names: BTreeSet<String> = of.map(|record| owner(record)).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    };
    let detail = format!(
        "{name} \"{one}\" ({}) <-> \"{other}\" ({})",
        who(one),
        who(other)
    );
    Some(Cause {
        kind: "flapping".to_owned(),
        detail,
        ..Cause::default()
    })
}

/// The job and its leg, or else the user.
fn owner(record: &Invocation) -> String {
    if let Some(job) = record.ci.get("job") {
        let leg = record.ci.get("leg").map(|leg| format!(" leg {leg}"));
        return format!("job {job}{}", leg.unwrap_or_default());
    }
    if record.user.is_empty() && record.sudo_user.is_empty() {
        return format!("uid {}", record.uid);
    }
    record.who()
}
