//! `invocations`: what the history remembers, newest first.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::{history::HistoryArgs, write};
use crate::{
    model::{format::signed, invocation::Invocation, printable::printable},
    store::{
        Store,
        query::{self, Filter},
    },
    sys::clock::{milliseconds, rfc3339_seconds},
};

/// `invocations`
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct InvocationsArgs {
    /// Only those that started within this time, such as 90min, 24h or 7d
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub since: Option<Duration>,
    /// Only those that changed this root, named as in the metrics or by its path
    #[arg(long, value_name = "NAME|DIR")]
    pub root: Option<String>,
    /// Only those of this module
    #[arg(long, value_name = "MODULE")]
    pub module: Option<String>,
    /// At most so many, the newest ones
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// As one JSON document instead of a table
    #[arg(long)]
    pub json: bool,
    /// Where it is.
    #[command(flatten)]
    pub history: HistoryArgs,
}

const HELP: &str = "\
Examples:
  cache-agent invocations
  cache-agent invocations --since 24h --root ci --limit 200
  cache-agent invocations --module example.com/shop --json

HITS is the share of look-ups in build caches that found an entry; - stands for none.
USER has in brackets who called sudo, as root's environment tells.
EXIT is - for what still runs, or whose end was not seen.
Needs no privilege but to read the history.

Exit status: 0 success, 1 when there is no history or it cannot be read, 2 on wrong usage.";

/// Characters shown of texts that others chose.
const USER_WIDTH: usize = 24;
const COMMAND_WIDTH: usize = 24;
const MODULE_WIDTH: usize = 56;
const CAUSE_WIDTH: usize = 80;

/// Columns of the table.
const TITLES: [&str; 8] = [
    "START", "USER", "GROWTH", "HITS", "EXIT", "COMMAND", "MODULE", "CAUSE",
];
/// Those with figures, which end at the same place.
const RIGHT: [bool; 8] = [false, false, true, true, true, false, false, false];

/// Reads the history and lists.
pub fn run(args: &InvocationsArgs, out: &mut impl Write) -> Result<()> {
    let store = args.history.open()?;
    let root = args
        .root
        .as_deref()
        .map(|root| root_path(&store, root))
        .transpose()?;
    let since_ms = args
        .since
        .map(|since| milliseconds(SystemTime::now().checked_sub(since).unwrap_or(UNIX_EPOCH)));
    let filter = Filter {
        since_ms,
        module: args.module.as_deref(),
        root: root.as_deref(),
        // One more tells whether there are more.
        limit: args.limit.saturating_add(1),
    };
    let mut found = query::invocations(&store, &filter)?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    if args.json {
        let document = json!({"version": 1, "invocations": found});
        return write(out, &format!("{document}\n"));
    }
    write(out, &table(&found, has_more))
}

/// A path is one; a name is that of a root which the history knows.
fn root_path(store: &Store, root: &str) -> Result<String> {
    if Path::new(root).is_absolute() {
        let path: PathBuf = Path::new(root).components().collect();
        return Ok(path.to_string_lossy().into_owned());
    }
    let paths = query::root_paths(store, root)?;
    let Some(path) = paths.into_iter().next() else {
        bail!(
            "the history knows no root named `{}`; its path would do too",
            printable(root.as_bytes())
        );
    };
    Ok(path)
}

fn table(invocations: &[Invocation], has_more: bool) -> String {
    if invocations.is_empty() {
        return "no invocation is remembered of what was asked for\n".to_owned();
    }
    let rows: Vec<[String; 8]> = std::iter::once(TITLES.map(str::to_owned))
        .chain(invocations.iter().map(row))
        .collect();
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for ((cell, width), right) in row.iter().zip(widths).zip(RIGHT) {
            let space = " ".repeat(width - cell.chars().count());
            let parts: [&str; 3] = if right {
                [&space, cell, "  "]
            } else {
                [cell, &space, "  "]
            };
            line.extend(parts);
        }
        text += line.trim_end();
        text.push('\n');
    }
    if has_more {
        text += "... and older ones: see --limit\n";
    }
    text
}

fn row(invocation: &Invocation) -> [String; 8] {
    let command = format!("{} {}", invocation.tool, invocation.verb);
    let causes: Vec<String> = invocation
        .cause
        .iter()
        .map(|cause| format!("{} {}", cause.kind, cause.detail).trim().to_owned())
        .collect();
    [
        rfc3339_seconds(invocation.start_ms),
        shown(&invocation.who(), USER_WIDTH),
        signed(invocation.growth_bytes),
        ratio(invocation.hits, invocation.lookups),
        invocation
            .exit_code
            .map_or_else(|| "-".to_owned(), |code| code.to_string()),
        shown(command.trim(), COMMAND_WIDTH),
        shown(&invocation.module, MODULE_WIDTH),
        shown(&causes.join("; "), CAUSE_WIDTH),
    ]
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share for people; 53 bits are plenty"
)]
fn ratio(hits: u64, lookups: u64) -> String {
    if lookups == 0 {
        return "-".to_owned();
    }
    format!("{:.1}%", hits as f64 / lookups as f64 * 100.0)
}

/// Printable, not empty, and no longer than that.
fn shown(text: &str, width: usize) -> String {
    let text = printable(text.as_bytes());
    match text.chars().count() {
        0 => "-".to_owned(),
        length if length > width => {
            let kept = text.chars().take(width.saturating_sub(3));
            kept.chain("...".chars()).collect()
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::invocation::Cause;

    fn invocation() -> Invocation {
        Invocation {
            tool: "go".to_owned(),
            verb: "test".to_owned(),
            module: "example.com/shop".to_owned(),
            uid: 1000,
            user: "alice".to_owned(),
            start_ms: 1_767_323_045_678,
            exit_code: Some(1),
            growth_bytes: 91 << 20,
            lookups: 8,
            hits: 7,
            cause: vec![Cause {
                kind: "GOFLAGS".to_owned(),
                detail: "\"\" -> \"-race\"".to_owned(),
                ..Cause::default()
            }],
            ..Invocation::default()
        }
    }

    #[test]
    fn a_line_for_each() {
        let running = Invocation {
            uid: 0,
            user: "root".to_owned(),
            sudo_user: "alice".to_owned(),
            verb: String::new(),
            tool: "gopls".to_owned(),
            module: String::new(),
            exit_code: None,
            growth_bytes: -7,
            lookups: 0,
            cause: Vec::new(),
            ..invocation()
        };
        let expected = "\
START                 USER             GROWTH   HITS  EXIT  COMMAND  MODULE            CAUSE
2026-01-02T03:04:05Z  alice         +91.0 MiB  87.5%     1  go test  example.com/shop  GOFLAGS \"\" -> \"-race\"
2026-01-02T03:04:05Z  root (alice)       -7 B      -     -  gopls    -                 -
... and older ones: see --limit
";
        assert_eq!(table(&[invocation(), running], true), expected);
    }

    #[test]
    fn hostile_texts_are_escaped_and_cut() {
        let hostile = Invocation {
            user: "a\x1b[31m\nb".to_owned(),
            module: "m".repeat(1000),
            start_ms: i64::MIN,
            ..invocation()
        };
        let text = table(&[hostile], false);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.contains("1970-01-01T00:00:00Z  a\\u{1b}[31m\\nb "),
            "{text}"
        );
        assert!(
            text.lines().all(|line| line.chars().count() < 250),
            "{text}"
        );
    }

    #[test]
    fn nothing_is_said_so() {
        assert!(table(&[], false).starts_with("no invocation"));
    }
}
