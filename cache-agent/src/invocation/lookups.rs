//! Hits and misses of an invocation: compile and link actions, not files.
//!
//! The kernel side names each entry that was found, the ledger each that was made; what an entry names says what it
//! is of. The actions that ran are known by their children.

use std::collections::HashMap;

use super::package::Packages;
use crate::{
    go::action_id::{Id, Prefix, prefix_of},
    sys::file_id::FileId,
};

/// Entries remembered of all invocations under way; of one that has more, nothing is told.
pub(super) const ENTRIES_MAX: usize = 262_144;

/// What an entry of a build cache is of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A package that was compiled, or a program that was linked.
    Action,
    /// An index of a package directory.
    Index,
    /// A test that ran.
    Test,
    /// What is kept beside an action, or a finding of vet.
    Other,
}

/// What caches tell of their files.
pub trait Entries {
    /// Beginning of a file below a root.
    fn read(&self, root: u32, path: &[u8]) -> Option<Vec<u8>>;

    /// Device and inode of a root; of none, those of the only cache that there can be.
    fn identity(&self, root: Option<u32>) -> FileId;

    /// What the entry of this action is of; `None` where it cannot be read any more.
    fn kind(&self, root: u32, action: &Id) -> Option<Kind>;

    /// The action that begins like this and has an entry, and the id of its output.
    fn find(&self, root: u32, action: &Prefix) -> Option<(Id, Id)>;

    /// True where no look-up in this root can have been missed since this moment: in nanoseconds since boot,
    /// and in milliseconds since the epoch.
    fn is_known_since(&self, root: u32, start_ns: u64, start_ms: i64) -> bool;
}

/// Entries of one invocation.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    /// Those that were found or made, by root; true where the invocation made it.
    entries: HashMap<(u32, Id), bool>,
    /// Look-ups that found their entry, of which the name was told.
    named: u64,
}

/// Look-ups by what they were for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Figures {
    pub(super) hits: u64,
    pub(super) indexes: u64,
    pub(super) tests: u64,
    pub(super) others: u64,
}

impl Lookups {
    /// An entry was found; how many more are remembered.
    pub(super) fn found(&mut self, root: u32, action: Id) -> usize {
        let before = self.len();
        self.named += 1;
        self.entries.entry((root, action)).or_insert(false);
        self.len() - before
    }

    /// An entry was made; how many more are remembered.
    pub(super) fn made(&mut self, root: u32, action: Id) -> usize {
        let before = self.len();
        self.entries.insert((root, action), true);
        self.len() - before
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All of them by what they were for; `None` where not all are known. `found` look-ups were counted.
    pub(super) fn figures(
        &self,
        found: u64,
        packages: &Packages,
        cache: &dyn Entries,
    ) -> Option<Figures> {
        if self.named != found {
            return None;
        }
        let mut figures = Figures::default();
        for ((root, action), is_made) in &self.entries {
            let has_run = *is_made || packages.has_run(&prefix_of(action));
            match cache.kind(*root, action)? {
                // Counted by its child.
                Kind::Action if has_run => {}
                Kind::Action => figures.hits += 1,
                Kind::Index => figures.indexes += 1,
                Kind::Test => figures.tests += 1,
                Kind::Other => figures.others += 1,
            }
        }
        Some(figures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every entry is of what its id begins with.
    struct Cache;

    impl Entries for Cache {
        fn read(&self, _: u32, _: &[u8]) -> Option<Vec<u8>> {
            None
        }

        fn identity(&self, _: Option<u32>) -> FileId {
            (0, 0)
        }

        fn kind(&self, _: u32, action: &Id) -> Option<Kind> {
            match action[0] {
                b'a' => Some(Kind::Action),
                b'i' => Some(Kind::Index),
                b't' => Some(Kind::Test),
                b'o' => Some(Kind::Other),
                _ => None,
            }
        }

        fn find(&self, _: u32, _: &Prefix) -> Option<(Id, Id)> {
            None
        }

        fn is_known_since(&self, _: u32, _: u64, _: i64) -> bool {
            true
        }
    }

    fn id(kind: u8, number: u8) -> Id {
        let mut id = [0; 32];
        (id[0], id[1]) = (kind, number);
        id
    }

    #[test]
    fn an_action_is_one_hit_however_often_it_is_looked_up() {
        let mut lookups = Lookups::default();
        for (kind, number) in [
            (b'a', 1),
            (b'a', 1),
            (b'a', 2),
            (b'i', 1),
            (b't', 1),
            (b'o', 1),
        ] {
            lookups.found(0, id(kind, number));
        }
        // Of its own, and looked up afterwards.
        lookups.made(0, id(b'a', 3));
        lookups.found(0, id(b'a', 3));
        lookups.made(0, id(b'i', 2));
        let figures = lookups.figures(7, &Packages::default(), &Cache);
        let expected = Figures {
            hits: 2,
            indexes: 2,
            tests: 1,
            others: 1,
        };
        assert_eq!(figures, Some(expected));
    }

    #[test]
    fn what_is_not_known_whole_is_not_known() {
        let mut lookups = Lookups::default();
        lookups.found(0, id(b'a', 1));
        // One more was counted than told.
        assert_eq!(lookups.figures(2, &Packages::default(), &Cache), None);
        lookups.found(0, id(b'x', 1));
        // One went before it was read.
        assert_eq!(lookups.figures(2, &Packages::default(), &Cache), None);
    }
}
