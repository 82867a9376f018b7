//! Why an invocation made a cache grow: package by package, from what was there before.
//! Pure: records in, causes out.
//!
//! A compile action that the cache had before went; of a new one, the first input that differs from the
//! package's previous build is the reason; where none does, its own source.

mod compare;
mod flapping;
mod gone;
mod package;
mod sums;

use std::collections::BTreeMap;

use self::{package::Reasons, sums::Sums};
use crate::model::{
    built::{Built, How, Reason},
    compiled::Past,
    invocation::{Cause, Finished, Invocation, Package},
};

/// Growth of what nobody can name that needs no cause of its own, in bytes.
const NEGLIGIBLE_BYTES: i64 = 64 * 1024;
/// Packages named in a cause.
const PACKAGES_NAMED: usize = 3;

/// Kinds of causes beside `settings:NAME`, each with what it means.
pub const KINDS: [(&str, &str); 17] = [
    (
        "first_build",
        "the package had never been compiled in this cache, as far as the history knows",
    ),
    (
        "toolchain",
        "another Go version, or another C compiler behind the same name",
    ),
    (
        "source",
        "all that is known was as before, so its own source or an embedded file changed",
    ),
    (
        "dependency",
        "a package that it imports was compiled anew; the first of them is named",
    ),
    (
        "directory",
        "the same module had been compiled from another directory, whose path is part of the action without `-trimpath`",
    ),
    (
        "trimmed",
        "the entry was there and fell to go's own daily trim",
    ),
    ("cleaned", "the entry was there and fell to `go clean`"),
    (
        "removed",
        "the entry was there and is gone; by whom is told if it was seen",
    ),
    (
        "unreadable",
        "the entry was there, but it or what it names was cut off, damaged or missing",
    ),
    (
        "executable_kept",
        "`go run` and `go tool` keep the program they linked; nothing need have changed",
    ),
    ("vet", "findings and facts of vet"),
    (
        "test_results",
        "results of tests, and what else tests leave",
    ),
    ("fuzz_corpus", "inputs that fuzzing found"),
    ("index", "indexes of package directories"),
    (
        "flapping",
        "a setting that goes back and forth between two values, with who sets which",
    ),
    (
        "cache_program",
        "no reason, but that a program keeps the cache in go's stead (`GOCACHEPROG`): its hits cannot be known",
    ),
    ("unknown", "what was seen does not tell"),
];

/// Gives an invocation its causes, and what is told of each package.
pub fn explain(now: &mut Finished, past: &Past) {
    let reasons = Reasons::of(now, past);
    let (causes, built) = (causes(now, past, &reasons), built(now, &reasons));
    (now.record.cause, now.record.built) = (causes, built);
    let helper = now.helper.iter().map(|helper| Cause {
        kind: "cache_program".to_owned(),
        detail: format!("GOCACHEPROG: `{helper}` keeps the cache; hits cannot be known"),
        ..Cause::default()
    });
    now.record.cause.extend(helper);
}

/// Reasons, the invocation compared with, and how.
type Told<'a> = (&'a [Reason], Option<&'a str>, How);

/// What it compiled, by what there is to say of it.
fn built(now: &Finished, reasons: &Reasons<'_>) -> Vec<Built> {
    let mut groups: BTreeMap<Told<'_>, Vec<&str>> = BTreeMap::new();
    for compiled in &now.compiled {
        let found = reasons.of_package(&compiled.path);
        let key = (
            found.reasons.as_slice(),
            found.against.as_deref(),
            compiled.how(),
        );
        groups.entry(key).or_default().push(&compiled.path);
    }
    let built = groups
        .into_iter()
        .map(|((reasons, against, how), mut packages)| {
            packages.sort_unstable();
            packages.dedup();
            Built {
                reasons: reasons.to_vec(),
                against: against.map(str::to_owned),
                how,
                packages: packages.into_iter().map(str::to_owned).collect(),
            }
        });
    built.collect()
}

/// The first input of a package compiled in that way that differs between two invocations, by their settings alone.
pub fn differing_setting(before: &Invocation, after: &Invocation, how: &How) -> Option<Reason> {
    let mut all = compare::differences(&before.fingerprint, &after.fingerprint);
    all.retain(|one| compare::weight(one, how) != compare::Weight::None);
    all.sort_by_key(|one| compare::weight(one, how) != compare::Weight::Input);
    all.first().map(compare::Difference::reason)
}

/// Why `now` grew or compiled, given what was before; largest first, what was only dragged along last.
fn causes(now: &Finished, past: &Past, reasons: &Reasons<'_>) -> Vec<Cause> {
    let mut sums = Sums::default();
    let flapping = flapping::causes(now, past);
    let bytes = compiled_bytes(&now.packages);
    for compiled in &now.compiled {
        // All that differs is told, but bytes count once.
        let mut bytes = bytes.get(compiled.path.as_str()).copied().unwrap_or(0);
        let mut cpu_s = compiled.cpu_s;
        for reason in &reasons.of_package(&compiled.path).reasons {
            sums.add(reason, &compiled.path, bytes, cpu_s);
            (bytes, cpu_s) = (0, 0.0);
        }
    }
    for package in &now.packages {
        if let Some(kind) = beside(&package.class) {
            sums.add_kind(kind, &package.path, package.growth_bytes);
        }
    }
    let (bytes, classes) = unexplained(now);
    if bytes >= NEGLIGIBLE_BYTES {
        let what = format!("without a name: {}", classes.join(", "));
        sums.add(&Reason::new("unknown", &what), "", bytes, 0.0);
    }
    let causes = sums.causes(&now.record);
    flapping::merged(flapping, causes)
}

/// What was before tells something of it.
pub fn wants_past(one: &Finished) -> bool {
    !one.compiled.is_empty()
}

/// Growth that no package has a reason for, and what kind of thing it is.
fn unexplained(now: &Finished) -> (i64, Vec<&str>) {
    let has_reason = |path: &str| now.compiled.iter().any(|one| one.path == path);
    let rest = now.packages.iter().filter(|package| {
        let Package { class, path, .. } = package;
        let is_told = is_compiled(class) && has_reason(path);
        beside(class).is_none() && class != "module" && !is_told
    });
    let (sizes, mut classes): (Vec<i64>, Vec<&str>) = rest
        .map(|package| (package.growth_bytes, package.class.as_str()))
        .unzip();
    classes.sort_unstable();
    classes.dedup();
    (sizes.iter().sum(), classes)
}

/// What compilers and those before them made for a package.
fn is_compiled(class: &str) -> bool {
    matches!(class, "compile" | "cgo" | "cover" | "asm" | "link")
}

/// The kind of what is kept beside compiled packages.
fn beside(class: &str) -> Option<&'static str> {
    Some(match class {
        "executable" => "executable_kept",
        "vet" => "vet",
        "test" => "test_results",
        "fuzz" => "fuzz_corpus",
        "index" => "index",
        _ => return None,
    })
}

fn compiled_bytes(packages: &[Package]) -> BTreeMap<&str, i64> {
    let mut bytes = BTreeMap::new();
    for package in packages
        .iter()
        .filter(|package| is_compiled(&package.class))
    {
        *bytes.entry(package.path.as_str()).or_default() += package.growth_bytes;
    }
    bytes
}

/// A few names, and how many more.
fn named(paths: &[&str]) -> String {
    let some = paths
        .iter()
        .take(PACKAGES_NAMED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match paths.len().saturating_sub(PACKAGES_NAMED) {
        0 => some,
        rest => format!("{some} and {rest} more"),
    }
}

#[cfg(test)]
mod tests;
