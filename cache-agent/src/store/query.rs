//! Questions to the history. Every one of them goes through an index (the tests ask SQLite for its plan).

use std::collections::HashMap;

use rusqlite::{OptionalExtension as _, Params, Row, named_params, types::Type};
use serde::de::DeserializeOwned;

use super::{Store, StoreError, seen};
use crate::{
    model::{
        compiled::{Key, Past},
        invocation::{Finished, Invocation, Package},
    },
    sys::clock::rfc3339,
};

/// Columns of an invocation, in the order in which [`invocation`] reads them.
const COLUMNS: &str = "\
    id, parent, tool, verb, version, argv, cwd, module, uid, user, container, runtime, pod, namespace, unit, slice,
    cgroup, ci, traceparent, start_ms, duration_s, exit_code, growth_bytes, freed_bytes, files_created, files_deleted,
    lookups, hits, misses, roots, cause, fingerprint, processes,
    index_lookups, test_lookups, other_lookups, sudo_user";

/// Which invocations; what is `None` is not asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    /// Started at this time or later, in milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
    /// Of this module.
    pub module: Option<&'a str>,
    /// That changed the root with this path.
    pub root: Option<&'a str>,
    /// At most so many.
    pub limit: u32,
}

/// Which earlier invocations of a module that wrote to a cache.
#[derive(Clone, Copy, Debug)]
pub struct EarlierFilter<'a> {
    /// Of this module.
    pub module: &'a str,
    /// In this working directory only.
    pub cwd: Option<&'a str>,
    /// Started before, in milliseconds since the Unix epoch.
    pub before_ms: i64,
    /// At most so many.
    pub limit: u32,
}

/// What all invocations of a module did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ModuleGrowth {
    /// Module path; empty outside of modules.
    pub module: String,
    /// How many invocations.
    pub invocations: u64,
    /// Growth in bytes.
    pub growth_bytes: i64,
    /// Bytes freed.
    pub freed_bytes: i64,
}

