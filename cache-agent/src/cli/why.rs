//! `why`: package by package, why an invocation compiled what it compiled.

use std::{collections::HashMap, io::Write};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::{history::HistoryArgs, write};
use crate::{
    invocation::cause,
    model::{
        built::{Built, Reason},
        invocation::Invocation,
        printable::printable,
    },
    store::{Store, query, why},
    sys::clock::rfc3339_seconds,
};

/// `why`
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct WhyArgs {
    /// Id of an invocation, as `invocations --json` has it, or `last` for the last one that compiled anything
    #[arg(value_name = "ID|last")]
    pub id: String,
    /// Compare its settings with those of this invocation instead of those of each package's previous build
    #[arg(long, value_name = "ID")]
    pub against: Option<String>,
    /// Only this package and its test variants
    #[arg(long, value_name = "PACKAGE")]
    pub package: Option<String>,
    /// As one JSON document instead of a table
    #[arg(long)]
    pub json: bool,
    /// Where it is.
    #[command(flatten)]
    pub history: HistoryArgs,
}

const HELP: &str = "\
Examples:
  cache-agent why last
  cache-agent why last --package example.com/shop/cart
  cache-agent why ID --against ID2 --json

For each package that was compiled: the first input that differs from its previous build, with both values,
and when that build began. `-` in the last column: no earlier build is known.
What was found in the cache is not listed. Secrets are masked. Needs no privilege but to read the history.

Exit status: 0 success, 1 when there is no such invocation or no history, 2 on wrong usage.";

/// One package.
#[derive(Debug)]
struct Line<'a> {
    path: &'a str,
    reasons: Vec<Reason>,
    against: Option<&'a str>,
}

/// Reads the history and tells.
pub fn run(args: &WhyArgs, out: &mut impl Write) -> Result<()> {
    let store = args.history.open()?;
    let now = if args.id == "last" {
        query::last_that_compiled(&store)?
            .context("no invocation that compiled anything is remembered")?
    } else {
        by_id(&store, &args.id)?
    };
    let before = args
        .against
        .as_deref()
        .map(|id| by_id(&store, id))
        .transpose()?;
    let built = why::built(&store, &now.id)?;
    let lines = lines(args, &now, before.as_ref(), &built)?;
    let known = compared(&store, &lines)?;
    let doubts = doubts(&now, &lines, &known);
    if args.json {
        let document = json!({
            "version": 1, "invocation": now, "packages": packages(&lines), "unknown": doubts,
        });
        return write(out, &format!("{document}\n"));
    }
    write(out, &text(&now, &lines, &known, &doubts))
}

fn by_id(store: &Store, id: &str) -> Result<Invocation> {
    query::by_id(store, id)?.with_context(|| {
        format!(
            "the history has no invocation `{}`; `cache-agent invocations --json` lists those it has",
            printable(id.as_bytes())
        )
    })
}

fn lines<'a>(
    args: &WhyArgs,
    now: &Invocation,
    before: Option<&'a Invocation>,
    built: &'a [Built],
) -> Result<Vec<Line<'a>>> {
    let is_wanted = |path: &str| {
        let wanted = args.package.as_deref();
        wanted.is_none_or(|wanted| path.split(' ').next() == Some(wanted))
    };
    let mut lines = Vec::new();
    for group in built {
        let (reasons, against) = match before {
            Some(before) => (vec![against(before, now, group)], Some(before.id.as_str())),
            None => (group.reasons.clone(), group.against.as_deref()),
        };
        for path in group.packages.iter().filter(|path| is_wanted(path)) {
            lines.push(Line {
                path,
                reasons: reasons.clone(),
                against,
            });
        }
    }
    if let Some(package) = args.package.as_deref().filter(|_| lines.is_empty()) {
        bail!(
            "that invocation did not compile `{}`: it was in the cache, or was not asked for",
            printable(package.as_bytes())
        );
    }
    lines.sort_by_key(|line| line.path);
    Ok(lines)
}

/// By settings alone: the history does not keep what each package imported.
fn against(before: &Invocation, now: &Invocation, group: &Built) -> Reason {
    cause::differing_setting(before, now, &group.how).unwrap_or_else(|| {
        let detail = "no setting differs from that invocation: sources and dependencies are compared with the \
                      previous build only";
        Reason::new("unknown", detail)
    })
}

/// When those began that are compared with; what is forgotten by now is left out.
fn compared<'a>(store: &Store, lines: &[Line<'a>]) -> Result<HashMap<&'a str, Invocation>> {
    let mut known = HashMap::new();
    for id in lines.iter().filter_map(|line| line.against) {
        if !known.contains_key(id)
            && let Some(invocation) = query::by_id(store, id)?
        {
            known.insert(id, invocation);
        }
    }
    Ok(known)
}

