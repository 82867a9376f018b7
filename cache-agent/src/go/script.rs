//! What a script in place of the go command was asked for.

use crate::model::tool_group::{base, is_go_command};

/// Words before the script in the arguments of its interpreter: `env -S bash -e`.
const INTERPRETER_WORDS: usize = 5;

/// What a script called `go` was asked for: the arguments without those of its interpreter.
///
/// `name` is the kernel's of the program, which is the script's name or, after `env`, the interpreter's.
pub fn of_script(name: &str, argv: &[String]) -> Option<Vec<String>> {
    /// Programs that scripts name in their first line.
    const INTERPRETERS: [&str; 9] = [
        "ash", "bash", "busybox", "dash", "env", "python3", "python", "sh", "zsh",
    ];
    let interpreter = base(argv.first()?);
    if !INTERPRETERS.contains(&interpreter) || !is_go_command(name) && name != interpreter {
        return None;
    }
    let is_script = |word: &String| word.contains('/') && is_go_command(base(word));
    let words = argv.iter().take(INTERPRETER_WORDS);
    let at = words.skip(1).position(is_script)? + 1;
    argv.get(at..).map(<[String]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_in_place_of_go_is_asked_for_what_follows_it() {
        for (name, line, expected) in [
            (
                "go",
                "/bin/sh /opt/shims/go build ./...",
                Some("/opt/shims/go build ./..."),
            ),
            (
                "go",
                "/usr/bin/env bash /opt/shims/go vet",
                Some("/opt/shims/go vet"),
            ),
            (
                "bash",
                "bash /opt/shims/go test -C x",
                Some("/opt/shims/go test -C x"),
            ),
            (
                "sh",
                "sh -e ./go1.24.11 version",
                Some("./go1.24.11 version"),
            ),
            // Not scripts, or scripts of another name.
            ("go", "/opt/go/bin/go run /bin/go", None),
            ("go", "go build", None),
            ("bash", "bash -c go", None),
            ("make", "bash /opt/shims/go", None),
            ("bash", "bash /x/build.sh a b c /x/go", None),
            ("go", "", None),
        ] {
            let argv: Vec<_> = line.split(' ').map(str::to_owned).collect();
            let found = of_script(name, &argv).map(|words| words.join(" "));
            assert_eq!(found.as_deref(), expected, "{line}");
        }
    }
}
