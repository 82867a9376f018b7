//! The reference pages in `docs/` against the code: parts of a page between `<!-- NAME:begin -->` and
//! `<!-- NAME:end -->` are made from it, the rest is prose.
//!
//! Unit tests, so that they see what the code keeps to itself and cost no build of their own: they compare,
//! or write when `cargo xtask docs` sets [`WRITE`].

mod configuration;
mod links;
mod metrics;
mod trace;

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use clap::CommandFactory as _;

use crate::cli::Cli;

/// Pages are written instead of compared when this variable is set.
const WRITE: &str = "CACHE_AGENT_WRITE_DOCS";

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// The page with its generated parts as the code says them.
#[track_caller]
fn check(page: &str, parts: &[(&str, String)]) -> String {
    let path = docs().join(page);
    let found = fs::read_to_string(&path).unwrap();
    let wanted = parts.iter().fold(found.clone(), |text, (name, part)| {
        replaced(&text, name, part).unwrap_or_else(|| panic!("{page} has no marks of `{name}`"))
    });
    if env::var_os(WRITE).is_some() {
        fs::write(&path, &wanted).unwrap();
    } else {
        assert!(
            found == wanted,
            "{page} is not what the code says: run `cargo xtask docs`"
        );
    }
    wanted
}

fn replaced(text: &str, name: &str, part: &str) -> Option<String> {
    let (begin, end) = (
        format!("<!-- {name}:begin -->"),
        format!("<!-- {name}:end -->"),
    );
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{part}{end}{after}"))
}

fn table<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rule = "|---".repeat(N);
    let rows = rows.into_iter().map(|row| line(&row));
    format!("{}{rule}|\n{}", line(&heads), rows.collect::<String>())
}

fn line<T: AsRef<str>>(cells: &[T]) -> String {
    let cells = cells.iter().map(|cell| cell.as_ref().replace('|', "\\|"));
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

fn code(text: impl std::fmt::Display) -> String {
    format!("`{text}`")
}

fn codes<T: std::fmt::Display>(texts: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<_> = texts.into_iter().map(code).collect();
    texts.join(", ")
}

/// The options of a verb, as its definition has them.
fn options(verb: &str) -> String {
    let mut cli = Cli::command();
    cli.build();
    let command = cli.find_subcommand(verb).unwrap();
    let options = command
        .get_arguments()
        .filter(|arg| !arg.is_positional() && arg.get_id() != "help");
    table(["Option", "Meaning"], options.map(option))
}

fn option(arg: &clap::Arg) -> [String; 2] {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    // A switch has the values true and false, which nobody writes.
    if !arg.get_action().takes_values() {
        return [code(arg), help];
    }
    let values = arg.get_possible_values();
    let names = values.iter().map(clap::builder::PossibleValue::get_name);
    let defaults = arg.get_default_values().iter();
    let defaults = defaults.map(|value| value.to_string_lossy());
    let (names, defaults) = (codes(names), codes(defaults));
    let mut meaning = vec![help];
    if !names.is_empty() {
        meaning.push(format!(": {names}"));
    }
    if !defaults.is_empty() {
        meaning.push(format!(" (default: {defaults})"));
    }
    [code(arg), meaning.concat()]
}

/// What stands between backticks.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn parts_go_between_their_marks() {
    let text = "a <!-- x:begin -->old<!-- x:end --> b";
    let new = "a <!-- x:begin -->\nnew\n<!-- x:end --> b";
    assert_eq!(replaced(text, "x", "new\n").as_deref(), Some(new));
    assert_eq!(replaced(text, "y", "new\n"), None);
}
