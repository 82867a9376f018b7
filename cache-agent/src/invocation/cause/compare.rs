//! Two invocations side by side, as far as a package is concerned.

use crate::{
    go::{
        fingerprint::{Fingerprint, OF_COMPILERS},
        variables::IN_ACTION_IDS,
    },
    model::built::{How, Reason},
};

/// A setting that differs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Difference {
    pub(super) name: String,
    before: String,
    after: String,
}

impl Difference {
    /// It is set now.
    pub(super) fn is_set(&self) -> bool {
        !self.after.is_empty()
    }

    /// The same as a reason.
    pub(super) fn reason(&self) -> Reason {
        let Self {
            name,
            before,
            after,
        } = self;
        match (name.as_str(), after.as_str()) {
            ("go", _) => Reason::new("toolchain", &format!("{before} -> {after}")),
            // go run and go tool, which keep the program, have main packages compiled without it.
            ("dwarf", "false") => Reason::new("executable_kept", ""),
            _ => Reason::new(
                &format!("settings:{name}"),
                &format!("\"{before}\" -> \"{after}\""),
            ),
        }
    }
}

/// What a setting means for a package.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Weight {
    /// Nothing.
    None,
    /// It may change which files belong to the package.
    Files,
    /// It is part of the action.
    Input,
}

/// Settings that differ, by name. What one side could not know is not compared: a variable is told by go's
/// tools with its default, flags by a command line that was kept whole.
pub(super) fn differences(before: &Fingerprint, after: &Fingerprint) -> Vec<Difference> {
    let both = |has: fn(&Fingerprint) -> bool| has(before) && has(after);
    let both_told = both(|settings| settings.contains_key("GOOS"));
    let both_whole = both(|settings| !settings.contains_key("argv"));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let differing = names.into_iter().filter_map(|name| {
        let (old, new) = (before.get(name), after.get(name));
        let is_variable = IN_ACTION_IDS.contains(&name.as_str());
        let is_known = if is_variable {
            both_told
        } else {
            both_whole || OF_COMPILERS.contains(&name.as_str())
        };
        let needs_both = matches!(name.as_str(), "go" | "lang") || !is_known;
        if name == "argv" || old == new || needs_both && (old.is_none() || new.is_none()) {
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

/// Variables that only packages with sources in C are compiled with.
const OF_CGO: [&str; 10] = [
    "AR",
    "CC",
    "CGO_CFLAGS",
    "CGO_CPPFLAGS",
    "CGO_CXXFLAGS",
    "CGO_FFLAGS",
    "CGO_LDFLAGS",
    "CXX",
    "FC",
    "PKG_CONFIG",
];

/// What it means for this package that a setting differs.
pub(super) fn weight(difference: &Difference, how: &How) -> Weight {
    let Difference {
        name,
        before,
        after,
    } = difference;
    let has = |flag: &str| how.flags.contains(flag);
    let input = |is_input| {
        if is_input {
            Weight::Input
        } else {
            Weight::None
        }
    };
    match name.as_str() {
        // Of linkers, or of where sources are.
        "a" | "ldflags" | "mod" => Weight::None,
        "tags" | "overlay" | "CGO_ENABLED" => Weight::Files,
        "GOFLAGS" => input(words(before) != words(after)),
        "lang" => input(!how.is_standard && !how.is_pinned),
        "covermode" | "coverpkg" => input(has("cover")),
        "dwarf" => input(how.is_main || has(name)),
        "cover" | "gcflags" | "pgo" | "fuzz" | "shared" => input(has(name) || !before.is_empty()),
        name if OF_CGO.contains(&name) => input(how.is_cgo),
        _ => Weight::Input,
    }
}

/// Words of GOFLAGS that enter the actions of compilers; of a value that was too long, all of it.
fn words(flags: &str) -> Vec<&str> {
    const ASIDE: [&str; 9] = [
        "a",
        "json",
        "ldflags",
        "mod",
        "modcacherw",
        "n",
        "p",
        "v",
        "x",
    ];
    let words = flags.split_whitespace().filter(|word| {
        let name = word
            .trim_start_matches('-')
            .split('=')
            .next()
            .unwrap_or_default();
        !ASIDE.contains(&name)
    });
    words.collect()
}
