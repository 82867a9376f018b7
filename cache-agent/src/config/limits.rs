//! When to tell that a root needs attention: `[discovered]`, and keys of each `[[root]]`.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{
    error::ConfigError,
    section::{Keys, Reader},
    values::{Ratio, Size},
};

/// `[discovered]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawThresholds {
    pub(super) warn: Option<Spanned<Size>>,
    pub(super) free_space: Option<Spanned<Ratio>>,
    pub(super) free_inodes: Option<Spanned<Ratio>>,
}

/// When to tell that a root needs attention; each is off when absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Thresholds {
    /// Bytes; crossed when the root is at least this large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn: Option<u64>,
    /// Crossed when the available share of the file system's space falls below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_space: Option<f64>,
    /// Crossed when the available share of the file system's inodes falls below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_inodes: Option<f64>,
}

#[derive(Debug, thiserror::Error)]
enum OutOfRange {
    /// Zero bytes, or more than any file system holds.
    #[error("a size must be larger than 0 and below 8 EiB")]
    Size,
    #[error("a share must lie between 0 and 1 (0 % and 100 %), both excluded")]
    Ratio,
}

impl Thresholds {
    pub(super) fn check(self, raw: RawThresholds, reader: Reader<'_>) -> Result<Self, ConfigError> {
        let RawThresholds {
            warn,
            free_space,
            free_inodes,
        } = raw;
        Ok(Self {
            warn: reader.read("warn", warn, check_size)?.or(self.warn),
            free_space: reader
                .read("free_space", free_space, check_ratio)?
                .or(self.free_space),
            free_inodes: reader
                .read("free_inodes", free_inodes, check_ratio)?
                .or(self.free_inodes),
        })
    }

    /// Those that differ in `new`, by name.
    pub(super) fn differing(self, new: Self) -> Keys {
        let Self {
            warn,
            free_space,
            free_inodes,
        } = new;
        Keys::differing([
            ("warn", self.warn == warn),
            ("free_space", self.free_space == free_space),
            ("free_inodes", self.free_inodes == free_inodes),
        ])
    }

    /// What differs in `new`.
    pub(super) fn difference(&self, new: &Self) -> Keys {
        Keys::differing([("discovered", self == new)])
    }
}

fn check_size(Size(bytes): Size) -> Result<u64, OutOfRange> {
    // File sizes are signed in the kernel; saturated readings of absurd numbers end here too.
    if bytes > 0 && i64::try_from(bytes).is_ok_and(|bytes| bytes < i64::MAX) {
        Ok(bytes)
    } else {
        Err(OutOfRange::Size)
    }
}

fn check_ratio(Ratio(share): Ratio) -> Result<f64, OutOfRange> {
    if share > 0.0 && share < 1.0 {
        Ok(share)
    } else {
        Err(OutOfRange::Ratio)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::config::parse;

    fn discovered(text: &str) -> Thresholds {
        let text = format!("[discovered]\n{text}");
        parse(&text, Path::new("f")).unwrap().discovered
    }

    #[test]
    fn every_key_arrives() {
        let expected = Thresholds {
            warn: Some(7),
            free_space: Some(0.5),
            free_inodes: Some(0.25),
        };
        let read = discovered("warn = 7\nfree_space = 0.5\nfree_inodes = 0.25\n");
        assert_eq!(read, expected);
        let shown = json!({"warn": 7, "free_space": 0.5, "free_inodes": 0.25});
        assert_eq!(serde_json::to_value(read).unwrap(), shown);
        let keys = Thresholds::default().differing(read);
        assert_eq!(keys.names(), ["warn", "free_space", "free_inodes"]);
    }

    #[test]
    fn what_is_off_is_not_shown() {
        let shown = serde_json::to_value(discovered("free_space = \"5%\"")).unwrap();
        assert_eq!(shown, json!({"free_space": 0.05}));
    }
}
