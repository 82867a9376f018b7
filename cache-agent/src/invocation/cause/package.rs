//! Why one package was compiled.

use std::collections::{BTreeMap, HashMap};

use super::{
    compare::{Difference, Weight, differences, weight},
    gone,
};
use crate::{
    go::module_path::of_directory,
    model::{
        built::Reason,
        compiled::{Compiled, Past, path_key},
        invocation::{Finished, Invocation},
    },
};

/// Imports followed to the one that everything began with.
const CHAIN_MAX: usize = 1_000;

/// What its package put out may differ from what it put out before.
fn changes_content(reason: &Reason) -> bool {
    let kind = reason.kind.as_str();
    matches!(
        kind,
        "source" | "dependency" | "directory" | "toolchain" | "unknown"
    ) || kind.starts_with("settings:") && kind != "settings:a"
}

/// Why a package was compiled.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// At least one; the first one counts.
    pub(super) reasons: Vec<Reason>,
    /// Id of the invocation that compiled it before.
    pub(super) against: Option<String>,
}

impl Found {
    fn of(reasons: Vec<Reason>, maker: Option<&Invocation>) -> Self {
        Self {
            reasons,
            against: maker.map(|maker| maker.id.clone()),
        }
    }
}

/// Reasons of all packages of an invocation.
#[derive(Debug)]
pub(super) struct Reasons<'a> {
    now: &'a Finished,
    past: &'a Past,
    by_path: HashMap<&'a str, Found>,
    nothing: Found,
}

impl<'a> Reasons<'a> {
    pub(super) fn of(now: &'a Finished, past: &'a Past) -> Self {
        let mut reasons = Self {
            now,
            past,
            by_path: HashMap::new(),
            nothing: Found::of(vec![Reason::new("unknown", "")], None),
        };
        for compiled in &now.compiled {
            reasons.find(compiled, 0);
        }
        reasons.follow_setting();
        reasons
    }

    /// A setting alone changed what the own packages are compiled with; what of the standard library was never
    /// compiled before is needed because of it (the runtime of coverage).
    fn follow_setting(&mut self) {
        let mut own = self.now.compiled.iter().filter(|one| !one.is_standard);
        let first = |one: &Compiled| self.of_package(&one.path).reasons.first().cloned();
        let Some(setting) = own.next().and_then(first) else {
            return;
        };
        let is_alone = own.all(|one| first(one).as_ref() == Some(&setting));
        if !is_alone || !setting.kind.starts_with("settings:") {
            return;
        }
        for one in self.now.compiled.iter().filter(|one| one.is_standard) {
            if let Some(found) = self.by_path.get_mut(one.path.as_str())
                && found
                    .reasons
                    .iter()
                    .all(|reason| reason.kind == "first_build")
            {
                found.reasons = vec![setting.clone()];
            }
        }
    }

    pub(super) fn of_package(&self, path: &str) -> &Found {
        self.by_path.get(path).unwrap_or(&self.nothing)
    }

    /// Follows imports first: what they were compiled for is known by then.
    fn find(&mut self, compiled: &'a Compiled, depth: usize) -> Vec<Reason> {
        if let Some(known) = self.by_path.get(compiled.path.as_str()) {
            return known.reasons.clone();
        }
        // Ends circles, which no compiler makes.
        self.by_path.insert(&compiled.path, self.nothing.clone());
        let found = self.found(compiled, depth);
        let reasons = found.reasons.clone();
        self.by_path.insert(&compiled.path, found);
        reasons
    }

    fn found(&mut self, compiled: &'a Compiled, depth: usize) -> Found {
        let now = &self.now.record;
        if let Some(maker) = self.before(compiled.action_key()) {
            let is_forced = now.fingerprint.contains_key("a");
            let forced = || Reason::new("settings:a", "\"\" -> \"true\"");
            let reason = if is_forced {
                forced()
            } else if compiled.is_rewritten {
                Reason::new("unreadable", "")
            } else {
                gone::reason(now, maker, self.past)
            };
            return Found::of(vec![reason], Some(maker));
        }
        let alike = self.before(compiled.variant_key());
        if let Some(maker) = alike.or_else(|| self.before(compiled.place_key())) {
            return Found::of(self.input(compiled, maker, depth), Some(maker));
        }
        match self.before(compiled.path_key()) {
            Some(maker) => Found::of(self.elsewhere(compiled, maker, depth), Some(maker)),
            None => self.never_seen(compiled, depth),
        }
    }

