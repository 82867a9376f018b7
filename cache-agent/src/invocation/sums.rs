//! What one invocation changed, by root and by package.

use super::package::Packages;
use crate::model::{
    changes::Changes,
    invocation::{Class, Invocation, Package, RootShare},
};

/// Adds what happened in one root.
pub(super) fn count(record: &mut Invocation, path: String, changes: &Changes) {
    record.growth_bytes += changes.growth_bytes;
    record.freed_bytes += changes.freed_bytes;
    record.files_created += changes.files_created;
    record.files_deleted += changes.files_deleted;
    let share = RootShare {
        growth_bytes: changes.growth_bytes,
        freed_bytes: changes.freed_bytes,
    };
    if share != RootShare::default() {
        record.roots.insert(path, share);
    }
}

/// Packages with their bytes; what the account has beyond them is unmapped.
pub(super) fn packages(record: &Invocation, packages: &Packages) -> Vec<Package> {
    let row = |path: &str, class: Class, variant: &str, growth_bytes, files| Package {
        invocation: record.id.clone(),
        path: path.to_owned(),
        class: class.as_str().to_owned(),
        variant: variant.to_owned(),
        growth_bytes,
        files,
    };
    let mut rows: Vec<_> = packages
        .shares()
        .iter()
        .map(|(share, bytes, files)| row(&share.path, share.class, &share.variant, bytes, files))
        .collect();
    let grown = record
        .growth_bytes
        .saturating_add_unsigned(record.freed_bytes);
    let (mapped, _) = packages.shares().total();
    if grown > mapped {
        rows.push(row("", Class::Other, "", grown - mapped, 0));
    }
    rows.sort_by_key(|package| {
        (
            std::cmp::Reverse(package.growth_bytes),
            package.path.clone(),
        )
    });
    rows
}
