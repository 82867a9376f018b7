//! What a reload changes: for the log, and for who must act on it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::checked::{Config, RootConfig};

/// The difference of two configurations; roots are the same when their path is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// Roots to take up.
    pub added: Vec<RootConfig>,
    /// Paths of roots to let go.
    pub removed: Vec<PathBuf>,
    /// Roots that stay with other settings.
    pub changed: Vec<ChangedRoot>,
    /// Keys of the top level whose value differs.
    pub keys: Vec<&'static str>,
    /// Those among them that take effect at the next start.
    pub needs_restart: Vec<&'static str>,
}

/// A root whose settings differ.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangedRoot {
    /// Its new settings.
    pub root: RootConfig,
    /// Keys whose value differs.
    pub keys: Vec<&'static str>,
}

impl Difference {
    /// From the configuration in use to the one just read.
    pub fn between(old: &Config, new: &Config) -> Self {
        let Config {
            listen,
            discover,
            walk_interval,
            state_dir,
            history,
            canary_interval,
            maps,
            following,
            discovered,
            roots,
        } = new;
        Self {
            added: roots
                .iter()
                .filter(|root| find(&old.roots, &root.path).is_none())
                .cloned()
                .collect(),
            removed: old
                .roots
                .iter()
                .map(|root| root.path.clone())
                .filter(|path| find(roots, path).is_none())
                .collect(),
            changed: roots
                .iter()
                .filter_map(|root| changed(find(&old.roots, &root.path)?, root))
                .collect(),
            keys: differing([
                ("listen", old.listen == *listen),
                ("discover", old.discover == *discover),
                ("walk_interval", old.walk_interval == *walk_interval),
                ("state_dir", old.state_dir == *state_dir),
                ("history", old.history == *history),
                ("canary_interval", old.canary_interval == *canary_interval),
                ("maps", old.maps == *maps),
                ("invocations", old.following == *following),
                ("discovered", old.discovered == *discovered),
            ]),
            needs_restart: differing([
                ("listen", old.listen == *listen),
                ("maps", old.maps == *maps),
            ]),
        }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            added,
            removed,
            changed,
            keys,
            needs_restart,
        } = self;
        let mut parts: Vec<String> = Vec::new();
        parts.extend(added.iter().map(|root| format!("root {} added", root.name)));
        parts.extend(
            removed
                .iter()
                .map(|path| format!("root {} removed", path.display())),
        );
        parts.extend(changed.iter().map(|change| {
            format!(
                "root {} changed: {}",
                change.root.name,
                change.keys.join(", ")
            )
        }));
        parts.extend(keys.iter().map(|key| format!("{key} changed")));
        parts.extend(
            needs_restart
                .iter()
                .map(|key| format!("{key} takes effect after a restart")),
        );
        if parts.is_empty() {
            parts.push("nothing changed".to_owned());
        }
        formatter.write_str(&parts.join("; "))
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
    let keys = differing([
        ("name", old.name == *name),
        ("kind", old.kind == *kind),
        ("warn", old.thresholds.warn == thresholds.warn),
        (
            "free_space",
            old.thresholds.free_space == thresholds.free_space,
        ),
        (
            "free_inodes",
            old.thresholds.free_inodes == thresholds.free_inodes,
        ),
    ]);
    if keys.is_empty() {
        None
    } else {
        Some(ChangedRoot {
            root: new.clone(),
            keys,
        })
    }
}

fn differing<const N: usize>(comparisons: [(&'static str, bool); N]) -> Vec<&'static str> {
    comparisons
        .into_iter()
        .filter(|(_, equal)| !equal)
        .map(|(key, _)| key)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn check(old: &str, new: &str, expected: &str) {
        let read = |text| parse(text, Path::new("f")).unwrap();
        let difference = Difference::between(&read(old), &read(new));
        assert_eq!(difference.to_string(), expected);
        assert_eq!(difference.is_empty(), expected == "nothing changed");
    }

    #[test]
    fn differences_read_as_sentences() {
        let root = "[[root]]\npath = \"/a\"\nname = \"a\"\n";
        check("", "", "nothing changed");
        check(root, root, "nothing changed");
        check("", "walk_interval = \"2h\"", "walk_interval changed");
        check(
            "",
            "listen = \"0.0.0.0:1\"",
            "listen changed; listen takes effect after a restart",
        );
        check("", "canary_interval = \"off\"", "canary_interval changed");
        check(
            "",
            "[maps]\nfiles = 7",
            "maps changed; maps takes effect after a restart",
        );
        check("", "[discovered]\nwarn = 1", "discovered changed");
        check(
            "",
            "state_dir = \"/x\"\n[history]\nmax_age = \"1d\"",
            "state_dir changed; history changed",
        );
        check("", root, "root a added; discover changed");
        check(root, "", "root /a removed; discover changed");
        check(
            root,
            &format!("{root}warn = 5\nkind = \"other\"\n"),
            "root a changed: kind, warn",
        );
        check(
            root,
            "[[root]]\npath = \"/a/\"\nname = \"b\"\n",
            "root b changed: name",
        );
        check(
            root,
            "[[root]]\npath = \"/b\"\nname = \"a\"\n",
            "root a added; root /a removed",
        );
    }
}
