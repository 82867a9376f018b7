//! The README's table: on which kernels, by which operations, on which file systems the ledger is
//! the disk, to the byte.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, ensure};

use super::results::{self, Entry};
use crate::paths;

const BEGIN: &str = "<!-- conformance:begin -->";
const END: &str = "<!-- conformance:end -->";

/// A line of the table, and the tests' operations that it stands for.
const ROWS: [(&str, &[&str]); 13] = [
    (
        "`write`, `pwrite`, `writev`, append, `mmap`, holes",
        &[
            "write",
            "pwrite",
            "writev",
            "append",
            "mmap",
            "sparse",
            "open_only",
            "open_legacy_creat",
            "openat2",
            "via_symlink",
            "truncate_on_open",
            "truncate_on_open_to_nothing",
            "not_regular_files",
            "deep_directories",
        ],
    ),
    (
        "`sendfile`, `splice`, `copy_file_range`",
        &["sendfile", "splice", "copy_file_range"],
    ),
    ("reflink (`FICLONE`)", &["clone"]),
    (
        "`ftruncate`, `truncate`",
        &[
            "ftruncate_up",
            "ftruncate_down",
            "ftruncate_down_and_write",
            "truncate_by_path_while_open",
            "truncate_by_path_down",
            "truncate_by_path_up",
        ],
    ),
    (
        "`fallocate`: extend, keep size, collapse, insert, zero, punch",
        &[
            "fallocate",
            "fallocate_keep_size",
            "collapse_range",
            "insert_range",
            "zero_range",
            "punch_hole",
        ],
    ),
    (
        "`unlink`, also while open; `rm -r`",
        &[
            "unlink",
            "unlinkat_relative",
            "remove_tree",
            "unlink_while_open",
            "unlink_existing_while_open",
        ],
    ),
    (
        "`rename` inside, into, out, over, exchange; also while open",
        &[
            "rename_inside",
            "rename_into",
            "rename_out",
            "rename_over",
            "rename_into_over",
            "rename_out_over",
            "rename_onto_own_link",
            "exchange_inside",
            "exchange_across",
            "rename_inside_while_open",
            "rename_into_while_open",
            "rename_out_while_open",
            "rename_over_while_open",
        ],
    ),
    (
        "directories renamed inside, into, out, exchanged",
        &[
            "directory_into",
            "directory_into_then_write",
            "directory_into_then_unlink",
            "directory_out",
            "directory_out_then_write",
            "directory_out_and_in",
            "directory_inside_then_write",
            "exchange_file_and_directory",
        ],
    ),
    (
        "hard links, `O_TMPFILE`",
        &[
            "link_made",
            "link_removed",
            "all_links_removed",
            "links_of_own_file",
            "link_across_made",
            "link_across_removed",
            "rename_over_one_of_two_links",
            "tmpfile_linkat",
            "tmpfile_never_linked",
        ],
    ),
    (
        "bind mount, mount namespace, chroot",
        &["plain", "bind", "namespace", "chroot"],
    ),
    ("io_uring: open, write, close, rename, unlink", &["ring"]),
    ("copy-up from an overlay's lower directory", &["copy_up"]),
    (
        "failing calls: no space, quota, read-only, immutable, `RENAME_NOREPLACE`",
        &[
            "failing_calls",
            "full",
            "quota",
            "read_only",
            "unlink_immutable",
            "rename_noreplace",
        ],
    ),
];

/// Puts the table of the last runs into the README.
pub(super) fn insert() -> Result<()> {
    let readme = paths::root().join("README.md");
    let text =
        fs::read_to_string(&readme).with_context(|| format!("cannot read {}", readme.display()))?;
    let table = table(&results::read()?)?;
    let text = replaced(&text, &table)
        .with_context(|| format!("{} has no {BEGIN} before {END}", readme.display()))?;
    fs::write(&readme, text).with_context(|| format!("cannot write {}", readme.display()))
}

fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

