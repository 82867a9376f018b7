//! Sizes of the kernel maps that grow with the load: `[maps]`, and `--map NAME=NUMBER`.

use std::{ops::RangeInclusive, str::FromStr};

use cache_ebpf::capacity;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{
    error::ConfigError,
    section::{Keys, Reader},
    values::Size,
};

/// `[maps]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMaps {
    ring_bytes: Option<Spanned<Size>>,
    open_files: Option<Spanned<u64>>,
    files: Option<Spanned<u64>>,
    accounts: Option<Spanned<u64>>,
    processes: Option<Spanned<u64>>,
    calls: Option<Spanned<u64>>,
}

/// Sizes of the kernel maps. What finds no room is counted by cause, and a walk follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Maps {
    /// Bytes of the ring of detail events.
    pub ring_bytes: u32,
    /// Files open for write at the same time.
    pub open_files: u32,
    /// Closed files whose size is remembered.
    pub files: u32,
    /// Accounts, one per process and root.
    pub accounts: u32,
    /// Processes with an account.
    pub processes: u32,
    /// System calls under way that change names or sizes.
    pub calls: u32,
}

impl Default for Maps {
    #[expect(clippy::cast_possible_truncation, reason = "constants far below 2^32")]
    fn default() -> Self {
        Self {
            ring_bytes: capacity::RING_BYTES as u32,
            open_files: capacity::OPEN as u32,
            files: capacity::SIZES as u32,
            accounts: capacity::CREDITS as u32,
            processes: capacity::PROCESSES as u32,
            calls: capacity::CALLS as u32,
        }
    }
}

/// What is wrong with a size.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No such kernel map.
    #[error("`{0}` must be one of {list}", list = Maps::KEYS.join(", "))]
    Name(String),
    /// Not a name and a size.
    #[error("`{0}` must be NAME=NUMBER")]
    Shape(String),
    /// Too small or too large.
    #[error("a map must have from {0} to {1} entries")]
    Entries(u32, u32),
    /// Not allowed by the kernel, or too large.
    #[error("the ring must be a power of two from 4KiB to 256MiB")]
    Ring,
}

/// The key of the ring's size, which is in bytes.
const RING: &str = "ring_bytes";

impl Maps {
    /// Names of the sizes, as in the file.
    pub const KEYS: [&str; 6] = [
        RING,
        "open_files",
        "files",
        "accounts",
        "processes",
        "calls",
    ];

    /// Sets one size by its name.
    pub fn set(&mut self, key: &str, value: u64) -> Result<(), Problem> {
        let (field, allowed) = match key {
            RING => (&mut self.ring_bytes, RING_BYTES),
            "open_files" => (&mut self.open_files, OPEN_FILES),
            "files" => (&mut self.files, FILES),
            "accounts" => (&mut self.accounts, ACCOUNTS),
            "processes" => (&mut self.processes, PROCESSES),
            "calls" => (&mut self.calls, CALLS),
            _ => return Err(Problem::Name(key.to_owned())),
        };
        let size = u32::try_from(value)
            .ok()
            .filter(|size| allowed.contains(size));
        *field = match size {
            Some(size) if key != RING || size.is_power_of_two() => size,
            _ if key == RING => return Err(Problem::Ring),
            _ => return Err(Problem::Entries(*allowed.start(), *allowed.end())),
        };
        Ok(())
    }

    pub(super) fn check(self, raw: RawMaps, reader: Reader<'_>) -> Result<Self, ConfigError> {
        let RawMaps {
            ring_bytes,
            open_files,
            files,
            accounts,
            processes,
            calls,
        } = raw;
        let mut maps = self;
        reader.read(RING, ring_bytes, |Size(bytes)| maps.set(RING, bytes))?;
        for (key, value) in [
            ("open_files", open_files),
            ("files", files),
            ("accounts", accounts),
            ("processes", processes),
            ("calls", calls),
        ] {
            reader.read(key, value, |entries| maps.set(key, entries))?;
        }
        Ok(maps)
    }

    /// What differs in `new`.
    pub(super) fn difference(&self, new: &Self) -> Keys {
        Keys::differing([("maps", self == new)]).after_restart()
    }
}

/// A page at least, as the kernel demands.
const RING_BYTES: RangeInclusive<u32> = 4096..=256 << 20;
/// Each sweep passes all of them: 0.75 ms for a thousand that grow.
const OPEN_FILES: RangeInclusive<u32> = 1..=16_384;
const FILES: RangeInclusive<u32> = 1..=16 << 20;
/// Every root has nobody's account.
const ACCOUNTS: RangeInclusive<u32> = 2..=1 << 20;
const PROCESSES: RangeInclusive<u32> = 1..=1 << 20;
const CALLS: RangeInclusive<u32> = 1..=65_536;

/// One size on the command line, `NAME=NUMBER`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MapSize {
    /// One of [`Maps::KEYS`].
    pub key: String,
    /// Entries, or bytes of the ring.
    pub value: u64,
}

impl FromStr for MapSize {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let parts = text.split_once('=');
        let (key, value) = parts
            .and_then(|(key, value)| Some((key, value.parse().ok()?)))
            .ok_or_else(|| Problem::Shape(text.to_owned()))?;
        Maps::default().set(key, value)?;
        Ok(Self {
            key: key.to_owned(),
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::config::parse;

    #[test]
    fn sizes_have_bounds() {
        for (text, expected) in [
            ("open_files=1", None),
            ("ring_bytes=4096", None),
            (
                "ring_bytes=5000",
                Some("the ring must be a power of two from 4KiB to 256MiB"),
            ),
            (
                "ring_bytes=1024",
                Some("the ring must be a power of two from 4KiB to 256MiB"),
            ),
            (
                "open_files=0",
                Some("a map must have from 1 to 16384 entries"),
            ),
            (
                "files=99999999999",
                Some("a map must have from 1 to 16777216 entries"),
            ),
            (
                "verdicts=1",
                Some(
                    "`verdicts` must be one of ring_bytes, open_files, files, accounts, processes, calls",
                ),
            ),
            ("files", Some("`files` must be NAME=NUMBER")),
            ("files=many", Some("`files=many` must be NAME=NUMBER")),
        ] {
            let outcome = text.parse::<MapSize>().err();
            let outcome = outcome.map(|problem| problem.to_string());
            assert_eq!(outcome.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn every_key_can_be_set() {
        let mut maps = Maps::default();
        for key in Maps::KEYS {
            maps.set(key, 8192).unwrap();
        }
        let all = Maps {
            ring_bytes: 8192,
            open_files: 8192,
            files: 8192,
            accounts: 8192,
            processes: 8192,
            calls: 8192,
        };
        assert_eq!(maps, all);
    }

    #[test]
    fn every_key_arrives() {
        let text = "[maps]\nring_bytes = \"64KiB\"\nopen_files = 8\nfiles = 9\naccounts = 10\nprocesses = 11\ncalls = 12\n";
        let read = parse(text, Path::new("f")).unwrap().kernel_maps;
        let expected = Maps {
            ring_bytes: 65_536,
            open_files: 8,
            files: 9,
            accounts: 10,
            processes: 11,
            calls: 12,
        };
        assert_eq!(read, expected);
        let shown = json!({"ring_bytes": 65_536, "open_files": 8, "files": 9, "accounts": 10, "processes": 11, "calls": 12});
        assert_eq!(serde_json::to_value(read).unwrap(), shown);
    }
}
