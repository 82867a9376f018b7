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

/// True for `go`, and for what people call a go command of one version: `go1.24.11`, `go1.25rc1`, `go1.24`.
pub fn is_go_command(name: &str) -> bool {
    let Some(version) = name.strip_prefix("go") else {
        return false;
    };
    let mut parts = version.split('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    version.is_empty()
        || parts.next() == Some("1")
            && parts.next().is_some_and(|minor| {
                is_number(minor)
                    || ["rc", "beta"].iter().any(|mark| {
                        let halves = minor.split_once(mark);
                        halves.is_some_and(|(minor, count)| is_number(minor) && is_number(count))
                    })
            })
            && parts.next().is_none_or(is_number)
            && parts.next().is_none()
}

/// Last element of a path.
pub fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Index into [`GROUPS`] of the tool with this command name and these arguments.
pub fn group(comm: &str, argv: &[String]) -> usize {
    let program = argv.first().map_or(comm, String::as_str);
    let name = match base(program) {
        go if is_go_command(go) => {
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
    fn go_commands_are_told_by_their_names() {
        for name in ["go", "go1.24.11", "go1.25rc1", "go1.21", "go1.20beta1"] {
            assert!(is_go_command(name), "{name}");
        }
        for name in [
            "",
            "gopls",
            "gofmt",
            "go1",
            "go1.",
            "go2.1",
            "go1.x",
            "go1.2.3.4",
            "go1.25rc",
            "go1.rc1",
        ] {
            assert!(!is_go_command(name), "{name}");
        }
    }

    #[test]
    fn tools_have_their_groups() {
        for (line, expected) in [
            ("go build ./...", "go-build"),
            ("/usr/lib/go/bin/go test -run=NONE strings", "go-test"),
            ("go -C /src vet std", "go-vet"),
            ("go -C=/src vet std", "go-vet"),
            ("/x/go1.24.11 build", "go-build"),
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
