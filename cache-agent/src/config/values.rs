//! Single values that several sections have: from what is written to what it means, and back.

use std::{
    fmt,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use bytesize::ByteSize;
use serde::{Deserialize, Serializer, de::Visitor};

const MAX_INTERVAL: Duration = Duration::from_hours(30 * 24);

/// A directory whose meaning depends on something.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnclearPath {
    /// On the working directory.
    #[error("`{}` must be an absolute path", .0.display())]
    Relative(PathBuf),
    /// On links on the way.
    #[error("`{}` must not contain `..`", .0.display())]
    Parent(PathBuf),
}

pub(super) fn check_directory(path: &Path) -> Result<(), UnclearPath> {
    if !path.is_absolute() {
        return Err(UnclearPath::Relative(path.to_path_buf()));
    }
    if path
        .components()
        .any(|component| component == Component::ParentDir)
    {
        return Err(UnclearPath::Parent(path.to_path_buf()));
    }
    Ok(())
}

pub(super) fn directory(text: String) -> Result<PathBuf, UnclearPath> {
    let path = PathBuf::from(text);
    check_directory(&path).map(|()| path)
}

/// A time between two runs of something.
pub(super) fn interval(text: &str) -> Option<Duration> {
    let allowed = Duration::from_secs(1)..=MAX_INTERVAL;
    humantime::parse_duration(text)
        .ok()
        .filter(|duration| allowed.contains(duration))
}

/// As people write it: months and years, into which `humantime` divides, are no whole days.
pub(super) fn show_duration<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    /// Seconds of a day.
    const DAY: u64 = 24 * 60 * 60;
    let seconds = duration.as_secs();
    if seconds >= DAY && seconds.is_multiple_of(DAY) && duration.subsec_nanos() == 0 {
        serializer.collect_str(&format_args!("{}d", seconds / DAY))
    } else {
        serializer.collect_str(&humantime::format_duration(*duration))
    }
}

/// A number of bytes: an integer, or a number with a unit.
///
/// `KiB`, `MiB`, `GiB`, `TiB` are powers of 1024, `kB`, `MB`, `GB`, `TB` powers of 1000; case does
/// not matter, a fraction (`1.5GiB`) and a space before the unit may be there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Size(pub u64);

/// A share: a number such as `0.05`, or a percentage such as `"5%"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio(pub f64);

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
    use super::*;
    use crate::config::{limits::Thresholds, parse};

    fn discovered(line: &str) -> Thresholds {
        let text = format!("[discovered]\n{line}");
        parse(&text, Path::new("f")).unwrap().discovered
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
            let read = discovered(&format!("warn = {text}"));
            assert_eq!(read.warn, Some(bytes), "{text}");
        }
    }

    #[test]
    fn ratios() {
        for (text, share) in [("0.05", 0.05), ("\"5%\"", 0.05), ("\"12.5 %\"", 0.125)] {
            let read = discovered(&format!("free_space = {text}"));
            assert_eq!(read.free_space, Some(share), "{text}");
        }
    }
}