/// Invocations, newest first.
pub fn invocations(store: &Store, filter: &Filter<'_>) -> Result<Vec<Invocation>, StoreError> {
    let Filter {
        since_ms,
        module,
        root,
        limit,
    } = filter;
    let mut statement = store.connection.prepare(&invocations_sql(filter))?;
    let mut parameters: Vec<(&str, &dyn rusqlite::ToSql)> = vec![(":limit", limit)];
    if let Some(since_ms) = since_ms {
        parameters.push((":since_ms", since_ms));
    }
    if let Some(module) = module {
        parameters.push((":module", module));
    }
    if let Some(root) = root {
        parameters.push((":root", root));
    }
    let rows = statement.query_map(parameters.as_slice(), invocation)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The order of the tables is not left to SQLite: it would go through all invocations for a root that many changed.
fn invocations_sql(filter: &Filter<'_>) -> String {
    let (tables, time) = match filter.root {
        Some(_) => (
            "touched CROSS JOIN invocation ON invocation.key = touched.invocation",
            "at_ms",
        ),
        None => ("invocation", "start_ms"),
    };
    let since = format!("{time} >= :since_ms");
    let conditions: Vec<&str> = [
        filter
            .root
            .map(|_| "root_path = (SELECT key FROM root_path WHERE path = :root)"),
        filter.module.map(|_| "module = :module"),
        filter.since_ms.map(|_| since.as_str()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut sql = format!("SELECT {COLUMNS} FROM {tables}");
    if !conditions.is_empty() {
        sql = format!("{sql} WHERE {}", conditions.join(" AND "));
    }
    format!("{sql} ORDER BY {time} DESC LIMIT :limit")
}

const EARLIER: &str = "\
    WHERE module = :module AND start_ms < :before_ms AND (:cwd IS NULL OR cwd = :cwd)
        AND EXISTS (SELECT 1 FROM package WHERE package.invocation = invocation.key)
    ORDER BY start_ms DESC LIMIT :limit";

/// Between two moments, whoever freed enough to be noticed: nearly all rows are passed over within the index.
const FREED: &str = "\
    WHERE start_ms >= :since_ms AND start_ms < :before_ms AND freed_bytes >= :least_bytes
    ORDER BY start_ms DESC LIMIT :limit";
/// Freed bytes that are noticed.
const FREED_BYTES: i64 = 64 * 1024;
/// At most so many that freed them.
const FREED_MAX: u32 = 16;

/// Every statement of this module that goes over invocations, with each use that is made of it.
#[cfg(test)]
pub(super) fn sql() -> Vec<String> {
    let filters = [
        Filter::default(),
        Filter {
            since_ms: Some(0),
            ..Filter::default()
        },
        Filter {
            module: Some(""),
            ..Filter::default()
        },
        Filter {
            module: Some(""),
            since_ms: Some(0),
            root: Some(""),
            limit: 1,
        },
    ];
    let fixed = [
        format!("SELECT {COLUMNS}, key FROM invocation {EARLIER}"),
        format!("SELECT {COLUMNS} FROM invocation {FREED}"),
        GROWTH.to_owned(),
    ];
    let single = [BY_KEY, BY_ID, LAST_THAT_COMPILED]
        .map(|condition| format!("SELECT {COLUMNS} FROM invocation {condition}"));
    let all = filters.iter().map(invocations_sql);
    all.chain(fixed).chain(single).collect()
}

/// Earlier invocations of the same module that wrote packages, with what they wrote, and whoever freed much of any
/// cache since the first of them, without; newest first.
pub fn earlier(store: &Store, filter: &EarlierFilter<'_>) -> Result<Vec<Finished>, StoreError> {
    let sql = format!("SELECT {COLUMNS}, key FROM invocation {EARLIER}");
    let mut statement = store.connection.prepare_cached(&sql)?;
    let parameters = named_params! {
        ":module": filter.module, ":cwd": filter.cwd, ":before_ms": filter.before_ms, ":limit": filter.limit,
    };
    let rows = statement.query_map(parameters, |row| Ok((invocation(row)?, row.get("key")?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (invocation, key): (Invocation, i64) = row?;
        let packages = packages(store, key, &invocation.id)?;
        found.push(Finished {
            record: invocation,
            packages,
            ..Finished::default()
        });
    }
    if let Some(first) = found.last() {
        let since_ms = first.record.start_ms;
        add_freed(store, since_ms, filter.before_ms, &mut found)?;
        found.sort_by_key(|one| std::cmp::Reverse(one.record.start_ms));
    }
    Ok(found)
}

/// Adds whoever freed much between two moments, unless it is among them.
pub(super) fn add_freed(
    store: &Store,
    since_ms: i64,
    before_ms: i64,
    found: &mut Vec<Finished>,
) -> Result<(), StoreError> {
    for record in freed(store, since_ms, before_ms)? {
        if !found.iter().any(|known| known.record.id == record.id) {
            found.push(Finished {
                record,
                ..Finished::default()
            });
        }
    }
    Ok(())
}

/// One invocation by the key of its row.
pub(super) fn by_key(store: &Store, key: i64) -> Result<Option<Invocation>, StoreError> {
    one(store, BY_KEY, [key])
}

/// One invocation by its id.
pub fn by_id(store: &Store, id: &str) -> Result<Option<Invocation>, StoreError> {
    one(store, BY_ID, [id])
}

/// The last invocation that compiled anything.
pub fn last_that_compiled(store: &Store) -> Result<Option<Invocation>, StoreError> {
    one(store, LAST_THAT_COMPILED, [])
}

const BY_KEY: &str = "WHERE key = ?1";
const BY_ID: &str = "WHERE id = ?1";
const LAST_THAT_COMPILED: &str = "WHERE key = (SELECT max(invocation) FROM built)";

fn one(
    store: &Store,
    condition: &str,
    parameters: impl Params,
) -> Result<Option<Invocation>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM invocation {condition}");
    let mut statement = store.connection.prepare_cached(&sql)?;
    Ok(statement.query_row(parameters, invocation).optional()?)
}

/// What was before an invocation, earliest first.
pub fn past(store: &Store, filter: &EarlierFilter<'_>, keys: &[Key]) -> Result<Past, StoreError> {
    let mut past = Past {
        earlier: earlier(store, filter)?,
        ..Past::default()
    };
    seen::makers(store, keys, filter.before_ms, &mut past)?;
    past.earlier.sort_by_key(|one| one.record.start_ms);
    Ok(past)
}

fn freed(store: &Store, since_ms: i64, before_ms: i64) -> Result<Vec<Invocation>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM invocation {FREED}");
    let mut statement = store.connection.prepare_cached(&sql)?;
    let parameters = named_params! {
        ":since_ms": since_ms, ":before_ms": before_ms, ":least_bytes": FREED_BYTES, ":limit": FREED_MAX,
    };
    let rows = statement.query_map(parameters, invocation)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn packages(store: &Store, key: i64, id: &str) -> Result<Vec<Package>, StoreError> {
    let mut statement = store.connection.prepare_cached(
        "SELECT class, path, variant, growth_bytes, files FROM package WHERE invocation = ?1",
    )?;
    let rows = statement.query_map([key], |row| {
        Ok(Package {
            invocation: id.to_owned(),
            class: row.get(0)?,
            path: row.get(1)?,
            variant: row.get(2)?,
            growth_bytes: row.get(3)?,
            files: unsigned(row, 4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

const GROWTH: &str =
    "SELECT module, growth_bytes, freed_bytes FROM invocation WHERE start_ms >= ?1";

/// Growth by module of all invocations that started at this time or later, largest growth first.
///
/// Added up here: SQLite would sort all of them by module first, and take memory for each.
pub fn growth_by_module(store: &Store, since_ms: i64) -> Result<Vec<ModuleGrowth>, StoreError> {
    let mut sums: HashMap<String, ModuleGrowth> = HashMap::new();
    let mut statement = store.connection.prepare_cached(GROWTH)?;
    let mut rows = statement.query([since_ms])?;
    while let Some(row) = rows.next()? {
        let module = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        let (growth_bytes, freed_bytes): (i64, i64) = (row.get(1)?, row.get(2)?);
        if let Some(sum) = sums.get_mut(module) {
            sum.add(growth_bytes, freed_bytes);
        } else {
            let mut sum = ModuleGrowth::of(module);
            sum.add(growth_bytes, freed_bytes);
            sums.insert(module.to_owned(), sum);
        }
    }
    let mut sums: Vec<_> = sums.into_values().collect();
    sums.sort_by(|a, b| {
        let growth = b.growth_bytes.cmp(&a.growth_bytes);
        growth.then_with(|| a.module.cmp(&b.module))
    });
    Ok(sums)
}

impl ModuleGrowth {
    fn of(module: &str) -> Self {
        Self {
            module: module.to_owned(),
            invocations: 0,
            growth_bytes: 0,
            freed_bytes: 0,
        }
    }

    fn add(&mut self, growth_bytes: i64, freed_bytes: i64) {
        self.invocations += 1;
        self.growth_bytes = self.growth_bytes.saturating_add(growth_bytes);
        self.freed_bytes = self.freed_bytes.saturating_add(freed_bytes);
    }
}

/// Paths of the roots that had this name, as far as the history knows.
pub fn root_paths(store: &Store, name: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = store
        .connection
        .prepare_cached("SELECT DISTINCT path FROM root WHERE name = ?1 ORDER BY key DESC")?;
    let rows = statement.query_map([name], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn invocation(row: &Row<'_>) -> rusqlite::Result<Invocation> {
    let start_ms = row.get(19)?;
    Ok(Invocation {
        id: row.get(0)?,
        parent: row.get(1)?,
        tool: row.get(2)?,
        verb: row.get(3)?,
        version: row.get(4)?,
        argv: json(row, 5)?,
        cwd: row.get(6)?,
        module: row.get(7)?,
        uid: row.get(8)?,
        user: row.get(9)?,
        sudo_user: row.get(36)?,
        container: row.get(10)?,
        runtime: row.get(11)?,
        pod: row.get(12)?,
        namespace: row.get(13)?,
        unit: row.get(14)?,
        slice: row.get(15)?,
        cgroup: row.get(16)?,
        ci: json(row, 17)?,
        traceparent: row.get(18)?,
        start: rfc3339(start_ms),
        start_ms,
        duration_s: row.get(20)?,
        exit_code: row.get(21)?,
        growth_bytes: row.get(22)?,
        freed_bytes: unsigned(row, 23)?,
        files_created: unsigned(row, 24)?,
        files_deleted: unsigned(row, 25)?,
        lookups: unsigned(row, 26)?,
        hits: unsigned(row, 27)?,
        misses: unsigned(row, 28)?,
        index_lookups: unsigned(row, 33)?,
        test_lookups: unsigned(row, 34)?,
        other_lookups: unsigned(row, 35)?,
        roots: json(row, 29)?,
        cause: json(row, 30)?,
        fingerprint: json(row, 31)?,
        processes: json(row, 32)?,
        keys: Vec::new(),
        built: Vec::new(),
    })
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column)
        .map(|value: i64| u64::try_from(value).unwrap_or(0))
}

pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    })
}