/// What could not be known, and why.
fn doubts(now: &Invocation, lines: &[Line<'_>], known: &HashMap<&str, Invocation>) -> Vec<String> {
    let mut doubts = Vec::new();
    let mut all: Vec<(&str, &Invocation)> = known
        .values()
        .map(|one| ("the earlier build's", one))
        .chain([("this invocation's", now)])
        .collect();
    all.sort_by_key(|(_, one)| one.start_ms);
    for (whose, one) in all {
        if !one.fingerprint.contains_key("GOOS") {
            doubts.push(format!(
                "{whose} variables (GOAMD64, CGO_CFLAGS and others): none of go's tools told them ({})",
                one.id
            ));
        }
        if one.fingerprint.contains_key("argv") {
            doubts.push(format!(
                "{whose} command line beyond what is kept: only a hash of it is ({})",
                one.id
            ));
        }
    }
    let forgotten = |line: &&Line<'_>| line.against.is_some_and(|id| !known.contains_key(id));
    let forgotten = lines.iter().filter(forgotten).count();
    if forgotten > 0 {
        doubts.push(format!(
            "the earlier build of {forgotten} packages: the history has forgotten it since"
        ));
    }
    doubts
}

fn packages(lines: &[Line<'_>]) -> Vec<Value> {
    let packages = lines
        .iter()
        .map(|line| json!({"path": line.path, "reasons": line.reasons, "against": line.against}));
    packages.collect()
}

fn text(
    now: &Invocation,
    lines: &[Line<'_>],
    known: &HashMap<&str, Invocation>,
    doubts: &[String],
) -> String {
    let shown = |text: &str| printable(text.as_bytes());
    let mut text = format!(
        "{} in {} at {} ({})\n",
        shown(&now.argv.join(" ")),
        shown(&now.cwd),
        rfc3339_seconds(now.start_ms),
        shown(&now.id)
    );
    if lines.is_empty() {
        text += "it compiled nothing\n";
    }
    let rows: Vec<[String; 3]> = lines
        .iter()
        .map(|line| {
            let reasons = line.reasons.iter();
            let reasons =
                reasons.map(|one| format!("{} {}", one.kind, one.detail).trim().to_owned());
            let against = line.against.map_or_else(
                || "-".to_owned(),
                |id| {
                    let known = known.get(id);
                    known.map_or_else(|| shown(id), |one| rfc3339_seconds(one.start_ms))
                },
            );
            let reasons: Vec<String> = reasons.collect();
            [shown(line.path), shown(&reasons.join("; ")), against]
        })
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (paths, reasons) = (width(0), width(1));
    let line = |[path, reason, against]: &[String; 3]| {
        format!("  {path:<paths$}  {reason:<reasons$}  {against}\n")
    };
    text.extend(rows.iter().map(line));
    if !doubts.is_empty() {
        text += "could not be known:\n";
    }
    text.extend(doubts.iter().map(|doubt| format!("  {}\n", shown(doubt))));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str) -> Line<'_> {
        Line {
            path,
            reasons: vec![Reason::new("settings:race", "\"\" -> \"true\"")],
            against: Some("b-1"),
        }
    }

    #[test]
    fn a_line_for_each_and_what_is_not_known() {
        let earlier = Invocation {
            id: "b-1".to_owned(),
            start_ms: 1_767_323_045_678,
            fingerprint: [("GOOS".to_owned(), "linux".to_owned())].into(),
            ..Invocation::default()
        };
        let now = Invocation {
            id: "b-2".to_owned(),
            argv: ["go", "build", "-race\x1b"].map(str::to_owned).to_vec(),
            cwd: "/src".to_owned(),
            start_ms: 1_767_323_046_000,
            ..Invocation::default()
        };
        let known = HashMap::from([("b-1", earlier)]);
        let lines = [line("example.com/a"), line("example.com/shop")];
        let doubts = doubts(&now, &lines, &known);
        let expected = "\
go build -race\\u{1b} in /src at 2026-01-02T03:04:06Z (b-2)
  example.com/a     settings:race \"\" -> \"true\"  2026-01-02T03:04:05Z
  example.com/shop  settings:race \"\" -> \"true\"  2026-01-02T03:04:05Z
could not be known:
  this invocation's variables (GOAMD64, CGO_CFLAGS and others): none of go's tools told them (b-2)
";
        assert_eq!(text(&now, &lines, &known, &doubts), expected);
        let forgotten = super::doubts(&now, &lines, &HashMap::new());
        assert!(
            forgotten.iter().any(|one| one.contains("forgotten")),
            "{forgotten:?}"
        );
    }
}
