//! Groups of tools: a fixed set, so that the series of metrics stay bounded.

/// Tools by which growth is grouped in metrics: a fixed set, so that the series stay bounded.
pub const GROUPS: [&str; 16] = [
    "go-build",
    "go-test",
    "go-run",
    "go-vet",
    "go-install",
    "go-list",
    "go-mod",
    "go-get",
    "go-generate",
    "go-tool",
    "go-clean",
    "gopls",
    "golangci-lint",
    "staticcheck",
    "other",
    "unattributed",
];

/// Group of what no process is known for.
pub const UNATTRIBUTED: usize = GROUPS.len() - 1;

/// Group of every tool not named.
pub const OTHER: usize = GROUPS.len() - 2;

/// Groups of tools with a series of their own; seldom verbs of go share one, to leave room for others.
pub const EXPORTED: [&str; 11] = [
    "go-build",
    "go-test",
    "go-run",
    "go-vet",
    "go-mod",
    "go-other",
    "gopls",
    "golangci-lint",
    "staticcheck",
    "other",
    "unattributed",
];

/// Definition under which a group is exported.
pub fn exported(group: &str) -> &str {
    if EXPORTED.contains(&group) {
        group
    } else if group.starts_with("go-") {
        "go-other"
    } else {
        "other"
    }
}

/// Groups of whole runs in metrics: the go command, and everything else.
pub const RUNS: [&str; 2] = ["go", "other"];

/// True where a run of this tool belongs to the first of [`RUNS`].
pub fn is_go(tool: &str) -> bool {
    tool == "go"
}

/// Index into [`GROUPS`] of the tool with this command name and these arguments.
pub fn group(comm: &str, argv: &[String]) -> usize {
    let program = argv.first().map_or(comm, String::as_str);
    let base = program.rsplit('/').next().unwrap_or(program);
    let name = match base {
        "go" => {
            return verb(argv)
                .and_then(|verb| index(&format!("go-{verb}")))
                .unwrap_or(OTHER);
        }
        "" => comm,
        other => other,
    };
    index(name)
        .filter(|found| !name.starts_with("go-") && *found < OTHER)
        .unwrap_or(OTHER)
}

/// The go command's verb: its first argument, `-C dir` may stand before it.
pub fn verb(argv: &[String]) -> Option<&str> {
    let mut arguments = argv.iter().skip(1).map(String::as_str);
    match arguments.next()? {
        "-C" | "--C" => arguments.nth(1),
        flag if flag.starts_with('-') => arguments.next(),
        verb => Some(verb),
    }
}

fn index(name: &str) -> Option<usize> {
    GROUPS.iter().position(|group| *group == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_have_their_groups() {
        for (line, expected) in [
            ("go build ./...", "go-build"),
            ("/usr/lib/go/bin/go test -run=NONE strings", "go-test"),
            ("go -C /src vet std", "go-vet"),
            ("go -C=/src vet std", "go-vet"),
            ("go help", "other"),
            ("go", "other"),
            ("gopls serve", "gopls"),
            ("rm -rf x", "other"),
            ("go-build", "other"),
            ("unattributed", "other"),
        ] {
            let argv: Vec<_> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(GROUPS[group("comm", &argv)], expected, "{line}");
        }
        assert_eq!(GROUPS[group("golangci-lint", &[])], "golangci-lint");
    }
}
