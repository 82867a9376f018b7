//! The tables and how they came to be: one script for each schema, applied in order, whole or not at all.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// Script number n leads from schema n to schema n + 1; an empty file has schema 0.
pub const MIGRATIONS: &[&str] = &[
    include_str!("migrations/1.sql"),
    include_str!("migrations/2.sql"),
    include_str!("migrations/3.sql"),
    include_str!("migrations/4.sql"),
    include_str!("migrations/5.sql"),
];

/// The newest schema known.
#[expect(
    clippy::cast_possible_wrap,
    reason = "a list that is written by hand is short"
)]
pub const KNOWN: i64 = MIGRATIONS.len() as i64;

/// Pages are kept in memory up to that many KiB: the queries go through indexes, the system has its own cache.
const CACHE_KIB: i64 = 1024;
/// The write-ahead log is cut to that many bytes when it has been worked in.
const LOG_BYTES: i64 = 4 << 20;

/// Settings of a connection that writes.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    harden(connection)?;
    // Takes effect before the first table only: pages that retention frees can be given back.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // What was committed survives the end of the process; the end of the machine may cost the last commits.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// Settings of a connection that only reads.
pub(super) fn configure_to_read(connection: &Connection) -> rusqlite::Result<()> {
    harden(connection)?;
    connection.pragma_update(None, "query_only", true)
}

/// A file that somebody tampered with must not make SQLite do more than read it.
fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(()))?;
    // Sorting needs no files: the agent's sandbox may have no place for them.
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// The schema of a database.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The schema, if it is one that is known.
pub(super) fn refuse_newer(
    connection: &Connection,
    path: &Path,
    known: i64,
) -> Result<i64, StoreError> {
    let found = version(connection)?;
    if found > known {
        let path = path.to_owned();
        return Err(StoreError::Newer { path, found, known });
    }
    Ok(found)
}

/// Applies the scripts that are missing, each in a transaction of its own.
///
/// Several processes may do this at once: each looks at the version again once it may write.
pub fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), StoreError> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    loop {
        if refuse_newer(connection, path, known)? == known {
            return Ok(());
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = version(&transaction)?;
        let script = usize::try_from(found)
            .ok()
            .and_then(|found| migrations.get(found));
        if let Some(script) = script {
            transaction.execute_batch(script)?;
            transaction.pragma_update(None, "user_version", found + 1)?;
            transaction.commit()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    fn tables(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
            .unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn every_older_schema_leads_to_the_newest() {
        let mut fresh = database();
        migrate(&mut fresh, Path::new("f"), MIGRATIONS).unwrap();
        for start in 0..MIGRATIONS.len() {
            let mut old = database();
            migrate(&mut old, Path::new("f"), &MIGRATIONS[..start]).unwrap();
            assert_eq!(version(&old).unwrap(), i64::try_from(start).unwrap());
            migrate(&mut old, Path::new("f"), MIGRATIONS).unwrap();
            assert_eq!(version(&old).unwrap(), KNOWN);
            assert_eq!(tables(&old), tables(&fresh), "from schema {start}");
        }
    }

    #[test]
    fn rows_of_the_old_schema_survive() {
        let scripts = [
            "CREATE TABLE t (a INTEGER)",
            "ALTER TABLE t ADD COLUMN b TEXT NOT NULL DEFAULT 'x'",
            "UPDATE t SET b = b || a",
        ];
        let mut old = database();
        migrate(&mut old, Path::new("f"), &scripts[..1]).unwrap();
        old.execute("INSERT INTO t VALUES (7)", []).unwrap();
        migrate(&mut old, Path::new("f"), &scripts).unwrap();
        let row: (i64, String) = old
            .query_row("SELECT a, b FROM t", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(row, (7, "x7".to_owned()));
    }

    #[test]
    fn a_script_is_applied_whole_or_not_at_all() {
        let mut connection = database();
        let scripts = [
            "CREATE TABLE t (a)",
            "CREATE TABLE u (a); INSERT INTO nowhere VALUES (1)",
        ];
        migrate(&mut connection, Path::new("f"), &scripts).unwrap_err();
        assert_eq!(version(&connection).unwrap(), 1);
        assert_eq!(tables(&connection), ["CREATE TABLE t (a)"]);
    }

    #[test]
    fn a_newer_schema_is_refused_in_one_sentence() {
        let mut connection = database();
        connection
            .pragma_update(None, "user_version", KNOWN + 1)
            .unwrap();
        let error = migrate(&mut connection, Path::new("/x/history.db"), MIGRATIONS)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            format!(
                "/x/history.db has schema {}, and this agent knows schemas up to {KNOWN}: it is left alone; \
                 use the newer agent that wrote it, or another state directory",
                KNOWN + 1
            )
        );
        assert!(tables(&connection).is_empty());
    }
}
