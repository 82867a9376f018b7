//! Single values of the configuration: from what is written to what it means, or what is wrong with it.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::{
    checked::{OFF, RootConfig},
    error::Problem,
};
use crate::model::root_name::{self, Names};

const MAX_INTERVAL: Duration = Duration::from_hours(30 * 24);

pub(super) fn check_name(text: &str, names: &mut Names) -> Result<(), Problem> {
    if !root_name::is_well_formed(text) {
        return Err(Problem::NameShape(text.to_owned()));
    }
    if text == root_name::FOLDED_NAME {
        return Err(Problem::NameReserved(text.to_owned()));
    }
    if names.take(text) {
        Ok(())
    } else {
        Err(Problem::NameTaken(text.to_owned()))
    }
}

pub(super) fn check_path(path: &Path, earlier: &[RootConfig]) -> Result<(), Problem> {
    check_shape(path)?;
    // Paths compare by component, so that a trailing slash makes no difference.
    match earlier.iter().find(|root| root.path == path) {
        Some(root) => Err(Problem::PathTaken(root.path.clone())),
        None => Ok(()),
    }
}

fn check_shape(path: &Path) -> Result<(), Problem> {
    if !path.is_absolute() {
        return Err(Problem::PathRelative(path.to_path_buf()));
    }
    if path
        .components()
        .any(|component| component == Component::ParentDir)
    {
        return Err(Problem::PathParent(path.to_path_buf()));
    }
    Ok(())
}

pub(super) fn parse_directory(text: &str) -> Result<PathBuf, Problem> {
    let path = PathBuf::from(text);
    check_shape(&path).map(|()| path)
}

pub(super) fn default_name(path: &Path) -> String {
    path.file_name().map_or_else(
        || "/".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

pub(super) fn check_size(bytes: u64) -> Result<u64, Problem> {
    // File sizes are signed in the kernel; saturated readings of absurd numbers end here too.
    if bytes > 0 && i64::try_from(bytes).is_ok_and(|bytes| bytes < i64::MAX) {
        Ok(bytes)
    } else {
        Err(Problem::SizeRange)
    }
}

pub(super) fn check_ratio(share: f64) -> Result<f64, Problem> {
    if share > 0.0 && share < 1.0 {
        Ok(share)
    } else {
        Err(Problem::RatioRange)
    }
}

pub(super) fn parse_listen(text: &str) -> Result<SocketAddr, Problem> {
    text.parse()
        .map_err(|_unreadable| Problem::Listen(text.to_owned()))
}

pub(super) fn parse_interval(text: &str) -> Result<Duration, Problem> {
    interval(text).ok_or_else(|| Problem::Duration(text.to_owned()))
}

pub(super) fn parse_interval_or_off(text: &str) -> Result<Option<Duration>, Problem> {
    if text == OFF {
        return Ok(None);
    }
    let duration = interval(text).ok_or_else(|| Problem::DurationOrOff(text.to_owned()))?;
    Ok(Some(duration))
}

fn interval(text: &str) -> Option<Duration> {
    let allowed = Duration::from_secs(1)..=MAX_INTERVAL;
    humantime::parse_duration(text)
        .ok()
        .filter(|duration| allowed.contains(duration))
}
