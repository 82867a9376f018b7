//! Why an invocation made a cache grow: compared with what earlier ones of its module had written there.
//! Pure: records in, causes out.

mod compare;

use std::collections::{BTreeMap, BTreeSet};

use self::compare::{differences, is_standard, shares_root};
use crate::model::invocation::{Cause, Finished, Invocation, Package};

/// Growth that needs no explanation, in bytes: entries about nothing but the run itself.
const NEGLIGIBLE_BYTES: i64 = 64 * 1024;
/// Packages named in a cause.
const PACKAGES_NAMED: usize = 3;
/// Earlier invocations in which a setting is looked for that comes and goes.
const FLAPPING_WINDOW: usize = 8;
/// A setting that changed so often within them comes and goes.
const FLAPPING_CHANGES: usize = 3;

/// Why `now` grew, given what ran before it, earliest first; empty if it hardly grew.
///
/// Earlier ones of other modules and in other caches may be among them; they explain only that a cache was
/// cleaned.
pub fn causes(now: &Finished, earlier: &[Finished]) -> Vec<Cause> {
    let Finished { record, packages } = now;
    let written = built(packages);
    let total: i64 = written.values().sum();
    if record.growth_bytes < NEGLIGIBLE_BYTES || total == 0 {
        return Vec::new();
    }
    let own: Vec<&Finished> = earlier
        .iter()
        .filter(|one| is_kin(record, &one.record) && shares_root(record, &one.record))
        .filter(|one| one.record.growth_bytes > 0)
        .collect();
    let overlap = |one: &Finished| -> i64 {
        let before = built(&one.packages);
        let again = written
            .iter()
            .filter(|(path, _)| before.contains_key(*path));
        again.map(|(_, bytes)| bytes).sum()
    };
    let candidates: Vec<(&Finished, i64)> = own.iter().map(|one| (*one, overlap(one))).collect();
    let most = candidates
        .iter()
        .map(|(_, bytes)| *bytes)
        .max()
        .unwrap_or(0);
    if most * 2 < total {
        return vec![first_build(record, own.is_empty(), &written)];
    }
    let near = candidates.iter().filter(|(_, bytes)| bytes * 2 >= most);
    // The one that differs least, and of those the latest.
    let reference = near
        .rev()
        .min_by_key(|(one, _)| differences(&one.record.fingerprint, &record.fingerprint).len());
    let Some((reference, _)) = reference else {
        return vec![first_build(record, true, &written)];
    };
    let differing = differences(&reference.record.fingerprint, &record.fingerprint);
    let mut found = comings_and_goings(record, &own);
    if differing.is_empty() {
        found.push(same_settings(record, &reference.record, &written, earlier));
    } else {
        let is_told = |name: &str| found.iter().any(|cause| cause.detail.starts_with(name));
        let others = differing.into_iter().filter(|one| !is_told(&one.name));
        let others: Vec<Cause> = others.map(compare::Difference::cause).collect();
        found.extend(others);
    }
    found
}

/// Settings that differ from the invocation just before, and have gone back and forth.
fn comings_and_goings(record: &Invocation, own: &[&Finished]) -> Vec<Cause> {
    let Some(previous) = own.last() else {
        return Vec::new();
    };
    let differing = differences(&previous.record.fingerprint, &record.fingerprint);
    differing
        .iter()
        .filter_map(|difference| flapping(&difference.name, record, own))
        .collect()
}

/// Bytes by package of what compilers and linkers made.
fn built(packages: &[Package]) -> BTreeMap<&str, i64> {
    let mut sums = BTreeMap::new();
    for package in packages {
        let is_built = matches!(
            package.class.as_str(),
            "compile" | "link" | "executable" | "cgo" | "cover" | "asm"
        );
        if is_built && !package.path.is_empty() {
            *sums.entry(package.path.as_str()).or_default() += package.growth_bytes;
        }
    }
    sums
}

