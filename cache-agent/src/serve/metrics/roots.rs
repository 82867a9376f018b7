//! How large each root is, how it grows and what holds it.

use super::{
    families::{Families, figure},
    folded::Row,
    names::{Definition, names},
};

names! {
    SIZE = GAUGE "go_cache_size_bytes" "Apparent size of the regular files of the root, hard links counted once.";
    DISK = GAUGE "go_cache_disk_bytes" "Space allocated to the root when it was last walked.";
    FILES = GAUGE "go_cache_files" "Regular files of the root.";
    GROWTH = COUNTER "go_cache_growth_bytes_total" "Bytes that entered the root since the agent took it up.";
    FREED = COUNTER "go_cache_freed_bytes_total" "Bytes released in the root by unlink, truncation or replacement since the agent took it up.";
    CREATED = COUNTER "go_cache_files_created_total" "Files that appeared in the root since the agent took it up, those moved in included.";
    DELETED = COUNTER "go_cache_files_deleted_total" "Files that left the root since the agent took it up, those moved out included.";
    RENAMED = COUNTER "go_cache_files_renamed_total" "Files renamed inside any root.";
}

pub(super) fn per_root(
    families: &mut Families,
    name: &Definition,
    rows: &[Row],
    value: impl Fn(&Row) -> f64,
) {
    where_known(families, name, rows, |row| Some(value(row)));
}

/// A series for each root of which there is a figure.
pub(super) fn where_known(
    families: &mut Families,
    name: &Definition,
    rows: &[Row],
    value: impl Fn(&Row) -> Option<f64>,
) {
    let series = rows.iter().filter_map(|row| {
        let labels = [("root", row.name.as_str()), ("kind", row.kind.as_str())];
        Some((labels, value(row)?))
    });
    families.add(name, series);
}

pub(super) fn add(families: &mut Families, rows: &[Row]) {
    per_root(families, &SIZE, rows, |row| figure(row.size_bytes));
    per_root(families, &DISK, rows, |row| figure(row.disk_bytes));
    per_root(families, &FILES, rows, |row| figure(row.files));
    per_root(families, &GROWTH, rows, |row| {
        figure(row.changes.grown_bytes())
    });
    per_root(families, &FREED, rows, |row| {
        figure(row.changes.freed_bytes)
    });
    per_root(families, &CREATED, rows, |row| {
        figure(row.changes.files_created)
    });
    per_root(families, &DELETED, rows, |row| {
        figure(row.changes.files_deleted)
    });
    // A rename inside a root leaves the root as it was: not worth a series for each.
    families.add_single(
        &RENAMED,
        figure(rows.iter().map(|row| row.changes.files_renamed).sum()),
    );
}