fn table(entries: &[Entry]) -> Result<String> {
    let columns: BTreeSet<(&str, Vec<u32>, &str)> = entries
        .iter()
        .map(|entry| {
            let numbers = entry.kernel.split('.').filter_map(|part| part.parse().ok());
            (
                entry.backend.as_str(),
                numbers.collect(),
                entry.kernel.as_str(),
            )
        })
        .collect();
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let heads = columns
        .iter()
        .map(|(backend, _, kernel)| format!("{backend}, {kernel}"));
    let mut text = row([String::new()].into_iter().chain(heads).collect());
    text.push_str(&"|---".repeat(columns.len() + 1));
    text.push_str("|\n");
    for (label, operations) in ROWS {
        let cells = columns.iter().map(|(backend, _, kernel)| {
            let own = entries.iter().filter(|entry| {
                (entry.backend.as_str(), entry.kernel.as_str()) == (*backend, *kernel)
                    && operations.contains(&entry.operation.as_str())
            });
            cell(&own.collect::<Vec<_>>())
        });
        text.push_str(&row([label.to_owned()].into_iter().chain(cells).collect()));
    }
    let unlisted = entries.iter().find(|entry| {
        let listed =
            |(_, operations): &(&str, &[&str])| operations.contains(&entry.operation.as_str());
        !ROWS.iter().any(listed)
    });
    ensure!(
        unlisted.is_none(),
        "no row of the table stands for {unlisted:?}"
    );
    Ok(text)
}

/// File systems by the worst that was found on each.
fn cell(entries: &[&Entry]) -> String {
    let on = |verdict: &str| -> BTreeSet<&str> {
        let such = entries.iter().filter(|entry| entry.verdict == verdict);
        such.map(|entry| entry.file_system.as_str()).collect()
    };
    let (failed, unattributed, exact) = (on("failed"), on("unattributed"), on("exact"));
    let unattributed: Vec<&str> = unattributed.difference(&failed).copied().collect();
    let exact: Vec<&str> = exact
        .iter()
        .filter(|name| !failed.contains(*name) && !unattributed.contains(name))
        .copied()
        .collect();
    let failed: Vec<&str> = failed.into_iter().collect();
    let parts = [
        ("", exact),
        ("unattributed: ", unattributed),
        ("**wrong**: ", failed),
    ];
    let told = parts
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}{}", names.join(", ")));
    let told: Vec<String> = told.collect();
    if told.is_empty() {
        return "-".to_owned();
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(backend: &str, file_system: &str, operation: &str, verdict: &str) -> Entry {
        Entry {
            kernel: "6.12".to_owned(),
            backend: backend.to_owned(),
            file_system: file_system.to_owned(),
            operation: operation.to_owned(),
            verdict: verdict.to_owned(),
        }
    }

    #[test]
    fn a_cell_tells_the_worst_of_each_file_system() {
        let entries = [
            entry("fentry", "xfs", "write", "exact"),
            entry("fentry", "xfs", "append", "unattributed"),
            entry("fentry", "ext4", "write", "exact"),
            entry("fentry", "btrfs", "write", "exact"),
            entry("fentry", "btrfs", "mmap", "failed"),
            entry("tracepoint", "ext4", "unlink", "exact"),
        ];
        let text = table(&entries).expect("all are listed");
        assert!(text.starts_with("|  | fentry, 6.12 | tracepoint, 6.12 |\n|---|---|---|\n"));
        let row = |part: &str| {
            text.lines()
                .find(|line| line.contains(part))
                .unwrap_or_default()
        };
        assert!(
            row("`pwrite`").ends_with("| ext4; unattributed: xfs; **wrong**: btrfs | - |"),
            "{text}"
        );
        assert!(row("`rm -r`").ends_with("| - | ext4 |"), "{text}");
    }

    #[test]
    fn every_operation_has_a_row() {
        assert!(table(&[entry("fentry", "xfs", "teleport", "exact")]).is_err());
    }

    #[test]
    fn the_table_goes_between_its_marks() {
        let readme = format!("a\n{BEGIN}\nold\n{END}\nb");
        let expected = format!("a\n{BEGIN}\n| new |\n{END}\nb");
        assert_eq!(replaced(&readme, "| new |\n"), Some(expected));
        assert_eq!(replaced("no marks", ""), None);
    }
}
