//! The roots named by their owner: `[[root]]`, and `--root`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{
    error::{ConfigError, Place},
    limits::{RawThresholds, Thresholds},
    section::{Keys, Reader},
    values::{Ratio, Size, check_directory},
};
use crate::model::{
    root::{RootKind, UnknownKind},
    root_name::{self, Names},
};

/// One `[[root]]`; serde cannot flatten a table that refuses unknown keys, so it repeats [`RawThresholds`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoot {
    name: Option<Spanned<String>>,
    path: Spanned<String>,
    kind: Option<Spanned<String>>,
    warn: Option<Spanned<Size>>,
    free_space: Option<Spanned<Ratio>>,
    free_inodes: Option<Spanned<Ratio>>,
}

/// One root named by its owner.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RootConfig {
    /// Unique; the metric label.
    pub name: String,
    /// Unique and absolute; may not exist yet.
    pub path: PathBuf,
    /// Recognised by its content when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<RootKind>,
    /// When to tell.
    #[serde(flatten)]
    pub thresholds: Thresholds,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("`{0}` must have 1 to 64 characters, each a letter, a digit or one of _ . : / -")]
    NameShape(String),
    #[error("`{0}` is reserved for the roots that metrics fold together; choose another name")]
    NameReserved(String),
    #[error("another root is named `{0}` already; names must be unique")]
    NameTaken(String),
    #[error("another root has the path {} already; paths must be unique", .0.display())]
    PathTaken(PathBuf),
    #[error("`{0}` must be one of gobuild, gomod, other")]
    Kind(String),
}

/// The roots as they are written, each with the reader of its fragment.
pub(super) fn check(written: Vec<(RawRoot, Reader<'_>)>) -> Result<Vec<RootConfig>, ConfigError> {
    // Written names are taken first, so that a derived one never pushes one of them aside.
    let mut names = Names::default();
    for (raw, reader) in &written {
        let take = |name| take_name(name, &mut names);
        reader.read("name", raw.name.clone(), take)?;
    }
    let mut roots = Vec::with_capacity(written.len());
    for (raw, reader) in written {
        let root = check_root(raw, reader, &roots, &mut names)?;
        roots.push(root);
    }
    Ok(roots)
}

/// Roots named by nothing but their paths.
pub(super) fn of_paths(paths: &[PathBuf]) -> Result<Vec<RootConfig>, ConfigError> {
    let mut names = Names::default();
    let mut roots = Vec::with_capacity(paths.len());
    for path in paths {
        let path = check_path(path.clone(), &roots).map_err(|problem| ConfigError::Value {
            key: "--root",
            place: Place::CommandLine,
            problem,
        })?;
        roots.push(RootConfig {
            name: names.derive(&default_name(&path)),
            path,
            kind: None,
            thresholds: Thresholds::default(),
        });
    }
    Ok(roots)
}

fn check_root(
    raw: RawRoot,
    reader: Reader<'_>,
    earlier: &[RootConfig],
    names: &mut Names,
) -> Result<RootConfig, ConfigError> {
    let RawRoot {
        name,
        path,
        kind,
        warn,
        free_space,
        free_inodes,
    } = raw;
    let path = reader.require("path", path, |text| check_path(text.into(), earlier))?;
    let thresholds = RawThresholds {
        warn,
        free_space,
        free_inodes,
    };
    Ok(RootConfig {
        name: name.map_or_else(|| names.derive(&default_name(&path)), Spanned::into_inner),
        path,
        kind: reader.read("kind", kind, |text| {
            text.parse()
                .map_err(|UnknownKind(kind)| Problem::Kind(kind))
        })?,
        thresholds: Thresholds::default().check(thresholds, reader)?,
    })
}

fn take_name(text: String, names: &mut Names) -> Result<(), Problem> {
    if !root_name::is_well_formed(&text) {
        return Err(Problem::NameShape(text));
    }
    if text == root_name::FOLDED_NAME {
        return Err(Problem::NameReserved(text));
    }
    if names.take(&text) {
        Ok(())
    } else {
        Err(Problem::NameTaken(text))
    }
}

fn check_path(path: PathBuf, earlier: &[RootConfig]) -> Result<PathBuf, super::error::Problem> {
    check_directory(&path)?;
    // Paths compare by component, so that a trailing slash makes no difference.
    match find(earlier, &path) {
        Some(root) => Err(Problem::PathTaken(root.path.clone()).into()),
        None => Ok(path),
    }
}

fn default_name(path: &Path) -> String {
    path.file_name().map_or_else(
        || "/".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// What differs between two lists of roots; roots are the same when their path is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// Roots to take up.
    pub added: Vec<RootConfig>,
    /// Paths of roots to let go.
    pub removed: Vec<PathBuf>,
    /// Roots that stay with other settings.
    pub changed: Vec<ChangedRoot>,
}

/// A root whose settings differ.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangedRoot {
    /// Its new settings.
    pub root: RootConfig,
    /// What differs.
    pub keys: Vec<&'static str>,
}

impl Difference {
    pub(super) fn between(old: &[RootConfig], new: &[RootConfig]) -> Self {
        let added = new.iter().filter(|root| find(old, &root.path).is_none());
        let removed = old.iter().map(|root| &root.path);
        let changed = |root: &RootConfig| changed(find(old, &root.path)?, root);
        Self {
            added: added.cloned().collect(),
            removed: removed
                .filter(|path| find(new, path).is_none())
                .cloned()
                .collect(),
            changed: new.iter().filter_map(changed).collect(),
        }
    }

    /// One sentence for each root.
    pub(super) fn sentences(&self) -> impl Iterator<Item = String> {
        let added = self.added.iter();
        let added = added.map(|root| format!("root {} added", root.name));
        let removed = self.removed.iter();
        let removed = removed.map(|path| format!("root {} removed", path.display()));
        let changed = self.changed.iter().map(|ChangedRoot { root, keys }| {
            format!("root {} changed: {}", root.name, keys.join(", "))
        });
        added.chain(removed).chain(changed)
    }
}

fn find<'a>(roots: &'a [RootConfig], path: &Path) -> Option<&'a RootConfig> {
    roots.iter().find(|root| root.path == path)
}

