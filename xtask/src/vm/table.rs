//! The table of `conformance.md`: on which kernels, by which operations, on which file systems the ledger
//! is the disk, to the byte. What is not named as an exception is exact.

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

/// Puts the table of the last runs into its page.
pub(super) fn insert() -> Result<()> {
    let page = paths::root().join("cache-agent/docs/conformance.md");
    let text =
        fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let table = table(&results::read()?)?;
    let text = replaced(&text, &table)
        .with_context(|| format!("{} has no {BEGIN} before {END}", page.display()))?;
    fs::write(&page, text).with_context(|| format!("cannot write {}", page.display()))
}

fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

/// Names of file systems, in their order.
type Names<'a> = BTreeSet<&'a str>;

/// A kernel and backend: what ran there.
struct Column<'a> {
    head: String,
    entries: Vec<&'a Entry>,
}

fn table(entries: &[Entry]) -> Result<String> {
    let unlisted = entries.iter().find(|entry| {
        let listed =
            |(_, operations): &(&str, &[&str])| operations.contains(&entry.operation.as_str());
        !ROWS.iter().any(listed)
    });
    ensure!(
        unlisted.is_none(),
        "no row of the table stands for {unlisted:?}"
    );
    let columns = columns(entries);
    let all = file_systems(entries);
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let heads = columns.iter().map(|column| column.head.clone());
    let mut text = format!("*All* file systems: {}.\n\n", listed(&all));
    text.push_str(&row([String::new()].into_iter().chain(heads).collect()));
    text.push_str(&"|---".repeat(columns.len() + 1));
    text.push_str("|\n");
    let reach = columns.iter().map(|column| {
        let own = file_systems(column.entries.iter().copied());
        if own == all {
            "all".to_owned()
        } else {
            listed(&own)
        }
    });
    text.push_str(&row(["file systems".to_owned()]
        .into_iter()
        .chain(reach)
        .collect()));
    for (label, operations) in ROWS {
        let of_row = |entry: &&Entry| operations.contains(&entry.operation.as_str());
        let on = file_systems(entries.iter().filter(of_row));
        let cells = columns.iter().map(|column| {
            let reach = file_systems(column.entries.iter().copied());
            let own = column.entries.iter().copied().filter(of_row);
            cell(
                &own.collect::<Vec<_>>(),
                &on.intersection(&reach).copied().collect(),
            )
        });
        let label = format!("{label}{}", restriction(&on, &all));
        text.push_str(&row([label].into_iter().chain(cells).collect()));
    }
    Ok(text)
}

fn columns(entries: &[Entry]) -> Vec<Column<'_>> {
    let keys: BTreeSet<(&str, Vec<u32>, &str)> = entries
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
    let column = |(backend, _, kernel): (&str, Vec<u32>, &str)| {
        let own = entries
            .iter()
            .filter(|entry| (entry.backend.as_str(), entry.kernel.as_str()) == (backend, kernel));
        Column {
            head: format!("{backend}, {kernel}"),
            entries: own.collect(),
        }
    };
    keys.into_iter().map(column).collect()
}

fn file_systems<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Names<'a> {
    let names = entries.into_iter().map(|entry| entry.file_system.as_str());
    names.collect()
}

fn listed(names: &Names<'_>) -> String {
    let names: Vec<&str> = names.iter().copied().collect();
    names.join(", ")
}

/// Where an operation is there at all, unless everywhere; the shorter list.
fn restriction(on: &Names<'_>, all: &Names<'_>) -> String {
    let without: Names<'_> = all.difference(on).copied().collect();
    match (on.len(), without.len()) {
        (0, _) | (_, 0) => String::new(),
        (on_count, off) if off < on_count => format!(" (not on {})", listed(&without)),
        _ => format!(" (on {})", listed(on)),
    }
}

/// The exceptions among `expected`, by the worst that was found on each file system.
fn cell(entries: &[&Entry], expected: &Names<'_>) -> String {
    let on =
        |verdict: &str| file_systems(entries.iter().copied().filter(|it| it.verdict == verdict));
    let run = file_systems(entries.iter().copied());
    if run.is_empty() {
        return "-".to_owned();
    }
    let failed = on("failed");
    let exceptions = [
        (
            "unattributed",
            on("unattributed").difference(&failed).copied().collect(),
        ),
        ("**wrong**", failed.clone()),
        ("not run", expected.difference(&run).copied().collect()),
    ];
    let told = exceptions
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names): &(&str, Names<'_>)| {
            if names == expected {
                (*what).to_owned()
            } else {
                format!("{what}: {}", listed(names))
            }
        });
    let told: Vec<String> = told.collect();
    if told.is_empty() {
        return "all".to_owned();
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
    fn a_cell_tells_the_exceptions_by_the_worst_of_each_file_system() {
        let entries = [
            entry("fentry", "xfs", "write", "exact"),
            entry("fentry", "xfs", "append", "unattributed"),
            entry("fentry", "ext4", "write", "exact"),
            entry("fentry", "btrfs", "write", "exact"),
            entry("fentry", "btrfs", "mmap", "failed"),
            entry("fentry", "xfs", "clone", "exact"),
            entry("fentry", "btrfs", "unlink", "exact"),
            entry("fentry", "xfs", "unlink", "exact"),
            entry("tracepoint", "ext4", "unlink", "exact"),
            entry("tracepoint", "ext4", "write", "unattributed"),
        ];
        let text = table(&entries).expect("all are listed");
        let head = "*All* file systems: btrfs, ext4, xfs.\n\n\
                    |  | fentry, 6.12 | tracepoint, 6.12 |\n|---|---|---|\n\
                    | file systems | all | ext4 |\n";
        assert!(text.starts_with(head), "{text}");
        for (part, expected) in [
            (
                "`pwrite`",
                " | unattributed: xfs; **wrong**: btrfs | unattributed |",
            ),
            ("`rm -r`", " | not run: ext4 | all |"),
            ("`FICLONE`", " (on xfs) | all | - |"),
            ("io_uring", " | - | - |"),
        ] {
            let row = text.lines().find(|line| line.contains(part));
            assert!(
                row.is_some_and(|row| row.ends_with(expected)),
                "{part}: {text}"
            );
        }
    }

    #[test]
    fn the_shorter_list_says_where_an_operation_is() {
        let all = BTreeSet::from(["a", "b", "c"]);
        for (on, expected) in [
            (vec![], ""),
            (vec!["a", "b", "c"], ""),
            (vec!["a", "b"], " (not on c)"),
            (vec!["b"], " (on b)"),
        ] {
            assert_eq!(restriction(&on.into_iter().collect(), &all), expected);
        }
    }

    #[test]
    fn every_operation_has_a_row() {
        assert!(table(&[entry("fentry", "xfs", "teleport", "exact")]).is_err());
    }

    #[test]
    fn the_table_goes_between_its_marks() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb");
        let expected = format!("a\n{BEGIN}\n| new |\n{END}\nb");
        assert_eq!(replaced(&page, "| new |\n"), Some(expected));
        assert_eq!(replaced("no marks", ""), None);
    }
}
