//! Which tool a process is: a fixed set, so that metrics stay bounded.

use crate::model::{
    printable::printable,
    tool_group::{base, is_go_command, verb},
};

/// Programs whose runs are invocations, beside those of the configuration.
pub const TOOLS: [&str; 15] = [
    "go",
    "gopls",
    "golangci-lint",
    "staticcheck",
    "make",
    "gmake",
    "mage",
    "just",
    "bazel",
    "bazelisk",
    "buildkitd",
    "buildkit-runc",
    "buildctl",
    "goreleaser",
    "ko",
];

/// Programs that the go command runs and tells settings, caches and packages.
pub const GO_CHILDREN: [&str; 6] = ["compile", "link", "asm", "cgo", "cover", "vet"];

/// Verbs of the go command.
const VERBS: [&str; 20] = [
    "bug",
    "build",
    "clean",
    "doc",
    "env",
    "fix",
    "fmt",
    "generate",
    "get",
    "help",
    "install",
    "list",
    "mod",
    "run",
    "telemetry",
    "test",
    "tool",
    "version",
    "vet",
    "work",
];

/// True unless the go command does without its caches for this.
pub fn uses_caches(verb: &str) -> bool {
    !matches!(verb, "" | "bug" | "env" | "help" | "telemetry" | "version")
}

/// A program of this name begins an invocation wherever it runs.
pub fn is_tool(name: &str) -> bool {
    TOOLS.contains(&name) || is_go_command(name)
}

/// Name of a program: the kernel's name of it, completed by the arguments where the kernel cut it; `go` for
/// the go command of any version.
pub fn name(comm: &str, argv: &[String]) -> String {
    /// Bytes at which the kernel cuts.
    const COMM_BYTES: usize = 15;
    let program = argv.first().map_or("", String::as_str);
    let base = base(program);
    let name = if comm.len() >= COMM_BYTES && base.starts_with(comm) {
        base
    } else {
        comm
    };
    if is_go_command(name) {
        return "go".to_owned();
    }
    printable(name.as_bytes())
}

/// What the program was asked to do; empty for a tool without verbs.
pub fn verb_of(name: &str, argv: &[String]) -> &'static str {
    if name != "go" {
        return "";
    }
    let asked = verb(argv).unwrap_or_default();
    VERBS
        .into_iter()
        .find(|known| *known == asked)
        .unwrap_or_default()
}

/// The directory that a go command is told to change to at its start: `-C dir`, before or after the verb.
pub fn chdir(argv: &[String]) -> Option<&str> {
    let mut words = argv.iter().skip(1).map(String::as_str).peekable();
    if let Some(verb) = words.next_if(|word| !word.starts_with('-')) {
        let has_another = matches!(verb, "mod" | "work");
        words.next_if(|word| has_another && !word.starts_with('-'));
    }
    let flag = words.next()?;
    let flag = flag
        .strip_prefix('-')
        .filter(|rest| rest.starts_with('-'))
        .unwrap_or(flag);
    match flag.strip_prefix("-C")? {
        "" => words.next(),
        value => value.strip_prefix('='),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_to_change_to_is_told() {
        for (line, expected) in [
            ("go -C ../x build", Some("../x")),
            ("go build -C=/x ./...", Some("/x")),
            ("go mod tidy --C x", Some("x")),
            ("go run x -C y", None),
            ("go build -v -C x", None),
            ("go build -Cx", None),
            ("go build -C", None),
            ("go", None),
        ] {
            let argv: Vec<_> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(chdir(&argv), expected, "{line}");
        }
    }

    #[test]
    fn names_and_verbs_are_told() {
        for (comm, line, expected) in [
            ("go", "/usr/bin/go -C x test ./...", ("go", "test")),
            ("go1.24.11", "go1.24.11 vet", ("go", "vet")),
            ("go1.25rc1", "/x/go1.25rc1 test", ("go", "test")),
            ("go", "go frobnicate", ("go", "")),
            ("go", "", ("go", "")),
            ("make", "make test", ("make", "")),
            (
                "a-very-long-nam",
                "/x/a-very-long-name -v",
                ("a-very-long-name", ""),
            ),
            ("a-very-long-nam", "other", ("a-very-long-nam", "")),
        ] {
            let argv: Vec<_> = line.split(' ').map(str::to_owned).collect();
            let name = name(comm, &argv);
            let verb = verb_of(&name, &argv);
            assert_eq!((name.as_str(), verb), expected, "{line}");
        }
    }
}
