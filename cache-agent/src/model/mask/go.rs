//! The go command and its tools: flags whose values may be shown, and what their other arguments are.

use std::path::Path;

use super::{MASK, NAME_BYTES, assigned, is_verb, kept, lists};

/// Switches of the go command and of test binaries: no value follows, and one behind `=` is `true` or `false`.
const SWITCHES: [&str; 37] = [
    "a",
    "asan",
    "benchmem",
    "buildvcs",
    "c",
    "cache",
    "changed",
    "compiled",
    "cover",
    "deps",
    "e",
    "export",
    "failfast",
    "find",
    "fullpath",
    "fuzzcache",
    "h",
    "i",
    "insecure",
    "json",
    "linkshared",
    "m",
    "modcache",
    "modcacherw",
    "msan",
    "n",
    "race",
    "short",
    "test",
    "testcache",
    "trimpath",
    "u",
    "v",
    "w",
    "work",
    "x",
    "s",
];
/// Flags whose values are names, numbers, paths, or patterns of such.
const PLAIN: [&str; 51] = [
    "C",
    "bench",
    "benchtime",
    "blockprofile",
    "blockprofilerate",
    "buildmode",
    "compat",
    "compiler",
    "count",
    "coverage",
    "covermode",
    "coverpkg",
    "coverprofile",
    "cpu",
    "cpuprofile",
    "debug-trace",
    "dropreplace",
    "droprequire",
    "fuzz",
    "fuzzminimizetime",
    "fuzztime",
    "go",
    "installsuffix",
    "list",
    "memprofile",
    "memprofilerate",
    "mod",
    "modfile",
    "mutexprofile",
    "mutexprofilefraction",
    "o",
    "outputdir",
    "overlay",
    "p",
    "parallel",
    "pgo",
    "pkgdir",
    "require",
    "reuse",
    "run",
    "shuffle",
    "skip",
    "tags",
    "test.bench",
    "test.run",
    "test.timeout",
    "timeout",
    "trace",
    "vet",
    "vettool",
    "toolchain",
];
/// Flags whose values are lists of a tool's flags.
const LISTS: [&str; 3] = ["ldflags", "gcflags", "asmflags"];
/// Switches of the compiler and its fellows; other flags of theirs have a value.
const TOOL_SWITCHES: [&str; 32] = [
    "+",
    "B",
    "C",
    "D",
    "E",
    "K",
    "N",
    "S",
    "W",
    "complete",
    "dwarf",
    "dynlink",
    "e",
    "h",
    "j",
    "l",
    "live",
    "m",
    "msan",
    "nolocalimports",
    "pack",
    "r",
    "race",
    "s",
    "shared",
    "std",
    "t",
    "v",
    "w",
    "wb",
    "linkshared",
    "asan",
];
/// Flags of theirs whose values are paths, names and numbers.
const TOOL_PLAIN: [&str; 20] = [
    "I",
    "asmhdr",
    "c",
    "compilecfg",
    "coveragecfg",
    "embedcfg",
    "goversion",
    "importcfg",
    "importpath",
    "installsuffix",
    "lang",
    "mode",
    "o",
    "objdir",
    "outfilelist",
    "p",
    "pkgcfg",
    "spectre",
    "symabis",
    "trimpath",
];

/// A program whose flags are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tool {
    /// `go`, `go1.24.11`.
    Go,
    /// `compile` and its fellows.
    Child,
}

impl Tool {
    pub(super) fn named(program: &str) -> Option<Self> {
        let name = program.rsplit('/').next().unwrap_or_default();
        let is_version = |rest: &str| {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.';
            rest.starts_with(|first: char| first.is_ascii_digit()) && rest.bytes().all(is_part)
        };
        match name {
            "go" => Some(Self::Go),
            "compile" | "link" | "asm" | "cgo" | "cover" | "vet" | "pack" | "buildid" => {
                Some(Self::Child)
            }
            _ => name
                .strip_prefix("go")
                .is_some_and(is_version)
                .then_some(Self::Go),
        }
    }

    pub(super) fn masked(self, words: &[&str]) -> Vec<String> {
        match self {
            Self::Go => of_go(words),
            Self::Child => of_child(words),
        }
    }
}

