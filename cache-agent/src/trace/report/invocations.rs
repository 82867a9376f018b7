//! Invocations and packages of a trace: for people, and as JSON.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
};

use serde::Serialize;
use serde_json::Value;

use crate::model::{
    format::{signed, size},
    invocation::{Finished, Invocation, Package},
    printable::printable,
};

/// Invocations listed before the rest is summed up.
const INVOCATIONS_SHOWN: usize = 20;
/// Packages listed likewise.
const PACKAGES_SHOWN: usize = 10;
/// Characters of a command line shown.
const COMMAND_WIDTH: usize = 80;
/// Indentations shown; deeper nesting is shown like this.
const DEPTH_SHOWN: usize = 8;

/// The documented form: each record without what is only for the store.
pub fn to_json(finished: &[Finished]) -> Value {
    let invocations = finished.iter().map(|finished| &finished.record);
    invocations.map(invocation).collect()
}

/// The packages of all invocations.
pub fn packages_to_json(finished: &[Finished]) -> Value {
    let packages = finished.iter().flat_map(|finished| &finished.packages);
    packages.map(package).collect()
}

/// Fields of an invocation that the document has; the others are for the history alone.
const INVOCATION: [&str; 30] = [
    "argv",
    "cause",
    "ci",
    "container",
    "cwd",
    "duration_s",
    "exit_code",
    "files_created",
    "files_deleted",
    "freed_bytes",
    "growth_bytes",
    "hits",
    "id",
    "index_lookups",
    "lookups",
    "misses",
    "module",
    "other_lookups",
    "parent",
    "pod",
    "processes",
    "start",
    "sudo_user",
    "test_lookups",
    "tool",
    "uid",
    "unit",
    "user",
    "verb",
    "version",
];
/// The same of a package.
const PACKAGE: [&str; 5] = ["class", "files", "growth_bytes", "invocation", "path"];

fn invocation(record: &Invocation) -> Value {
    only(&INVOCATION, record)
}

fn package(package: &Package) -> Value {
    only(&PACKAGE, package)
}

/// The one serialised form, reduced to these fields.
fn only(fields: &[&str], whole: &impl Serialize) -> Value {
    // Maps have texts for keys and numbers are finite: there is nothing that JSON could not say.
    let mut value = serde_json::to_value(whole).unwrap_or_default();
    if let Some(all) = value.as_object_mut() {
        all.retain(|name, _| fields.contains(&name.as_str()));
    }
    value
}

/// Growth with that of all nested invocations.
#[derive(Clone, Copy, Debug, Default)]
struct Rolled {
    growth_bytes: i64,
    depth: usize,
}

/// Rolls the growth of nested invocations up, each once, and says how deep each is nested.
fn roll_up(finished: &[Finished]) -> HashMap<&str, Rolled> {
    let parents: HashMap<&str, Option<&str>> = finished
        .iter()
        .map(|one| (one.record.id.as_str(), one.record.parent.as_deref()))
        .collect();
    let mut rolled: HashMap<&str, Rolled> = HashMap::new();
    for Finished { record, .. } in finished {
        let mut at = Some(record.id.as_str());
        let mut depth = 0;
        // No deeper than there are invocations: records of observed processes could claim a circle.
        for _ in 0..finished.len() {
            let Some(id) = at.filter(|id| parents.contains_key(id)) else {
                break;
            };
            rolled.entry(id).or_default().growth_bytes += record.growth_bytes;
            at = parents.get(id).copied().flatten();
            depth += usize::from(at.is_some_and(|id| parents.contains_key(id)));
        }
        rolled.entry(&record.id).or_default().depth = depth;
    }
    rolled
}

/// Invocations as a tree, each with its cause, then the largest packages.
pub fn print(finished: &[Finished], out: &mut impl Write) -> io::Result<()> {
    if finished.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\ninvocations:\n{:>13} {:>13} {:>6} {:>9} {:>6}  COMMAND",
        "GROWTH", "WITH NESTED", "HITS", "SECONDS", "EXIT"
    )?;
    let rolled = roll_up(finished);
    for Finished { record, .. } in finished.iter().take(INVOCATIONS_SHOWN) {
        let rolled = rolled.get(record.id.as_str()).copied().unwrap_or_default();
        print_one(record, rolled, out)?;
    }
    if finished.len() > INVOCATIONS_SHOWN {
        let rest = finished.iter().skip(INVOCATIONS_SHOWN);
        let growth = rest.map(|finished| finished.record.growth_bytes).sum();
        let count = finished.len() - INVOCATIONS_SHOWN;
        writeln!(out, "{:>13}  and {count} more", signed(growth))?;
    }
    print_packages(finished, out)
}

