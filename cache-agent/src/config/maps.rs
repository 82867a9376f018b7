//! Sizes of the kernel maps that grow with the load: what an owner, or a test, may set.

use std::{ops::RangeInclusive, str::FromStr};

use cache_ebpf::capacity;

use super::error::Problem;

/// Sizes of the kernel maps. What finds no room is counted by cause, and a walk follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
            _ => return Err(Problem::MapName(key.to_owned())),
        };
        let size = u32::try_from(value)
            .ok()
            .filter(|size| allowed.contains(size));
        *field = match size {
            Some(size) if key != RING || size.is_power_of_two() => size,
            _ if key == RING => return Err(Problem::RingSize),
            _ => return Err(Problem::MapSize(*allowed.start(), *allowed.end())),
        };
        Ok(())
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
            .ok_or_else(|| Problem::MapShape(text.to_owned()))?;
        Maps::default().set(key, value)?;
        Ok(Self {
            key: key.to_owned(),
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
