//! The rules, as functions from text to violations.

use std::path::Path;

/// Longer ones hold more than one story. The style asks for 400; the rest is for the story's end.
const MAX_LINES: usize = 450;
/// How far above an `unsafe` its reason may start.
const REASON_DISTANCE: usize = 4;
/// What the top level holds beside dotfiles and licences: a reader sees the parts at a glance.
const TOP_LEVEL: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "cache-ebpf",
    "cache-agent",
    "xtask",
    "tests",
    "README.md",
    "rustfmt.toml",
    "clippy.toml",
    "deny.toml",
];

// The searched-for words are spelled in two parts: this file keeps the rules too.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[ig", "nore"),
];
const ABSOLUTE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
const AYA: &str = concat!("ay", "a::");
const DISPLAYED: &str = concat!(".disp", "lay()");
const METRIC_PREFIX: &str = concat!("\"go", "_cache_");

/// The one place that talks to the kernel, the kernel side's view of the shared types, and the benchmark
/// that loads an empty program.
const AYA_USERS: [&str; 3] = [
    "cache-agent/src/kernel",
    "cache-ebpf/",
    "tests/src/bin/hooks/",
];
/// Where paths are others' choice: what they hold is shown through `Shown`, which escapes it.
const OUTSIDE_PATHS: [&str; 6] = [
    "cache-agent/src/daemon/",
    "cache-agent/src/discover/",
    "cache-agent/src/invocation/",
    "cache-agent/src/ledger/",
    "cache-agent/src/process/",
    "cache-agent/src/trace/",
];
/// The one place that makes metric names; tests and benchmarks read them.
const METRIC_NAMERS: [&str; 3] = ["cache-agent/src/serve/metrics/", "tests/", "xtask/"];

pub(super) fn top_level(names: &[String]) -> Vec<String> {
    names
        .iter()
        .filter(|name| {
            !TOP_LEVEL.contains(&name.as_str())
                && !name.starts_with('.')
                && !name.starts_with("LICENSE")
        })
        .map(|name| format!("{name}:1: does not belong at the top level"))
        .collect()
}

pub(super) fn file(path: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut violations = Vec::new();
    let mut complain = |number: usize, rule: &str| {
        violations.push(format!("{path}:{}: {rule}", number + 1));
    };
    let is_rust = Path::new(path).extension().is_some_and(|it| it == "rs");
    for (number, line) in lines.iter().enumerate() {
        if !path.starts_with("LICENSE") && ABSOLUTE_PATHS.iter().any(|part| line.contains(part)) {
            complain(number, "absolute path of somebody's machine");
        }
        if is_rust {
            for rule in rust_line(path, &lines, number) {
                complain(number, rule);
            }
        }
    }
    if is_rust {
        for (number, rule) in super::arrows::broken(path, text) {
            complain(number, &rule);
        }
    }
    if is_rust && lines.len() > MAX_LINES {
        complain(MAX_LINES, "file is over 450 lines: split it by story");
    }
    violations
}

fn rust_line(path: &str, lines: &[&str], number: usize) -> Vec<&'static str> {
    let line = lines.get(number).copied().unwrap_or_default();
    let mut rules = Vec::new();
    if UNFINISHED.iter().any(|word| line.contains(word)) {
        rules.push("unfinished work or an ignored test");
    }
    let code = line.split("//").next().unwrap_or_default();
    if code.contains(AYA) && !allowed(path, &AYA_USERS) {
        rules.push("only cache-agent/src/kernel names aya");
    }
    if code.contains(METRIC_PREFIX)
        && !allowed(path, &METRIC_NAMERS)
        && !is_test(path, lines, number)
    {
        rules.push("metric names are made in cache-agent/src/serve/metrics only");
    }
    if code.contains(DISPLAYED) && allowed(path, &OUTSIDE_PATHS) && !is_test(path, lines, number) {
        rules.push("a path of somebody else's choice is shown through `Shown`");
    }
    if is_unsafe(code) && !has_reason(lines, number) {
        rules.push("unsafe without `SAFETY:` or `# Safety` right above");
    }
    rules
}

fn allowed(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}

/// A test states the names that users see, rather than taking them from the code.
fn is_test(path: &str, lines: &[&str], number: usize) -> bool {
    let in_test_module = || {
        lines
            .iter()
            .take(number)
            .zip(lines.iter().skip(1))
            .any(|(attribute, module)| attribute.trim() == "#[cfg(test)]" && module.ends_with('{'))
    };
    path.ends_with("tests.rs") || in_test_module()
}

