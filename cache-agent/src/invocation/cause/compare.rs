//! Two invocations side by side.

use crate::{
    go::{fingerprint::Fingerprint, variables::IN_ACTION_IDS},
    model::invocation::{Cause, Invocation},
};

/// A setting that differs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Difference {
    pub(super) name: String,
    before: String,
    after: String,
}

impl Difference {
    pub(super) fn cause(self) -> Cause {
        let Self {
            name,
            before,
            after,
        } = self;
        let detail = if name == "go" {
            format!("{before} -> {after}")
        } else {
            format!("\"{before}\" -> \"{after}\"")
        };
        Cause { kind: name, detail }
    }
}

/// Settings that differ, by name. A variable is told by go's tools with its default; where one side had
/// none to tell, it is compared only if both sides know it.
pub(super) fn differences(before: &Fingerprint, after: &Fingerprint) -> Vec<Difference> {
    let is_told = |settings: &Fingerprint| settings.contains_key("GOOS");
    let both_told = is_told(before) && is_told(after);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let differing = names.into_iter().filter_map(|name| {
        let (old, new) = (before.get(name), after.get(name));
        let needs_both = name == "go" || IN_ACTION_IDS.contains(&name.as_str()) && !both_told;
        if old == new || needs_both && (old.is_none() || new.is_none()) {
            return None;
        }
        Some(Difference {
            name: name.clone(),
            before: old.cloned().unwrap_or_default(),
            after: new.cloned().unwrap_or_default(),
        })
    });
    differing.collect()
}

/// Both changed a common root; one that changed none says nothing.
pub(super) fn shares_root(now: &Invocation, other: &Invocation) -> bool {
    now.roots.keys().any(|root| other.roots.contains_key(root))
}

/// A package that is not the invocation's own nor of a module: its first component is no domain.
pub(super) fn is_standard(path: &str, record: &Invocation) -> bool {
    let first = path.split(['/', ' ']).next().unwrap_or_default();
    let is_own = !record.module.is_empty()
        && record.module != "std"
        && (path == record.module || path.starts_with(&format!("{}/", record.module)));
    !is_own && !first.contains('.') && first != "main" && first != "command-line-arguments"
}