/// Of the same module, or, outside of modules, in the same directory.
fn is_kin(now: &Invocation, earlier: &Invocation) -> bool {
    if now.module.is_empty() {
        earlier.module.is_empty() && earlier.cwd == now.cwd
    } else {
        earlier.module == now.module
    }
}

fn first_build(record: &Invocation, is_first: bool, written: &BTreeMap<&str, i64>) -> Cause {
    let what = if record.module.is_empty() {
        format!("in {}", record.cwd)
    } else {
        format!("of {}", record.module)
    };
    let detail = if is_first {
        format!("{what} in this cache")
    } else {
        format!("{what} with {}", named(written.keys().copied()))
    };
    Cause {
        kind: "first build".to_owned(),
        detail,
    }
}

/// A few names, and how many more.
fn named<'a>(paths: impl Iterator<Item = &'a str>) -> String {
    let paths: Vec<&str> = paths.collect();
    let some = paths
        .iter()
        .take(PACKAGES_NAMED)
        .copied()
        .collect::<Vec<_>>();
    let rest = paths.len().saturating_sub(PACKAGES_NAMED);
    if rest > 0 {
        format!("{} and {rest} more", some.join(", "))
    } else {
        some.join(", ")
    }
}

/// Nothing that can be seen was set differently.
fn same_settings(
    now: &Invocation,
    reference: &Invocation,
    written: &BTreeMap<&str, i64>,
    earlier: &[Finished],
) -> Cause {
    let cause = |kind: &str, detail: String| Cause {
        kind: kind.to_owned(),
        detail,
    };
    let (standard, own): (Vec<_>, Vec<_>) =
        written.iter().partition(|(path, _)| is_standard(path, now));
    let bytes = |part: &[(&&str, &i64)]| part.iter().map(|(_, bytes)| **bytes).sum::<i64>();
    let cleaner = cleaner(now, reference, earlier);
    let all = bytes(&standard) + bytes(&own);
    let is_all_gone = cleaner.is_some_and(|record| signed(record.freed_bytes) >= all);
    // Sources of the standard library do not change: if it is built again, its entries were gone.
    if is_all_gone || bytes(&standard) > bytes(&own) {
        return cause("cache was cleaned", cleaner.map_or_else(String::new, by));
    }
    let is_trimmed = now.fingerprint.contains_key("trimpath");
    if now.cwd != reference.cwd && !is_trimmed {
        let detail = format!("{} -> {}", reference.cwd, now.cwd);
        return cause("timestamps/-trimpath/workdir differ", detail);
    }
    cause("source changed", named(own.iter().map(|(path, _)| **path)))
}

/// Who freed most of the caches in question since then, as far as it is known.
fn cleaner<'a>(
    now: &Invocation,
    since: &Invocation,
    earlier: &'a [Finished],
) -> Option<&'a Invocation> {
    let later = earlier.iter().map(|one| &one.record).filter(|record| {
        let is_later = record.start_ms >= since.start_ms && record.id != since.id;
        is_later && record.freed_bytes > 0 && shares_root(now, record)
    });
    later.max_by_key(|record| record.freed_bytes)
}

/// Who did what, when.
fn by(record: &Invocation) -> String {
    let who = if record.user.is_empty() {
        record.uid.to_string()
    } else {
        record.user.clone()
    };
    format!("by {} of {who} at {}", record.argv.join(" "), record.start)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A setting that goes back and forth between two values.
fn flapping(name: &str, now: &Invocation, own: &[&Finished]) -> Option<Cause> {
    let value = |record: &Invocation| record.fingerprint.get(name).cloned().unwrap_or_default();
    let window = own.iter().rev().take(FLAPPING_WINDOW).rev();
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
    if changes < FLAPPING_CHANGES {
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
    })
}

/// The job, or else the user.
fn owner(record: &Invocation) -> String {
    if let Some(job) = record.ci.get("job") {
        return format!("job {job}");
    }
    if record.user.is_empty() {
        format!("uid {}", record.uid)
    } else {
        record.user.clone()
    }
}

#[cfg(test)]
mod tests;