    /// Who made this last, if that was over when this invocation began.
    fn before(&self, key: i64) -> Option<&'a Invocation> {
        let maker = self.past.maker(key)?;
        let is_over = gone::end_ms(maker) <= self.now.record.start_ms.saturating_add(1);
        is_over.then_some(maker)
    }

    /// It was compiled before, but not from this directory.
    fn elsewhere(
        &mut self,
        compiled: &'a Compiled,
        maker: &'a Invocation,
        depth: usize,
    ) -> Vec<Reason> {
        let now = &self.now.record;
        let Compiled {
            path,
            directory,
            flags,
            ..
        } = compiled;
        if let Some(version) = version_in(path, directory) {
            return vec![Reason::new("dependency", &version)];
        }
        if directory.contains("/vendor/")
            || maker.fingerprint.get("mod") != now.fingerprint.get("mod")
        {
            let value =
                |record: &Invocation| record.fingerprint.get("mod").cloned().unwrap_or_default();
            let (before, after) = (value(maker), value(now));
            return vec![Reason::new(
                "settings:mod",
                &format!("\"{before}\" -> \"{after}\""),
            )];
        }
        // Its first source may lie elsewhere.
        let overlaid = differences(&maker.fingerprint, &now.fingerprint);
        if let Some(overlay) = overlaid.iter().find(|one| one.name == "overlay") {
            return vec![overlay.reason()];
        }
        // Such names are anybody's: two projects called app are two.
        if !has_domain(path) {
            return vec![Reason::new("first_build", "")];
        }
        if flags.contains_key("trimpath") && maker.fingerprint.contains_key("trimpath") {
            return self.input(compiled, maker, depth);
        }
        let before = if maker.cwd == now.cwd {
            "another directory"
        } else {
            &maker.cwd
        };
        vec![Reason::new(
            "directory",
            &format!(
                "{before} -> {}",
                if maker.cwd == now.cwd {
                    directory
                } else {
                    &now.cwd
                }
            ),
        )]
    }

    /// The first input that differs from those of `maker`, who compiled the same package.
    fn input(
        &mut self,
        compiled: &'a Compiled,
        maker: &'a Invocation,
        depth: usize,
    ) -> Vec<Reason> {
        let now = &self.now.record;
        let is_same_module = maker.module == now.module;
        let mut all = differences(&maker.fingerprint, &now.fingerprint);
        // Each module has its own language version.
        all.retain(|one| one.name != "lang" || is_same_module);
        all.sort_by_key(|one| !one.is_set());
        let how = compiled.how();
        let of = |wanted| -> Vec<Reason> {
            let fitting = all.iter().filter(|one| weight(one, &how) == wanted);
            fitting.map(Difference::reason).collect()
        };
        let certain = of(Weight::Input);
        if !certain.is_empty() {
            return certain;
        }
        if let Some(dragged) = self.imported(compiled, maker, depth) {
            return dragged;
        }
        let possible = of(Weight::Files);
        if !possible.is_empty() {
            return possible;
        }
        if let Some(other) = self.other_interfaces(compiled) {
            return vec![other];
        }
        vec![self.by_elimination(compiled, maker)]
    }

    /// It was never compiled against packages that export this: one of those that the cache had is another.
    fn other_interfaces(&self, compiled: &Compiled) -> Option<Reason> {
        let seen = &self.past.seen;
        let is_known = seen.contains_key(&compiled.known_interfaces_key());
        let is_other = |key: i64| !seen.contains_key(&key);
        if !is_known || !compiled.interfaces_key().is_some_and(is_other) {
            return None;
        }
        let imports = compiled.imports.iter().flatten();
        let imports = imports.map(|import| import.path.as_str());
        let local: Vec<&str> = imports.filter(|path| has_domain(path)).collect();
        (!local.is_empty()).then(|| Reason::new("dependency", &local.join(" or ")))
    }

    /// Nobody was seen to compile it. If its module was built in another way, by somebody who found it in the
    /// cache, that way is the reason.
    fn never_seen(&mut self, compiled: &'a Compiled, depth: usize) -> Found {
        let first = || Found::of(vec![Reason::new("first_build", "")], None);
        let (now, past) = (&self.now.record, self.past);
        let mut earlier = past.earlier.iter().map(|one| &one.record).rev();
        let is_alike = |one: &Invocation| {
            one.module == now.module && one.cwd == now.cwd && one.tool == now.tool
        };
        let maker = earlier.find(|one| !now.module.is_empty() && is_alike(one));
        let Some(maker) = maker else {
            return first();
        };
        let has =
            |name: &str| !matches!(name, "lang" | "dwarf") && compiled.flags.contains_key(name);
        let differing = differences(&maker.fingerprint, &now.fingerprint);
        let mut set = differing
            .iter()
            .filter(|one| has(&one.name) && one.is_set());
        if let Some(one) = set.next() {
            return Found::of(vec![one.reason()], Some(maker));
        }
        let dragged = self.imported(compiled, maker, depth);
        let is_setting =
            |told: &Vec<Reason>| told.iter().any(|one| one.kind.starts_with("settings:"));
        let dragged = dragged.filter(is_setting);
        dragged.map_or_else(first, |reasons| Found::of(reasons, Some(maker)))
    }

    /// No setting differs, and no import that can be seen.
    fn by_elimination(&self, compiled: &Compiled, maker: &Invocation) -> Reason {
        let now = &self.now.record;
        let is_set = |name: &str| now.fingerprint.contains_key(name);
        let ran_cgo = self
            .now
            .compiled
            .iter()
            .any(|one| one.path == "runtime/cgo");
        if compiled.imports.is_none() && compiled.is_kept {
            return Reason::new("unknown", "what it imports could not be read");
        }
        if compiled.is_cgo && ran_cgo {
            let compiler = now.fingerprint.get("CC").map_or("", String::as_str);
            return Reason::new(
                "toolchain",
                &format!("the C compiler behind CC={compiler}, or what it includes"),
            );
        }
        if compiled.is_standard && is_set("toolexec") {
            return Reason::new(
                "unknown",
                "the program of -toolexec may call itself another version",
            );
        }
        if is_set("argv") || maker.fingerprint.contains_key("argv") {
            return Reason::new(
                "unknown",
                "nothing differs in what was kept of a long command line",
            );
        }
        if compiled.how().is_pinned {
            return Reason::new("unknown", "the source of a version does not change");
        }
        Reason::new("source", "")
    }

    /// An import changed, in this invocation or since `maker`.
    fn imported(
        &mut self,
        compiled: &'a Compiled,
        maker: &'a Invocation,
        depth: usize,
    ) -> Option<Vec<Reason>> {
        let imports = compiled.imports.as_ref().filter(|_| depth < CHAIN_MAX)?;
        let variant = compiled
            .path
            .split_once(' ')
            .map_or("", |(_, variant)| variant);
        let mut dragged: BTreeMap<String, Vec<Reason>> = BTreeMap::new();
        for path in imports.iter().map(|import| &import.path) {
            let now = self.now;
            let own = format!("{path} {variant}");
            let mut all = now.compiled.iter();
            let import = all
                .find(|one| one.path == own)
                .or_else(|| now.compiled.iter().find(|one| one.path == *path));
            let Some(import) = import.filter(|import| import.path != compiled.path) else {
                if self.changed_since(compiled, path, maker) {
                    dragged.insert(path.clone(), vec![Reason::new("dependency", path)]);
                }
                continue;
            };
            let reasons = self.find(import, depth + 1);
            if reasons.first().is_some_and(changes_content) {
                let told = reasons.iter().map(|reason| match reason.kind.as_str() {
                    "source" => Reason::new("dependency", &import.path),
                    _ => reason.clone(),
                });
                dragged.insert(import.path.clone(), told.collect());
            }
        }
        dragged.into_values().next()
    }

    /// Another invocation compiled it since, for a reason that changes what it put out, with today's settings.
    fn changed_since(&self, compiled: &Compiled, path: &str, maker: &Invocation) -> bool {
        let Some(other) = self.before(path_key(compiled.cache, path)) else {
            return false;
        };
        let differing = differences(&other.fingerprint, &self.now.record.fingerprint);
        let how = compiled.how();
        let is_alike = differing
            .iter()
            .all(|one| weight(one, &how) == Weight::None);
        let mut causes = other.cause.iter();
        let has_changed = causes.any(|cause| changes_content(&Reason::new(&cause.kind, "")));
        other.start_ms > maker.start_ms && is_alike && has_changed
    }
}

/// An import path that begins with a domain, as none of the standard library does.
fn has_domain(path: &str) -> bool {
    path.split('/').next().unwrap_or_default().contains('.')
}

/// `module@version` in a module cache; of one that replaces another, whatever the directory has of it.
fn version_in(path: &str, directory: &str) -> Option<String> {
    if let Some((module, version)) = of_directory(path, directory) {
        return Some(format!("{module}@{version}"));
    }
    let (_, replacing) = directory.split_once("/pkg/mod/").unzip();
    let versioned = || directory.contains("@v").then_some(directory);
    replacing.or_else(versioned).map(str::to_owned)
}
