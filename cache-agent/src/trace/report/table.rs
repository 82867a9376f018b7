//! The report for people.

use std::io::{self, Write};

use cache_ebpf::ProcessKey;

use super::{
    invocations,
    json::{Directory, Document, RootRow},
};
use crate::{
    kernel::counters::{FAULT_CAUSES, TRACE_FAULT_CAUSES, named},
    ledger::{accounts::Account, root::Ambiguous},
    model::{
        format::{signed, size},
        operation::Observation,
        printable::printable,
    },
};

/// Processes listed before the rest is summed up.
const PROCESSES_SHOWN: usize = 20;
/// Characters of a command line shown.
const COMMAND_WIDTH: usize = 80;

/// Writes roots, then processes of the command, then others.
pub fn print(document: &Document<'_>, out: &mut impl Write) -> io::Result<()> {
    print_roots(document.roots, out)?;
    for elsewhere in document.elsewhere {
        writeln!(out, "{}", elsewhere.sentence())?;
    }
    let processes = document.processes();
    let (own, others): (Vec<_>, Vec<_>) = processes
        .into_iter()
        .partition(|(_, account)| account.identity.in_command);
    print_processes(out, "processes of the command", &own)?;
    print_processes(out, "others", &others)?;
    invocations::print(document.finished, out)?;
    let unattributed: i64 = document
        .roots
        .iter()
        .map(|row| row.unattributed_bytes)
        .sum();
    if unattributed != 0 {
        writeln!(out, "unattributed: {}", signed(unattributed))?;
    }
    let moved = document.roots.iter().map(|row| row.ambiguous);
    for Ambiguous {
        growth_bytes,
        movers,
    } in moved.filter(|moved| moved.movers > 0)
    {
        let growth = signed(growth_bytes);
        writeln!(
            out,
            "{growth} of that came or went with directories that {movers} processes moved at the same time"
        )?;
    }
    print_honesty(document, out)
}

fn print_roots(roots: &[RootRow], out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "\n{:>12} {:>12} {:>13} {:>8} {:>8} {:>8} {:>6}  ROOT",
        "BEFORE", "AFTER", "GROWTH", "CREATED", "DELETED", "RENAMED", "DRIFT"
    )?;
    for row in roots {
        let (before, after, growth) = (
            size(row.before_bytes()),
            size(row.after_bytes),
            signed(row.growth_bytes()),
        );
        let ledger = &row.ledger;
        let (created, deleted, renamed) = (
            ledger.files_created,
            ledger.files_deleted,
            ledger.files_renamed,
        );
        let path = printable(row.path.as_os_str().as_encoded_bytes());
        writeln!(
            out,
            "{before:>12} {after:>12} {growth:>13} {created:>8} {deleted:>8} {renamed:>8} {:>4} B  {path}",
            row.drift_bytes
        )?;
    }
    roots.iter().try_for_each(|row| print_fate(row, out))
}

/// What became of a root's directory, if it is not simply there.
fn print_fate(row: &RootRow, out: &mut impl Write) -> io::Result<()> {
    let path = printable(row.path.as_os_str().as_encoded_bytes());
    let fate = match row.directory {
        Directory::Same => None,
        Directory::Replaced => Some("was replaced while the command ran"),
        Directory::Gone => Some("is gone: removed or moved away while the command ran"),
        Directory::Unwatched => Some("was not watched"),
    };
    let moved = row.moved_away_bytes;
    let moved = (moved > 0).then(|| format!("{} were moved away with it", size(moved)));
    let found = row.found_after.filter(|_| row.is_older).map(|after| {
        let seconds = after.as_secs_f64();
        format!("was found as the command used it, after {seconds:.3} s; what changed there before is not told")
    });
    let parts = [fate.map(str::to_owned), moved, found, row.trouble.clone()];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        return Ok(());
    }
    writeln!(out, "{path} {}", parts.join("; "))
}

