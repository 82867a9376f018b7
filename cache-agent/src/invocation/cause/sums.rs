//! Packages with one reason, added up.

use std::collections::BTreeMap;

use super::named;
use crate::model::{
    built::Reason,
    invocation::{Cause, Invocation},
};

#[derive(Debug, Default)]
struct Sum<'a> {
    paths: Vec<&'a str>,
    bytes: i64,
    cpu_s: f64,
}

/// By reason.
#[derive(Debug, Default)]
pub(super) struct Sums<'a>(BTreeMap<Reason, Sum<'a>>);

impl<'a> Sums<'a> {
    pub(super) fn add(&mut self, reason: &Reason, path: &'a str, bytes: i64, cpu_s: f64) {
        let sum = self.0.entry(reason.clone()).or_default();
        sum.bytes += bytes;
        sum.cpu_s += cpu_s;
        if !path.is_empty() {
            sum.paths.push(path);
        }
    }

    pub(super) fn add_kind(&mut self, kind: &str, path: &'a str, bytes: i64) {
        self.add(&Reason::new(kind, ""), path, bytes, 0.0);
    }

    /// One cause for each reason: largest first, what was dragged along last.
    pub(super) fn causes(self, record: &Invocation) -> Vec<Cause> {
        let mut all: Vec<(Reason, Sum<'_>)> = self.0.into_iter().collect();
        all.sort_by_key(|(reason, sum)| {
            (reason.kind == "dependency", std::cmp::Reverse(sum.bytes))
        });
        let causes = all.into_iter().map(|(reason, mut sum)| {
            sum.paths.sort_unstable();
            sum.paths.dedup();
            Cause {
                detail: detail(&reason, &sum.paths, record),
                kind: reason.kind,
                bytes: sum.bytes,
                packages: sum.paths.len() as u64,
                cpu_s: sum.cpu_s,
            }
        });
        causes.collect()
    }
}

fn detail(reason: &Reason, paths: &[&str], record: &Invocation) -> String {
    let names = named(paths);
    match reason.kind.as_str() {
        "first_build" if record.module.is_empty() => format!("of {names} in this cache"),
        "first_build" => format!("of {} in this cache: {names}", record.module),
        "dependency" => format!("{}: {names} built anew because of it", reason.detail),
        _ if reason.detail.is_empty() => names,
        _ if paths.is_empty() => reason.detail.clone(),
        _ if reason.kind.starts_with("settings:") || reason.kind == "toolchain" => {
            reason.detail.clone()
        }
        _ => format!("{}: {names}", reason.detail),
    }
}
