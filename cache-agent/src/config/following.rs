//! Which commands are followed besides the known tools, and which caches they may add.

use std::path::Path;

use glob::{MatchOptions, Pattern};

use super::error::Problem;

/// Commands that may be named: each is an entry of a kernel map.
const COMMANDS_MAX: usize = 100;
/// Patterns of each sort.
const PATTERNS_MAX: usize = 100;
/// Longest name of a command, in bytes; the kernel keeps 15 of them.
const COMMAND_BYTES: usize = 64;
/// `*` stays within a component, as in a shell; `**` does not.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// `[invocations]`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Following {
    /// Programs whose runs are invocations, by name.
    pub commands: Vec<String>,
    /// Caches in use become roots only where one of these matches; empty = everywhere.
    pub allow: Vec<Pattern>,
    /// They never do where one of these matches.
    pub deny: Vec<Pattern>,
}

impl Following {
    /// Whether a cache in use at this path may become a root.
    pub fn allows(&self, path: &Path) -> bool {
        let any = |patterns: &[Pattern]| {
            patterns
                .iter()
                .any(|pattern| pattern.matches_path_with(path, MATCHING))
        };
        (self.allow.is_empty() || any(&self.allow)) && !any(&self.deny)
    }
}

pub(super) fn check_commands(commands: Vec<String>) -> Result<Vec<String>, Problem> {
    if commands.len() > COMMANDS_MAX {
        return Err(Problem::TooMany(COMMANDS_MAX));
    }
    let is_name = |name: &String| {
        (1..=COMMAND_BYTES).contains(&name.len())
            && !name.contains(|character: char| character == '/' || character.is_control())
    };
    match commands.iter().find(|name| !is_name(name)) {
        Some(name) => Err(Problem::Command(name.clone())),
        None => Ok(commands),
    }
}

pub(super) fn check_patterns(texts: &[String]) -> Result<Vec<Pattern>, Problem> {
    if texts.len() > PATTERNS_MAX {
        return Err(Problem::TooMany(PATTERNS_MAX));
    }
    let pattern = |text: &String| {
        let absolute = Some(text).filter(|text| text.starts_with('/'));
        let pattern = absolute.and_then(|text| Pattern::new(text).ok());
        pattern.ok_or_else(|| Problem::Pattern(text.clone()))
    };
    texts.iter().map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn following(text: &str) -> Result<Following, String> {
        let text = format!("[invocations]\n{text}\n");
        let parsed = parse(&text, Path::new("f"));
        parsed
            .map(|config| config.following)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn caches_are_allowed_and_denied_by_pattern() {
        let all = following("").unwrap();
        assert!(all.allows(Path::new("/anywhere")));
        let some = following("allow = [\"/home/*/.cache/**\"]\ndeny = [\"/home/eve/**\"]").unwrap();
        for (path, expected) in [
            ("/home/bob/.cache/go-build", true),
            ("/home/eve/.cache/go-build", false),
            ("/home/a/b/.cache/go-build", false),
            ("/srv/cache", false),
        ] {
            assert_eq!(some.allows(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn commands_are_names_and_patterns_are_absolute() {
        let found = following("commands = [\"please\", \"a.out\"]").unwrap();
        assert_eq!(found.commands, ["please", "a.out"]);
        for (line, expected) in [
            (
                "commands = [\"/bin/x\"]",
                "invalid value of `commands` at f:2:12: `/bin/x` must be the name of a program, without its directory",
            ),
            (
                "allow = [\"x/*\"]",
                "invalid value of `allow` at f:2:9: `x/*` must be a pattern of absolute paths such as /home/*/.cache/**",
            ),
            (
                "deny = [\"/a/***\"]",
                "invalid value of `deny` at f:2:8: `/a/***` must be a pattern of absolute paths such as /home/*/.cache/**",
            ),
        ] {
            assert_eq!(following(line).unwrap_err(), expected);
        }
    }
}
