//! Why invocations compiled what they compiled, package by package.

use rusqlite::Transaction;

use super::{Store, StoreError, query, write};
use crate::model::built::Built;

const CLEAR: &str = "DELETE FROM built WHERE invocation = ?1";
const PUT: &str = "\
    INSERT INTO built (invocation, number, reasons, against, how, packages) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const GET: &str = "\
    SELECT reasons, against, how, packages FROM built
    WHERE invocation = (SELECT key FROM invocation WHERE id = ?1) ORDER BY number";

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