fn changed(old: &RootConfig, new: &RootConfig) -> Option<ChangedRoot> {
    let RootConfig {
        name,
        path: _,
        kind,
        thresholds,
    } = new;
    let own = Keys::differing([("name", old.name == *name), ("kind", old.kind == *kind)]);
    let keys = [own, old.thresholds.differing(*thresholds)];
    let keys: Vec<_> = keys.iter().flat_map(Keys::names).copied().collect();
    (!keys.is_empty()).then(|| ChangedRoot {
        root: new.clone(),
        keys,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::config::parse;

    #[test]
    fn every_key_arrives() {
        let text = "[[root]]\nname = \"ci\"\npath = \"/srv/ci/go-build\"\nkind = \"gobuild\"\n\
                    warn = \"8GiB\"\nfree_space = \"5%\"\nfree_inodes = 0.1\n";
        let read = parse(text, Path::new("f")).unwrap().roots;
        let expected = [RootConfig {
            name: "ci".to_owned(),
            path: "/srv/ci/go-build".into(),
            kind: Some(RootKind::GoBuild),
            thresholds: Thresholds {
                warn: Some(8 << 30),
                free_space: Some(0.05),
                free_inodes: Some(0.1),
            },
        }];
        assert_eq!(read, expected);
        let shown = json!([{
            "name": "ci", "path": "/srv/ci/go-build", "kind": "gobuild",
            "warn": 8_589_934_592_u64, "free_space": 0.05, "free_inodes": 0.1,
        }]);
        assert_eq!(serde_json::to_value(read).unwrap(), shown);
    }

    #[test]
    fn absent_names_come_from_the_path() {
        let read = parse(
            "[[root]]\npath = \"/a/x\"\n[[root]]\npath = \"/b/x\"\n[[root]]\npath = \"/\"\n[[root]]\nname = \"x\"\npath = \"/c\"",
            Path::new("f"),
        );
        let names: Vec<String> = read
            .unwrap()
            .roots
            .into_iter()
            .map(|root| root.name)
            .collect();
        assert_eq!(names, ["x-2", "x-3", "/", "x"]);
    }
}
