//! The configuration file as it is written: TOML types, no meaning yet.

use std::fmt;
use std::ops::Range;

use bytesize::ByteSize;
use serde::Deserialize;
use serde::de::Visitor;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin, UnknownKey};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// Address of the HTTP server.
    pub listen: Option<Spanned<String>>,
    /// Whether to watch the caches of every user.
    pub discover: Option<bool>,
    /// Time between two reconciling walks.
    pub walk_interval: Option<Spanned<String>>,
    /// Directory for what outlives the agent.
    pub state_dir: Option<Spanned<String>>,
    /// Time between two runs of the self-test, or off.
    pub canary_interval: Option<Spanned<String>>,
    /// What is remembered there.
    #[serde(default)]
    pub history: RawHistory,
    /// Sizes of kernel maps.
    #[serde(default)]
    pub maps: RawMaps,
    /// Which commands are followed, and which caches they may add.
    #[serde(default)]
    pub invocations: RawFollowing,
    /// Thresholds of every discovered root.
    #[serde(default)]
    pub discovered: RawThresholds,
    /// The `[[root]]` tables.
    #[serde(default, rename = "root")]
    pub roots: Vec<RawRoot>,
}

/// `[history]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawHistory {
    /// Whether anything is remembered.
    pub enabled: Option<bool>,
    /// Age at which records are removed.
    pub max_age: Option<Spanned<String>>,
    /// Size of the database at which the oldest records are removed.
    pub max_size: Option<Spanned<Size>>,
}

/// `[invocations]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawFollowing {
    /// Programs besides the known tools.
    pub commands: Option<Spanned<Vec<String>>>,
    /// Where caches in use may become roots.
    pub allow: Option<Spanned<Vec<String>>>,
    /// Where they may not.
    pub deny: Option<Spanned<Vec<String>>>,
}

/// One `[[root]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRoot {
    /// Metric label.
    pub name: Option<Spanned<String>>,
    /// Directory.
    pub path: Spanned<String>,
    /// Kind of cache.
    pub kind: Option<Spanned<String>>,
    /// See [`RawThresholds`].
    pub warn: Option<Spanned<Size>>,
    /// See [`RawThresholds`].
    pub free_space: Option<Spanned<Ratio>>,
    /// See [`RawThresholds`].
    pub free_inodes: Option<Spanned<Ratio>>,
}

/// `[maps]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawMaps {
    /// Ring of detail events.
    pub ring_bytes: Option<Spanned<Size>>,
    /// Files open for write.
    pub open_files: Option<Spanned<u64>>,
    /// Closed files.
    pub files: Option<Spanned<u64>>,
    /// Accounts.
    pub accounts: Option<Spanned<u64>>,
    /// Processes.
    pub processes: Option<Spanned<u64>>,
    /// Calls under way.
    pub calls: Option<Spanned<u64>>,
}

/// `[discovered]`; serde cannot flatten a table that refuses unknown keys, so `[[root]]` repeats it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawThresholds {
    /// Size of the root.
    pub warn: Option<Spanned<Size>>,
    /// Available share of the file system's space.
    pub free_space: Option<Spanned<Ratio>>,
    /// Available share of the file system's inodes.
    pub free_inodes: Option<Spanned<Ratio>>,
}

/// A number of bytes: an integer, or a number with a unit.
///
/// `KiB`, `MiB`, `GiB`, `TiB` are powers of 1024, `kB`, `MB`, `GB`, `TB` powers of 1000; case does
/// not matter, a fraction (`1.5GiB`) and a space before the unit may be there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size(pub u64);

/// A share: a number such as `0.05`, or a percentage such as `"5%"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio(pub f64);

/// Reads the text; unknown keys, missing keys and wrong types are errors.
pub fn parse(origin: Origin<'_>) -> Result<RawConfig, ConfigError> {
    match DeTable::parse(origin.text) {
        Ok(document) => {
            toml::from_str(origin.text).map_err(|error| explain(&error, origin, &document))
        }
        Err(error) => Err(ConfigError::Syntax {
            place: origin.place(&error.span().unwrap_or_default()),
            message: error.message().replace('\n', ", "),
        }),
    }
}

/// serde reports field errors as text only; its wording for derived types is stable, and the tests pin it.
fn explain(
    error: &toml::de::Error,
    origin: Origin<'_>,
    document: &Spanned<DeTable<'_>>,
) -> ConfigError {
    let span = error.span().unwrap_or_default();
    let place = origin.place(&span);
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

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a size such as \"8GiB\" or a number of bytes")
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Size, E> {
        u64::try_from(value)
            .map(Size)
            .map_err(|_negative| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Size, E> {
        let size = value.trim().parse::<ByteSize>();
        size.map(|size| Size(size.as_u64()))
            .map_err(|_unreadable| E::invalid_value(serde::de::Unexpected::Str(value), &self))
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RatioVisitor)
    }
}

struct RatioVisitor;

impl Visitor<'_> for RatioVisitor {
    type Value = Ratio;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a share such as \"5%\" or 0.05")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Ratio, E> {
        Ok(Ratio(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Ratio, E> {
        let percent = value
            .trim()
            .strip_suffix('%')
            .and_then(|number| number.trim_end().parse::<f64>().ok());
        percent
            .map(|percent| Ratio(percent / 100.0))
            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(value), &self))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Ratio, E> {
        // A whole number is 0, 1 or a percentage whose sign was forgotten: none is a usable share.
        Err(E::custom(format_args!(
            "{value} must be a share such as \"5%\" or 0.05"
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse_text(text: &str) -> Result<RawConfig, String> {
        parse(Origin {
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
                 allowed are listen, discover, walk_interval, state_dir, canary_interval, history, maps, invocations, discovered, root",
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
    fn sizes() {
        for (text, bytes) in [
            ("8589934592", 8 << 30),
            ("\"8GiB\"", 8 << 30),
            ("\"8 gib\"", 8 << 30),
            ("\"1.5KiB\"", 1536),
            ("\"1MB\"", 1_000_000),
            ("\"1000\"", 1000),
        ] {
            let config = parse_text(&format!("[discovered]\nwarn = {text}")).unwrap();
            assert_eq!(
                config.discovered.warn.unwrap().into_inner(),
                Size(bytes),
                "{text}"
            );
        }
    }

    #[test]
    fn ratios() {
        for (text, share) in [("0.05", 0.05), ("\"5%\"", 0.05), ("\"12.5 %\"", 0.125)] {
            let config = parse_text(&format!("[discovered]\nfree_space = {text}")).unwrap();
            assert_eq!(
                config.discovered.free_space.unwrap().into_inner(),
                Ratio(share),
                "{text}"
            );
        }
    }
}
