//! Old records go: by age, and by the size of the file. In small steps, each a transaction of its own.

use rusqlite::{Connection, TransactionBehavior};

use super::{Settings, Store, StoreError, record::MS_PER_MINUTE};

/// Invocations removed in one step; each may have hundreds of packages.
const INVOCATIONS: i64 = 200;
/// Rows of the small tables removed in one step.
const ROWS: i64 = 5_000;
/// Free pages given back in one step: 4 MiB.
const PAGES: i64 = 1024;
/// Share of the size that is allowed, in percent; the rest is for the write-ahead log.
const FILL_PERCENT: u64 = 95;

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// Everything is within its bounds.
    Done,
    /// Call again, soon.
    More,
}

impl Store {
    /// Removes some of what is too old or too much.
    ///
    /// `now_ms` is in milliseconds since the Unix epoch.
    pub fn retain(&mut self, settings: &Settings, now_ms: i64) -> Result<Progress, StoreError> {
        let age = i64::try_from(settings.max_age.as_millis()).unwrap_or(i64::MAX);
        if self.remove_before(now_ms.saturating_sub(age))? {
            return Ok(Progress::More);
        }
        let allowed = settings.max_size / 100 * FILL_PERCENT;
        let room = Room::of(&self.connection)?;
        if room.used_bytes() > allowed
            && let Some(cutoff) = self.next_cutoff()?
        {
            self.remove_before(cutoff)?;
            return Ok(Progress::More);
        }
        if room.file_bytes() > allowed && room.free_pages > 0 {
            self.give_back()?;
            return Ok(Progress::More);
        }
        Ok(Progress::Done)
    }

    /// Removes a bounded number of records from before a time; true if there were any.
    fn remove_before(&mut self, cutoff_ms: i64) -> Result<bool, StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let removed = [
            (REMOVE_INVOCATIONS, cutoff_ms, INVOCATIONS),
            (REMOVE_ROOT_SIZES, cutoff_ms.div_euclid(MS_PER_MINUTE), ROWS),
            (REMOVE_CROSSINGS, cutoff_ms, ROWS),
        ]
        .into_iter()
        .map(|(sql, cutoff, rows)| transaction.prepare_cached(sql)?.execute([cutoff, rows]))
        .sum::<rusqlite::Result<usize>>()?;
        if removed > 0 {
            transaction.execute(REMOVE_ROOTS, [])?;
            transaction.execute(REMOVE_ROOT_PATHS, [])?;
            transaction.execute(REMOVE_COMPILED, [])?;
        }
        transaction.commit()?;
        Ok(removed > 0)
    }

    /// A time that takes the oldest records of all tables with it, a step's worth at most.
    fn next_cutoff(&self) -> Result<Option<i64>, StoreError> {
        let cutoffs = [
            (NEXT_INVOCATIONS, INVOCATIONS, 1),
            (NEXT_ROOT_SIZES, ROWS, MS_PER_MINUTE),
            (NEXT_CROSSINGS, ROWS, 1),
        ];
        let mut earliest: Option<i64> = None;
        for (sql, rows, unit_ms) in cutoffs {
            let last: Option<i64> = self.connection.query_row(sql, [rows], |row| row.get(0))?;
            // That one included.
            let cutoff = last.map(|last| last.saturating_add(1).saturating_mul(unit_ms));
            earliest = [earliest, cutoff].into_iter().flatten().min();
        }
        Ok(earliest)
    }

    fn give_back(&self) -> Result<(), StoreError> {
        // A page is given back with each row that this statement gives.
        let mut statement = self
            .connection
            .prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
    }
}

const REMOVE_INVOCATIONS: &str = "\
    DELETE FROM invocation WHERE key IN
        (SELECT key FROM invocation WHERE start_ms < ?1 ORDER BY start_ms LIMIT ?2)";
const REMOVE_ROOT_SIZES: &str = "\
    DELETE FROM root_size WHERE (root, minute) IN
        (SELECT root, minute FROM root_size WHERE minute < ?1 ORDER BY minute LIMIT ?2)";
const REMOVE_CROSSINGS: &str = "\
    DELETE FROM crossing WHERE key IN
        (SELECT key FROM crossing WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?2)";
/// What invocations compiled that are forgotten: keys of rows only grow, so that those before the first are.
const REMOVE_COMPILED: &str = "\
    DELETE FROM compiled WHERE invocation < coalesce((SELECT min(key) FROM invocation), 9223372036854775807)";
/// Roots of which nothing is told any more.
const REMOVE_ROOTS: &str = "\
    DELETE FROM root WHERE NOT EXISTS (SELECT 1 FROM root_size WHERE root = root.key)
        AND NOT EXISTS (SELECT 1 FROM crossing WHERE root = root.key)";
const REMOVE_ROOT_PATHS: &str = "\
    DELETE FROM root_path WHERE NOT EXISTS (SELECT 1 FROM touched WHERE root_path = root_path.key)";

const NEXT_INVOCATIONS: &str = "\
    SELECT max(start_ms) FROM (SELECT start_ms FROM invocation ORDER BY start_ms LIMIT ?1)";
const NEXT_ROOT_SIZES: &str = "\
    SELECT max(minute) FROM (SELECT minute FROM root_size ORDER BY minute LIMIT ?1)";
const NEXT_CROSSINGS: &str =
    "SELECT max(at_ms) FROM (SELECT at_ms FROM crossing ORDER BY at_ms LIMIT ?1)";

/// Pages of the file.
#[derive(Clone, Copy, Debug)]
struct Room {
    page_bytes: u64,
    pages: u64,
    free_pages: u64,
}

impl Room {
    fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let read = |pragma| {
            connection.pragma_query_value(None, pragma, |row| {
                Ok(u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0))
            })
        };
        Ok(Self {
            page_bytes: read("page_size")?,
            pages: read("page_count")?,
            free_pages: read("freelist_count")?,
        })
    }

    fn file_bytes(self) -> u64 {
        self.pages * self.page_bytes
    }

    fn used_bytes(self) -> u64 {
        self.pages.saturating_sub(self.free_pages) * self.page_bytes
    }
}