fn is_unsafe(code: &str) -> bool {
    // In a string it is neither code nor a rule of this file.
    let code = code.split('"').next().unwrap_or_default();
    [" {", " impl", " fn", " extern"]
        .iter()
        .any(|what| code.contains(&format!("unsafe{what}")))
}

fn has_reason(lines: &[&str], number: usize) -> bool {
    let first = number.saturating_sub(REASON_DISTANCE);
    lines
        .iter()
        .take(number + 1)
        .skip(first)
        .any(|line| line.contains("SAFETY") || line.contains("# Safety"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        assert_eq!(file(path, text), expected, "{path}: {text}");
    }

    #[test]
    fn unsafe_needs_a_reason() {
        let rule = "a.rs:2: unsafe without `SAFETY:` or `# Safety` right above";
        check("a.rs", "\nlet x = unsafe { f() };", &[rule]);
        check("a.rs", "\nunsafe impl Pod for T {}", &[rule]);
        check("a.rs", "// SAFETY: f has no rules.\nunsafe { f() };", &[]);
        check("a.rs", "/// # Safety\n/// None.\npub unsafe fn f() {}", &[]);
        check(
            "a.rs",
            "// SAFETY: far away.\n\n\n\n\nunsafe { f() }",
            &["a.rs:6: unsafe without `SAFETY:` or `# Safety` right above"],
        );
        check("a.rs", "// why unsafe { } is needed", &[]);
    }

    #[test]
    fn unfinished_work_is_found() {
        let rule = "a.rs:1: unfinished work or an ignored test";
        for text in UNFINISHED {
            check("a.rs", text, &[rule]);
        }
    }

    #[test]
    fn layers_keep_their_names() {
        let aya = format!("use {AYA}Ebpf;");
        check("cache-agent/src/kernel/load.rs", &aya, &[]);
        check(
            "cache-agent/src/daemon/mod.rs",
            &aya,
            &["cache-agent/src/daemon/mod.rs:1: only cache-agent/src/kernel names aya"],
        );
        let metric = format!("let name = {METRIC_PREFIX}size_bytes\";");
        check("cache-agent/src/serve/metrics/roots.rs", &metric, &[]);
        check(
            "cache-agent/src/cli.rs",
            &metric,
            &[
                "cache-agent/src/cli.rs:1: metric names are made in cache-agent/src/serve/metrics only",
            ],
        );
    }

    #[test]
    fn paths_of_others_are_shown_escaped() {
        let line = format!("let text = path{DISPLAYED};");
        let rule = "cache-agent/src/daemon/a.rs:1: a path of somebody else's choice is shown through `Shown`";
        check("cache-agent/src/daemon/a.rs", &line, &[rule]);
        check("cache-agent/src/config/a.rs", &line, &[]);
        let module = format!("#[cfg(test)]\nmod tests {{\n{line}\n}}");
        check("cache-agent/src/daemon/a.rs", &module, &[]);
    }

    #[test]
    fn tests_state_metric_names() {
        let metric = format!("let name = {METRIC_PREFIX}size_bytes\";");
        check("cache-agent/src/serve/metrics/tests.rs", &metric, &[]);
        let module = format!("#[cfg(test)]\nmod tests {{\n{metric}\n}}");
        check("cache-agent/src/serve/http.rs", &module, &[]);
        let declaration = format!("#[cfg(test)]\nmod tests;\n{metric}\n");
        assert_eq!(file("cache-agent/src/serve/http.rs", &declaration).len(), 1);
    }

    #[test]
    fn files_and_top_level_stay_small() {
        check("a.rs", &"\n".repeat(450), &[]);
        check(
            "a.rs",
            &"\n".repeat(451),
            &["a.rs:451: file is over 450 lines: split it by story"],
        );
        let names = ["Cargo.toml", ".ci", "LICENSE-MIT", "notes.txt"].map(str::to_owned);
        assert_eq!(
            top_level(&names),
            ["notes.txt:1: does not belong at the top level"]
        );
    }

    #[test]
    fn nobodys_machine_is_named() {
        for part in ABSOLUTE_PATHS {
            let rule = "README.md:1: absolute path of somebody's machine";
            check("README.md", &format!("see {part}x"), &[rule]);
        }
    }
}
