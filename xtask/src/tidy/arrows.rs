//! Which module of the user side may import from which: the table, and what breaks it.

use std::path::Path;

/// Where the modules are.
const SOURCES: &str = "cache-agent/src/";
/// From the ground up; each with those it may import from, all of them above it in this table.
const ALLOWED: [(&str, &[&str]); 17] = [
    ("model", &[]),
    ("sys", &["model"]),
    ("config", &["model", "sys"]),
    ("go", &["model", "sys"]),
    ("kernel", &["model", "sys", "config"]),
    ("ledger", &["model", "sys", "kernel"]),
    ("process", &["model", "sys", "go"]),
    (
        "invocation",
        &["model", "sys", "go", "kernel", "ledger", "process"],
    ),
    ("discover", &["model", "sys", "config", "go"]),
    ("store", &["model", "sys", "config"]),
    ("limits", &["model", "config"]),
    ("snapshot", &["model", "invocation", "store", "limits"]),
    (
        "serve",
        &[
            "model",
            "kernel",
            "invocation",
            "store",
            "limits",
            "snapshot",
        ],
    ),
    (
        "daemon",
        &[
            "model",
            "sys",
            "config",
            "go",
            "kernel",
            "ledger",
            "process",
            "invocation",
            "discover",
            "store",
            "limits",
            "snapshot",
            "serve",
        ],
    ),
    (
        "trace",
        &[
            "model",
            "sys",
            "config",
            "go",
            "kernel",
            "ledger",
            "process",
            "invocation",
            "store",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "sys",
            "config",
            "kernel",
            "ledger",
            "invocation",
            "store",
            "daemon",
            "trace",
        ],
    ),
    // Compiled for tests only: it writes down what all the others say.
    (
        "reference",
        &[
            "model",
            "sys",
            "config",
            "kernel",
            "ledger",
            "invocation",
            "limits",
            "snapshot",
            "serve",
            "trace",
            "cli",
        ],
    ),
];

/// Lines of a file that import from where its module may not, with what is wrong.
pub(super) fn broken(path: &str, text: &str) -> Vec<(usize, String)> {
    let Some(module) = module(path) else {
        return Vec::new();
    };
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == module) else {
        return vec![(
            0,
            format!("{module} is not in the table of allowed imports"),
        )];
    };
    let code = without_comments(text);
    let mut broken = Vec::new();
    for (line, target) in imports(&code) {
        let is_known = ALLOWED.iter().any(|(name, _)| *name == target);
        if is_known && target != module && !allowed.contains(&target) {
            broken.push((line, format!("{module} may not import from {target}")));
        }
    }
    broken
}

/// The top-level module that a file belongs to.
fn module(path: &str) -> Option<&str> {
    let inner = path.strip_prefix(SOURCES)?;
    let first = inner.split('/').next()?;
    let name = Path::new(first).file_stem()?.to_str()?;
    (!matches!(name, "lib" | "main")).then_some(name)
}

fn without_comments(text: &str) -> String {
    let lines = text.lines();
    lines
        .map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n")
        .collect()
}

/// First names after each `crate::`, those in braces included, with their line's number from 0.
fn imports(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let is_whole = !code[..at].ends_with(|last: char| last.is_alphanumeric() || last == '_');
        if !is_whole {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let line = code[..at].matches('\n').count();
        if !rest.starts_with('{') {
            found.push((line, name(rest)));
            continue;
        }
        let mut depth = 0;
        for (offset, character) in rest.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && matches!(character, '{' | ',') {
                let next = rest[offset + 1..].trim_start();
                let skipped = rest[offset + 1..].len() - next.len();
                let lines = rest[..=offset + skipped].matches('\n').count();
                found.push((line + lines, name(next)));
            }
        }
    }
    found
}

fn name(text: &str) -> &str {
    let end = text.find(|next: char| !next.is_alphanumeric() && next != '_');
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, text: &str, expected: &[(usize, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(line, what)| (*line, (*what).to_owned()))
            .collect();
        assert_eq!(broken(path, text), expected, "{path}: {text}");
    }

    #[test]
    fn every_arrow_goes_up_the_table() {
        for (at, (module, allowed)) in ALLOWED.iter().enumerate() {
            for target in *allowed {
                let place = ALLOWED.iter().position(|(name, _)| name == target);
                assert!(
                    place.is_some_and(|place| place < at),
                    "{module} -> {target}"
                );
            }
        }
    }

    #[test]
    fn an_import_against_the_order_is_found() {
        let upwards =
            "use crate::{\n    model::changes,\n    daemon::{\n        roots,\n    },\n};";
        check(
            "cache-agent/src/ledger/walk.rs",
            upwards,
            &[(2, "ledger may not import from daemon")],
        );
        check("cache-agent/src/daemon/wake.rs", upwards, &[]);
        check(
            "cache-agent/src/model/mask.rs",
            "fn f() {\n    crate::sys::clock();\n}",
            &[(1, "model may not import from sys")],
        );
        check(
            "cache-agent/src/snapshot.rs",
            "use crate::serve;",
            &[(0, "snapshot may not import from serve")],
        );
    }

    #[test]
    fn comments_and_others_are_left_alone() {
        check("cache-agent/src/model/mask.rs", "// crate::cli::run", &[]);
        check("cache-agent/src/lib.rs", "use crate::cli;", &[]);
        check("tests/src/agent.rs", "use crate::cli;", &[]);
        check(
            "cache-agent/src/model/mask.rs",
            "use crate::model::{printable};",
            &[],
        );
    }

    #[test]
    fn a_new_module_must_be_placed() {
        check(
            "cache-agent/src/misc/mod.rs",
            "",
            &[(0, "misc is not in the table of allowed imports")],
        );
    }
}