fn print_one(record: &Invocation, rolled: Rolled, out: &mut impl Write) -> io::Result<()> {
    let hits = (record.hits * 100)
        .checked_div(record.lookups)
        .map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"));
    let exit = record
        .exit_code
        .map_or_else(|| "-".to_owned(), |code| code.to_string());
    let indent = "  ".repeat(rolled.depth.min(DEPTH_SHOWN));
    let line: String = record.argv.join(" ").chars().take(COMMAND_WIDTH).collect();
    let module = if record.module.is_empty() {
        String::new()
    } else {
        format!(" (module {})", printable(record.module.as_bytes()))
    };
    writeln!(
        out,
        "{:>13} {:>13} {hits:>6} {:>9.1} {exit:>6}  {indent}{line}{module}",
        signed(record.growth_bytes),
        signed(rolled.growth_bytes),
        record.duration_s,
    )?;
    for cause in &record.cause {
        writeln!(
            out,
            "{:52}  {indent}cause: {} {}",
            "", cause.kind, cause.detail
        )?;
    }
    Ok(())
}

fn print_packages(finished: &[Finished], out: &mut impl Write) -> io::Result<()> {
    let mut sums: BTreeMap<(&str, &str), (i64, u64)> = BTreeMap::new();
    for package in finished.iter().flat_map(|finished| &finished.packages) {
        let sum = sums.entry((&package.path, &package.class)).or_default();
        sum.0 += package.growth_bytes;
        sum.1 += package.files;
    }
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by_key(|(name, (bytes, _))| (std::cmp::Reverse(*bytes), *name));
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\npackages:\n{:>13} {:>8}  {:<10}  PATH",
        "GROWTH", "FILES", "CLASS"
    )?;
    for ((path, class), (bytes, files)) in rows.iter().take(PACKAGES_SHOWN) {
        let path = if path.is_empty() { "(unmapped)" } else { path };
        writeln!(
            out,
            "{:>13} {files:>8}  {class:<10}  {path}",
            signed(*bytes)
        )?;
    }
    if rows.len() > PACKAGES_SHOWN {
        let rest = rows.iter().skip(PACKAGES_SHOWN);
        let growth = rest.map(|(_, (bytes, _))| *bytes).sum();
        let count = rows.len() - PACKAGES_SHOWN;
        writeln!(out, "{:>13}  and {count} more", signed(growth))?;
    }
    let unmapped: i64 = rows
        .iter()
        .filter(|((path, _), _)| path.is_empty())
        .map(|(_, (bytes, _))| *bytes)
        .sum();
    let unmapped = u64::try_from(unmapped).unwrap_or(0);
    writeln!(out, "unmapped: {}", size(unmapped))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(id: &str, parent: Option<&str>, growth_bytes: i64) -> Finished {
        Finished {
            record: Invocation {
                id: id.to_owned(),
                parent: parent.map(str::to_owned),
                growth_bytes,
                ..Invocation::default()
            },
            ..Finished::default()
        }
    }

    #[test]
    fn bytes_roll_up_once_and_circles_end() {
        let all = [
            finished("a", None, 1),
            finished("b", Some("a"), 10),
            finished("c", Some("b"), 100),
            finished("d", Some("gone"), 1000),
        ];
        let rolled = roll_up(&all);
        let of = |id: &str| (rolled[id].growth_bytes, rolled[id].depth);
        assert_eq!(of("a"), (111, 0));
        assert_eq!(of("b"), (110, 1));
        assert_eq!(of("c"), (100, 2));
        assert_eq!(of("d"), (1000, 0));
        roll_up(&[finished("x", Some("y"), 1), finished("y", Some("x"), 1)]);
    }
}
