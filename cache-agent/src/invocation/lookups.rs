//! Hits and misses of an invocation: compile and link actions, not files.
//!
//! Pure: what the kernel side counted and which children ran, in; figures out.

/// What is known of the look-ups of one invocation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Entries of any kind that were opened and found.
    pub(super) found: u64,
    /// Entries of any kind that were created.
    pub(super) created: u64,
    /// Compilers and linkers that ran for a package.
    pub(super) ran: u64,
    /// Everything was to be built, whatever the cache has: `-a`.
    pub(super) is_forced: bool,
    /// Actions are kept in another place than a watched cache.
    pub(super) is_elsewhere: bool,
}

/// Entries that go opens for one action that it finds: its output, and what the compiler said.
const ENTRIES_OF_A_HIT: u64 = 2;

impl Seen {
    /// Hits and misses; none of either where the cache that was asked is not watched.
    pub(super) fn hits_and_misses(&self) -> (u64, u64) {
        let is_silent = self.found == 0 && self.created == 0;
        if self.is_elsewhere && is_silent {
            return (0, 0);
        }
        // Indexes of directories are looked up even then.
        let found = if self.is_forced { 0 } else { self.found };
        (found / ENTRIES_OF_A_HIT, self.ran)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_miss_is_an_action_that_ran() {
        let warm = Seen {
            found: 8,
            ..Seen::default()
        };
        let cold = Seen {
            created: 30,
            ran: 6,
            ..Seen::default()
        };
        let read_only = Seen {
            found: 4,
            ran: 6,
            ..Seen::default()
        };
        let forced = Seen {
            found: 4,
            created: 8,
            ran: 4,
            is_forced: true,
            ..Seen::default()
        };
        let full = Seen {
            ran: 6,
            ..Seen::default()
        };
        for (seen, expected) in [
            (warm, (4, 0)),
            (cold, (0, 6)),
            (read_only, (2, 6)),
            (forced, (0, 4)),
            (full, (0, 6)),
        ] {
            assert_eq!(seen.hits_and_misses(), expected, "{seen:?}");
        }
    }

    #[test]
    fn of_a_cache_that_is_not_watched_nothing_is_known() {
        let helper = Seen {
            ran: 6,
            is_elsewhere: true,
            ..Seen::default()
        };
        assert_eq!(helper.hits_and_misses(), (0, 0));
        // Its name is another, but it is watched.
        let linked = Seen { found: 2, ..helper };
        assert_eq!(linked.hits_and_misses(), (1, 6));
    }
}
