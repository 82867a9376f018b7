//! What a reload changes, by section: for the log, and for who must act on it.

use std::fmt;

use super::{Config, roots, section::Keys};

/// The difference of two configurations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// `[[root]]`
    pub roots: roots::Difference,
    /// The HTTP server.
    pub server: Keys,
    /// Discovery of caches.
    pub discovery: Keys,
    /// Comparison with the disk.
    pub reconcile: Keys,
    /// What outlives the agent.
    pub state: Keys,
    /// `[history]`
    pub history: Keys,
    /// The self-test.
    pub self_test: Keys,
    /// `[maps]`
    pub kernel_maps: Keys,
    /// `[invocations]`
    pub invocations: Keys,
    /// `[discovered]`
    pub discovered: Keys,
}

impl Difference {
    /// From the configuration in use to the one just read.
    pub fn between(old: &Config, new: &Config) -> Self {
        let Config {
            server,
            discovery,
            reconcile,
            state,
            self_test,
            history,
            kernel_maps,
            invocations,
            discovered,
            roots,
        } = new;
        Self {
            roots: roots::Difference::between(&old.roots, roots),
            server: old.server.difference(server),
            discovery: old.discovery.difference(discovery),
            reconcile: old.reconcile.difference(reconcile),
            state: old.state.difference(state),
            history: old.history.difference(history),
            self_test: old.self_test.difference(self_test),
            kernel_maps: old.kernel_maps.difference(kernel_maps),
            invocations: old.invocations.difference(invocations),
            discovered: old.discovered.difference(discovered),
        }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something takes effect at the next start only.
    pub fn needs_restart(&self) -> bool {
        self.sections().iter().any(|keys| keys.needs_restart())
    }

    /// In the order of the sentence.
    fn sections(&self) -> [&Keys; 9] {
        let Self {
            roots: _,
            server,
            discovery,
            reconcile,
            state,
            history,
            self_test,
            kernel_maps,
            invocations,
            discovered,
        } = self;
        [
            server,
            discovery,
            reconcile,
            state,
            history,
            self_test,
            kernel_maps,
            invocations,
            discovered,
        ]
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |keys: &Keys| keys.names().to_vec();
        let sections = self.sections().into_iter();
        let waiting = sections.clone().filter(|keys| keys.needs_restart());
        let changed = sections.flat_map(names);
        let waiting = waiting.flat_map(names);
        let roots = self.roots.sentences();
        let parts: Vec<String> = roots
            .chain(changed.map(|key| format!("{key} changed")))
            .chain(waiting.map(|key| format!("{key} takes effect after a restart")))
            .collect();
        if parts.is_empty() {
            return formatter.write_str("nothing changed");
        }
        formatter.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