/// Arguments of the go command.
fn of_go(words: &[&str]) -> Vec<String> {
    let mut out = Vec::with_capacity(words.len());
    let mut verb = None;
    let mut others = 0;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if verb.is_some_and(|verb| is_for_what_runs(verb, word, others)) {
            out.push(MASK.to_owned());
            break;
        }
        if let Some((dashes, name, value)) = parts(word) {
            out.push(flag(dashes, name, value));
            if name == "args" {
                break;
            }
            if value.is_none() && !is_switch(name) {
                out.extend(rest.next().map(|next| self::value(name, next)));
            }
            continue;
        }
        let Some(verb) = verb else {
            verb = Some(*word);
            let shown = Some(*word).filter(|word| is_verb(word));
            out.push(shown.unwrap_or(MASK).to_owned());
            continue;
        };
        out.push(argument(verb, word));
        others += 1;
    }
    out.extend(rest.map(|_| MASK.to_owned()));
    out
}

/// Whether a word, with so many that are no flags before it, is none of go's own: `go run` starts one package, or
/// files, and `go tool` one tool.
fn is_for_what_runs(verb: &str, word: &str, others: usize) -> bool {
    let is_file = Path::new(word).extension().is_some_and(|end| end == "go");
    match verb {
        "run" => others > 0 && !is_file,
        "tool" => others > 0,
        _ => false,
    }
}

/// What is no flag: a package, a file, a module with its version, a variable.
fn argument(verb: &str, word: &str) -> String {
    let found = match verb {
        "env" => assigned(word).or_else(|| kept(word)),
        _ => kept(word),
    };
    found.unwrap_or_else(|| MASK.to_owned())
}

pub(super) fn is_switch(name: &str) -> bool {
    SWITCHES.contains(&name)
}

/// `-name`, `--name=value`; nothing else begins with a dash.
fn parts(word: &str) -> Option<(&str, &str, Option<&str>)> {
    let name = word.strip_prefix('-')?;
    let (dashes, name) = match name.strip_prefix('-') {
        Some(name) => ("--", name),
        None => ("-", name),
    };
    match name.split_once('=') {
        Some((name, value)) => Some((dashes, name, Some(value))),
        None => Some((dashes, name, None)),
    }
}

/// A flag of the go command, with its value if it has one behind `=`.
pub(super) fn flag(dashes: &str, name: &str, value: Option<&str>) -> String {
    let is_known = is_switch(name)
        || PLAIN.contains(&name)
        || LISTS.contains(&name)
        || matches!(name, "args" | "exec" | "toolexec" | "f" | "replace");
    let name = if is_known {
        name.to_owned()
    } else {
        shown_name(name)
    };
    match value {
        Some(value) => format!("{dashes}{name}={}", self::value(&name, value)),
        None => format!("{dashes}{name}"),
    }
}

/// Of a flag that is in no table, if it reads like one.
fn shown_name(name: &str) -> String {
    let is_name = (1..=NAME_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || b".-".contains(&byte));
    if is_name {
        name.to_owned()
    } else {
        MASK.to_owned()
    }
}

/// The value of a flag, as far as it may be shown.
pub(super) fn value(name: &str, value: &str) -> String {
    let is_switched = matches!(value, "true" | "false" | "1" | "0" | "t" | "f" | "auto");
    let found = match name {
        "ldflags" => Some(lists::linker_flags(value)),
        "gcflags" | "asmflags" => Some(lists::compiler_flags(value)),
        _ if PLAIN.contains(&name) || TOOL_PLAIN.contains(&name) => kept(value),
        _ if is_switched => Some(value.to_owned()),
        _ => None,
    };
    found.unwrap_or_else(|| MASK.to_owned())
}

/// Arguments of the compiler and its fellows.
fn of_child(words: &[&str]) -> Vec<String> {
    let mut out = Vec::with_capacity(words.len());
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let Some((dashes, name, value)) = parts(word) else {
            out.push(kept(word).unwrap_or_else(|| MASK.to_owned()));
            continue;
        };
        if name.is_empty() && value.is_none() {
            out.push(dashes.to_owned());
            continue;
        }
        let is_known = TOOL_SWITCHES.contains(&name) || TOOL_PLAIN.contains(&name);
        let shown = if is_known {
            name.to_owned()
        } else {
            shown_name(name)
        };
        if let Some(value) = value {
            out.push(format!("{dashes}{shown}={}", self::value(name, value)));
            continue;
        }
        out.push(format!("{dashes}{shown}"));
        if !TOOL_SWITCHES.contains(&name) {
            out.extend(rest.next().map(|next| self::value(name, next)));
        }
    }
    out
}