fn print_processes(
    out: &mut impl Write,
    title: &str,
    processes: &[(ProcessKey, &Account)],
) -> io::Result<()> {
    if processes.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{title}:\n{:>13} {:>12} {:>8} {:>8} {:>9}  COMMAND",
        "GROWTH", "FREED", "CREATED", "DELETED", "PID"
    )?;
    for (key, account) in processes.iter().take(PROCESSES_SHOWN) {
        let total = account.total();
        let (growth, freed) = (signed(total.growth_bytes), size(total.freed_bytes));
        writeln!(
            out,
            "{growth:>13} {freed:>12} {:>8} {:>8} {:>9}  {}",
            total.files_created,
            total.files_deleted,
            key.tgid,
            command(account)
        )?;
    }
    let rest = processes.get(PROCESSES_SHOWN..).unwrap_or_default();
    if !rest.is_empty() {
        let growth: i64 = rest
            .iter()
            .map(|(_, account)| account.total().growth_bytes)
            .sum();
        writeln!(out, "{:>13}  and {} more", signed(growth), rest.len())?;
    }
    Ok(())
}

/// What was not seen, in so many words: silence means nothing was lost.
fn print_honesty(document: &Document<'_>, out: &mut impl Write) -> io::Result<()> {
    for (cause, count) in named(&FAULT_CAUSES, &document.counters)
        .into_iter()
        .chain(named(&TRACE_FAULT_CAUSES, &document.counters))
        .chain([("missed_run", document.missed_runs)])
        .filter(|(_, count)| *count > 0)
    {
        writeln!(out, "fault {cause}: {count}")?;
    }
    let lost = document.process_events_dropped;
    if lost > 0 {
        writeln!(
            out,
            "process events lost: {lost}; invocations and packages may be incomplete"
        )?;
    }
    let unseen: Vec<_> = document
        .coverage
        .iter()
        .filter(|(_, state)| *state != Observation::Observed)
        .map(|(name, _)| *name)
        .collect();
    writeln!(
        out,
        "\nbackend {}; not attributed, only measured: {}",
        document.backend,
        unseen.join(", ")
    )
}

fn command(account: &Account) -> String {
    let argv = account.identity.argv.masked();
    let line = if argv.is_empty() {
        format!("[{}]", account.identity.comm)
    } else {
        argv.join(" ")
    };
    let shown = printable(line.as_bytes());
    if shown.chars().count() > COMMAND_WIDTH {
        shown
            .chars()
            .take(COMMAND_WIDTH)
            .chain("...".chars())
            .collect()
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::Identity;

    #[test]
    fn a_command_is_shown_on_one_short_line() {
        let long = "x".repeat(COMMAND_WIDTH + 1);
        for (comm, argv, expected) in [
            (
                "go",
                vec!["go", "build", "./..."],
                "go build ./...".to_owned(),
            ),
            ("kworker", vec![], "[kworker]".to_owned()),
            ("e\x1bvil", vec![], "[e\\u{1b}vil]".to_owned()),
            (
                "x",
                vec![long.as_str()],
                format!("{}...", "x".repeat(COMMAND_WIDTH)),
            ),
        ] {
            let account = Account {
                identity: Identity {
                    comm: comm.to_owned(),
                    argv: argv
                        .into_iter()
                        .map(str::to_owned)
                        .collect::<Vec<_>>()
                        .into(),
                    ..Identity::default()
                },
                ..Account::default()
            };
            assert_eq!(command(&account), expected);
        }
    }

    #[test]
    fn processes_beyond_the_limit_are_summed_up() {
        let accounts: Vec<_> = (1..=22)
            .map(|pid| {
                let mut account = Account::default();
                account.roots.entry(0).or_default().growth_bytes = 10;
                let key = ProcessKey {
                    start_ns: 0,
                    tgid: pid,
                    pad: 0,
                };
                (key, account)
            })
            .collect();
        let rows: Vec<_> = accounts
            .iter()
            .map(|(key, account)| (*key, account))
            .collect();
        let mut out = Vec::new();
        print_processes(&mut out, "others", &rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 3 + PROCESSES_SHOWN + 1);
        assert_eq!(
            text.lines().last().map(str::trim),
            Some("+20 B  and 2 more")
        );
    }
}
