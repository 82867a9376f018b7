//! One text of the configuration: from TOML to what is written, or a sentence about what cannot be read.

use std::{ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    RawConfig,
    error::{ConfigError, Place, UnknownKey},
};

/// A text of the configuration and the name of its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    /// The whole text.
    pub(super) text: &'a str,
    /// Its file, for messages only.
    pub(super) file: &'a Path,
}

impl Fragment<'_> {
    /// Where a byte range of the text begins.
    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File {
            file: self.file.to_path_buf(),
            line: before.matches('\n').count() + 1,
            column: before.chars().count()
                - before
                    .get(..line_start)
                    .map_or(0, |head| head.chars().count())
                + 1,
        }
    }
}

/// Reads the text; unknown keys, missing keys and wrong types are errors.
pub(super) fn parse(fragment: Fragment<'_>) -> Result<RawConfig, ConfigError> {
    match DeTable::parse(fragment.text) {
        Ok(document) => {
            toml::from_str(fragment.text).map_err(|error| explain(&error, fragment, &document))
        }
        Err(error) => Err(ConfigError::Syntax {
            place: fragment.place(&error.span().unwrap_or_default()),
            message: error.message().replace('\n', ", "),
        }),
    }
}

/// serde reports field errors as text only; its wording for derived types is stable, and the tests pin it.
fn explain(
    error: &toml::de::Error,
    fragment: Fragment<'_>,
    document: &Spanned<DeTable<'_>>,
) -> ConfigError {
    let span = error.span().unwrap_or_default();
    let place = fragment.place(&span);
    let message = error.message();
    let located = locate(document.get_ref(), &span, "");
    let mut quoted = message.split('`').skip(1).step_by(2).map(str::to_owned);
    if message.starts_with("unknown field") {
        let key = quoted.next().unwrap_or_default();
        let allowed: Vec<String> = quoted.collect();
        let nearest = nearest(&key, &allowed);
        let table = located.map_or_else(|| TOP.to_owned(), |found| found.table);
        ConfigError::UnknownKey(Box::new(UnknownKey {
            key,
            place,
            table,
            nearest,
            allowed,
        }))
    } else if message.starts_with("missing field") {
        ConfigError::MissingKey {
            key: quoted.next().unwrap_or_default(),
            place,
            table: "[[root]]".to_owned(),
        }
    } else {
        let key = located.map_or_else(|| "?".to_owned(), |found| found.key);
        ConfigError::Type {
            key,
            place,
            message: message.to_owned(),
        }
    }
}

const TOP: &str = "the top level";

struct Located {
    key: String,
    table: String,
}

/// The key whose own or whose value's text begins where `span` does.
fn locate(table: &DeTable<'_>, span: &Range<usize>, header: &str) -> Option<Located> {
    table.iter().find_map(|(key, value)| {
        let name = key.get_ref();
        if key.span().start == span.start || value.span().start == span.start {
            let table = if header.is_empty() { TOP } else { header };
            return Some(Located {
                key: name.to_string(),
                table: table.to_owned(),
            });
        }
        match value.get_ref() {
            DeValue::Table(inner) => locate(inner, span, &format!("[{name}]")),
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| item.get_ref().as_table())
                .find_map(|inner| locate(inner, span, &format!("[[{name}]]"))),
            _ => None,
        }
    })
}

/// Below this similarity a suggestion would only mislead; found by trying the keys and their usual typos.
const MIN_SIMILARITY: f64 = 0.7;

fn nearest(key: &str, allowed: &[String]) -> Option<String> {
    allowed
        .iter()
        .map(|candidate| {
            (
                strsim::jaro_winkler(&key.to_lowercase(), candidate),
                candidate,
            )
        })
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<RawConfig, String> {
        parse(Fragment {
            text,
            file: Path::new("/etc/x.toml"),
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn errors_name_place_and_remedy() {
        for (text, expected) in [
            (
                "listen = \"127.0.0.1:1\"\n\n[[root]]\nname = \"ci\"\npath = \"/ci\"\n\nwran = \"8GiB\"\n",
                "unknown key `wran` at /etc/x.toml:7:1 in [[root]]; did you mean `warn`?",
            ),
            (
                "Listen = 1",
                "unknown key `Listen` at /etc/x.toml:1:1 in the top level; did you mean `listen`?",
            ),
            (
                "[discovered]\nfree-space = 1\n",
                "unknown key `free-space` at /etc/x.toml:2:1 in [discovered]; did you mean `free_space`?",
            ),
            (
                "rot = 1",
                "unknown key `rot` at /etc/x.toml:1:1 in the top level; did you mean `root`?",
            ),
            (
                "zzz = 1",
                "unknown key `zzz` at /etc/x.toml:1:1 in the top level; \
                 allowed are listen, hosts, discover, walk_interval, state_dir, canary_interval, history, maps, invocations, discovered, root",
            ),
            (
                "\n[[root]]\nname = \"ci\"\n",
                "missing key `path` at /etc/x.toml:2:1 in [[root]]",
            ),
            (
                "discover = \"yes\"",
                "invalid value of `discover` at /etc/x.toml:1:12: invalid type: string \"yes\", expected a boolean",
            ),
            (
                "[[root]]\npath = \"/a\"\nwarn = \"8 zorks\"",
                "invalid value of `warn` at /etc/x.toml:3:8: invalid value: string \"8 zorks\", \
                 expected a size such as \"8GiB\" or a number of bytes",
            ),
            (
                "[[root]]\npath = \"/a\"\nwarn = -1",
                "invalid value of `warn` at /etc/x.toml:3:8: invalid value: integer `-1`, \
                 expected a size such as \"8GiB\" or a number of bytes",
            ),
            (
                "[[root]]\npath = \"/a\"\nfree_space = 5",
                "invalid value of `free_space` at /etc/x.toml:3:14: 5 must be a share such as \"5%\" or 0.05",
            ),
            (
                "[discovered]\nfree_inodes = \"5\"",
                "invalid value of `free_inodes` at /etc/x.toml:2:15: invalid value: string \"5\", \
                 expected a share such as \"5%\" or 0.05",
            ),
            (
                "root = 1",
                "invalid value of `root` at /etc/x.toml:1:8: invalid type: integer `1`, expected a sequence",
            ),
            (
                "listen = \n",
                "invalid TOML at /etc/x.toml:1:10: string values must be quoted, expected literal string",
            ),
            (
                "a = 1\na = 2\n",
                "invalid TOML at /etc/x.toml:2:1: duplicate key",
            ),
        ] {
            assert_eq!(parse_text(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let fragment = Fragment {
            text: "a = 1\nä = 2\n",
            file: Path::new("x"),
        };
        let check = |start, expected: &str| {
            assert_eq!(fragment.place(&(start..start)).to_string(), expected);
        };
        check(0, "x:1:1");
        check(4, "x:1:5");
        check(6, "x:2:1");
        check(8, "x:2:2");
        check(999, "x:3:1");
    }
}
