//! Names of roots: what users read in reports and what metrics carry as a label.

use std::collections::HashSet;

/// Longest name of a root, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// The name under which metrics fold the roots beyond their bound.
pub const FOLDED_NAME: &str = "other";

/// Whether a text can be a root's name.
pub fn is_well_formed(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.chars().all(is_allowed)
}

/// Hands out names, each at most once.
#[derive(Debug, Default)]
pub struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// Takes a name as it is; `false` when it is taken already.
    pub fn take(&mut self, name: &str) -> bool {
        self.taken.insert(name.to_owned())
    }

    /// Makes a name out of any text and takes it, with `-2`, `-3`, … when it is taken already.
    pub fn derive(&mut self, text: &str) -> String {
        let cleaned = clean(text);
        if cleaned != FOLDED_NAME && self.take(&cleaned) {
            return cleaned;
        }
        for number in 2_u64.. {
            let suffix = format!("-{number}");
            let candidate = format!(
                "{}{suffix}",
                truncated(&cleaned, MAX_NAME_BYTES - suffix.len())
            );
            if self.take(&candidate) {
                return candidate;
            }
        }
        // Not reached: the loop ends only after 2^64 names.
        cleaned
    }
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | ':' | '/' | '-')
}

fn clean(text: &str) -> String {
    let cleaned: String = text
        .chars()
        .take(MAX_NAME_BYTES)
        .map(|character| {
            if is_allowed(character) {
                character
            } else {
                '_'
            }
        })
        .collect();
    if cleaned.is_empty() {
        "root".to_owned()
    } else {
        cleaned
    }
}

/// The first bytes of a text that is known to be ASCII.
fn truncated(text: &str, bytes: usize) -> &str {
    text.get(..bytes).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_names() {
        for (name, expected) in [
            ("ci", true),
            ("gobuild:alice-2", true),
            ("a/b.c_d", true),
            ("", false),
            ("with space", false),
            ("quote\"", false),
            ("umlaut-ä", false),
            (&"x".repeat(64), true),
            (&"x".repeat(65), false),
        ] {
            assert_eq!(is_well_formed(name), expected, "{name}");
        }
    }

    #[test]
    fn derived_names_are_well_formed_and_unique() {
        let mut names = Names::default();
        assert!(names.take("ci"));
        let long = "y".repeat(100);
        for (text, expected) in [
            ("go-build", "go-build".to_owned()),
            ("go-build", "go-build-2".to_owned()),
            ("go-build", "go-build-3".to_owned()),
            ("ci", "ci-2".to_owned()),
            ("other", "other-2".to_owned()),
            ("a b\"c\nä", "a_b_c__".to_owned()),
            ("", "root".to_owned()),
            (long.as_str(), "y".repeat(64)),
            (long.as_str(), format!("{}-2", "y".repeat(62))),
        ] {
            let name = names.derive(text);
            assert_eq!(name, expected);
            assert!(is_well_formed(&name));
        }
    }
}
