//! The program that keeps the cache in go's stead (GOCACHEPROG, cmd/go/internal/cacheprog).

use sha2::{Digest as _, Sha256};

use super::Live;
use crate::model::{mask, tool_group::base};

/// The first Go 1.x that starts such a program without being built for it.
const SINCE: u32 = 24;

/// Such a program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Helper {
    /// Its name, masked.
    pub(super) name: String,
    /// Tells its cache from others: the same program with the same arguments keeps the same one.
    pub(super) identity: (u64, u64),
}

impl Live {
    /// Its settings name such a program, whether or not this version of go starts it.
    pub(in crate::invocation) fn names_helper(&self) -> bool {
        self.cache_program().is_some()
    }

    fn cache_program(&self) -> Option<&str> {
        let told = [&self.effective, &self.environment];
        let mut named = told.iter().filter_map(|told| told.get("GOCACHEPROG"));
        named
            .next()
            .map(|told| told.trim())
            .filter(|told| !told.is_empty())
    }

    /// The program that kept its cache: it ran, or something was built that must have been asked for.
    pub(super) fn helper(&self) -> Option<Helper> {
        let told = self.cache_program()?;
        let name = base(program(told)).to_owned();
        let starts_it = minor(&self.record.version).is_none_or(|minor| minor >= SINCE);
        let has_run = self.record.processes.contains_key(&name);
        let digest = Sha256::digest(told);
        let (first, _) = digest.split_first_chunk()?;
        (has_run || starts_it && self.packages.ran() > 0).then(|| Helper {
            name: mask::text(&name),
            identity: (u64::from_be_bytes(*first), 0),
        })
    }
}

/// The first word, which may be quoted (cmd/internal/quoted).
fn program(told: &str) -> &str {
    let quote = told
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''));
    let word = match quote {
        Some(quote) => told.trim_start_matches(quote).split(quote).next(),
        None => told.split_ascii_whitespace().next(),
    };
    word.unwrap_or_default()
}

/// `24` of `go1.24.11`.
fn minor(version: &str) -> Option<u32> {
    let (_, rest) = version.split_once("go1.")?;
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_the_first_word() {
        for (told, expected) in [
            ("cacher", "cacher"),
            ("/opt/cacher  --token=x /srv", "/opt/cacher"),
            ("'/opt/my cacher' -v", "/opt/my cacher"),
            ("\"/opt/my cacher\"", "/opt/my cacher"),
            ("\"", ""),
        ] {
            assert_eq!(program(told), expected, "{told}");
        }
    }

    #[test]
    fn versions_are_told_apart() {
        for (version, expected) in [
            ("go1.24.11", Some(24)),
            ("go1.25rc1", Some(25)),
            ("devel go1.28-abcdef", Some(28)),
            ("", None),
            ("go2", None),
        ] {
            assert_eq!(minor(version), expected, "{version}");
        }
    }
}
