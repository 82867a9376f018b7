//! Why invocations compiled what they compiled, package by package.

use rusqlite::{OptionalExtension as _, Transaction};

use super::{
    Store, StoreError,
    query::{self, COLUMNS},
    write,
};
use crate::model::{built::Built, invocation::Invocation};

const CLEAR: &str = "DELETE FROM built WHERE invocation = ?1";
const PUT: &str = "\
    INSERT INTO built (invocation, number, reasons, against, how, packages) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const GET: &str = "\
    SELECT reasons, against, how, packages FROM built
    WHERE invocation = (SELECT key FROM invocation WHERE id = ?1) ORDER BY number";
/// The last one that compiled anything.
const LAST: &str = "WHERE key = (SELECT max(invocation) FROM built)";
const BY_ID: &str = "WHERE id = ?1";

pub(super) fn put(
    transaction: &Transaction<'_>,
    invocation: i64,
    built: &[Built],
) -> rusqlite::Result<()> {
    transaction.prepare_cached(CLEAR)?.execute([invocation])?;
    let mut put = transaction.prepare_cached(PUT)?;
    for (number, one) in built.iter().enumerate() {
        let Built {
            reasons,
            against,
            how,
            packages,
        } = one;
        put.execute((
            invocation,
            i64::try_from(number).unwrap_or(i64::MAX),
            write::json(reasons)?,
            against,
            write::json(how)?,
            write::json(packages)?,
        ))?;
    }
    Ok(())
}

/// What that invocation compiled.
pub fn built(store: &Store, id: &str) -> Result<Vec<Built>, StoreError> {
    let mut statement = store.connection.prepare_cached(GET)?;
    let rows = statement.query_map([id], |row| {
        Ok(Built {
            reasons: query::json(row, 0)?,
            against: row.get(1)?,
            how: query::json(row, 2)?,
            packages: query::json(row, 3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The invocation with this id.
pub fn by_id(store: &Store, id: &str) -> Result<Option<Invocation>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM invocation {BY_ID}");
    let mut statement = store.connection.prepare_cached(&sql)?;
    Ok(statement.query_row([id], query::invocation).optional()?)
}

/// The last invocation that compiled anything.
pub fn last(store: &Store) -> Result<Option<Invocation>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM invocation {LAST}");
    let mut statement = store.connection.prepare_cached(&sql)?;
    Ok(statement.query_row([], query::invocation).optional()?)
}
