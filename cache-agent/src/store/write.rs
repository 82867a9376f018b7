//! Records into rows: a batch is one transaction.

use rusqlite::{CachedStatement, Params, Transaction, TransactionBehavior, named_params};
use serde::Serialize;

use super::{
    Store, StoreError,
    record::{Crossing, Record, Root, RootSize},
    seen, why,
};
use crate::model::invocation::{Invocation, Package};

/// Whatever runs is replaced by what comes later; what has ended stays as it is.
const PUT_INVOCATION: &str = "\
    INSERT INTO invocation (id, parent, tool, verb, version, argv, cwd, module, uid, user, container, runtime, pod,
        namespace, unit, slice, cgroup, ci, traceparent, start_ms, duration_s, exit_code, growth_bytes, freed_bytes,
        files_created, files_deleted, lookups, hits, misses, roots, cause, fingerprint, processes,
        index_lookups, test_lookups, other_lookups, sudo_user)
    VALUES (:id, :parent, :tool, :verb, :version, :argv, :cwd, :module, :uid, :user, :container, :runtime, :pod,
        :namespace, :unit, :slice, :cgroup, :ci, :traceparent, :start_ms, :duration_s, :exit_code, :growth_bytes,
        :freed_bytes, :files_created, :files_deleted, :lookups, :hits, :misses, :roots, :cause, :fingerprint, :processes,
        :index_lookups, :test_lookups, :other_lookups, :sudo_user)
    ON CONFLICT (id) DO UPDATE SET
        parent = excluded.parent, tool = excluded.tool, verb = excluded.verb, version = excluded.version,
        argv = excluded.argv, cwd = excluded.cwd, module = excluded.module, uid = excluded.uid, user = excluded.user,
        sudo_user = excluded.sudo_user, container = excluded.container, runtime = excluded.runtime, pod = excluded.pod,
        namespace = excluded.namespace, unit = excluded.unit, slice = excluded.slice, cgroup = excluded.cgroup,
        ci = excluded.ci, traceparent = excluded.traceparent, start_ms = excluded.start_ms,
        duration_s = excluded.duration_s, exit_code = excluded.exit_code, growth_bytes = excluded.growth_bytes,
        freed_bytes = excluded.freed_bytes, files_created = excluded.files_created,
        files_deleted = excluded.files_deleted, lookups = excluded.lookups, hits = excluded.hits,
        misses = excluded.misses, roots = excluded.roots, cause = excluded.cause,
        fingerprint = excluded.fingerprint, processes = excluded.processes,
        index_lookups = excluded.index_lookups, test_lookups = excluded.test_lookups,
        other_lookups = excluded.other_lookups
    WHERE exit_code IS NULL
    RETURNING key";

const CLEAR_TOUCHED: &str = "DELETE FROM touched WHERE invocation = ?1";
const FIND_ROOT_PATH: &str = "SELECT key FROM root_path WHERE path = ?1";
const PUT_ROOT_PATH: &str = "INSERT INTO root_path (path) VALUES (?1) RETURNING key";
const PUT_TOUCHED: &str = "INSERT INTO touched (invocation, root_path, at_ms) VALUES (?1, ?2, ?3)";

const CLEAR_PACKAGES: &str = "DELETE FROM package WHERE invocation = ?1";

const PUT_PACKAGE: &str = "\
    INSERT INTO package (invocation, class, path, variant, growth_bytes, files) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT DO UPDATE SET growth_bytes = growth_bytes + excluded.growth_bytes, files = files + excluded.files";

const FIND_ROOT: &str = "SELECT key FROM root WHERE name = ?1 AND path = ?2 AND kind = ?3";
const PUT_ROOT: &str = "INSERT INTO root (name, path, kind) VALUES (?1, ?2, ?3) RETURNING key";

const PUT_ROOT_SIZE: &str = "\
    INSERT INTO root_size (root, minute, size_bytes, disk_bytes, files) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT DO UPDATE SET
        size_bytes = excluded.size_bytes, disk_bytes = excluded.disk_bytes, files = excluded.files";

const PUT_CROSSING: &str = "\
    INSERT INTO crossing (at_ms, root, level, crossed, value, \"limit\") VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

impl Store {
    /// Writes all records or none.
    pub fn write(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for record in records {
            put(&transaction, record)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

fn put(transaction: &Transaction<'_>, record: &Record) -> rusqlite::Result<()> {
    match record {
        Record::Invocation(invocation, packages) => put_run(transaction, invocation, packages),
        Record::RootSize(size) => put_size(transaction, size),
        Record::Crossing(crossing) => put_crossing(transaction, crossing),
    }
}

fn put_run(
    transaction: &Transaction<'_>,
    invocation: &Invocation,
    packages: &[Package],
) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(PUT_INVOCATION)?;
    // No row: it had ended, and is final.
    let Some(key) = put_invocation(&mut put, invocation)? else {
        return Ok(());
    };
    put_touched(transaction, key, invocation)?;
    seen::put(transaction, key, &invocation.keys)?;
    why::put(transaction, key, &invocation.built)?;
    transaction.prepare_cached(CLEAR_PACKAGES)?.execute([key])?;
    let mut put = transaction.prepare_cached(PUT_PACKAGE)?;
    for package in packages {
        let Package {
            invocation: _,
            path,
            class,
            variant,
            growth_bytes,
            files,
        } = package;
        put.execute((key, class, path, variant, growth_bytes, signed(*files)))?;
    }
    Ok(())
}

/// The row's key, if the row was written.
fn put_invocation(
    put: &mut CachedStatement<'_>,
    invocation: &Invocation,
) -> rusqlite::Result<Option<i64>> {
    let Invocation {
        id,
        parent,
        tool,
        verb,
        version,
        argv,
        cwd,
        module,
        uid,
        user,
        sudo_user,
        container,
        runtime,
        pod,
        namespace,
        unit,
        slice,
        cgroup,
        ci,
        traceparent,
        // The same as `start_ms`, for people.
        start: _,
        start_ms,
        duration_s,
        exit_code,
        growth_bytes,
        freed_bytes,
        files_created,
        files_deleted,
        lookups,
        hits,
        misses,
        index_lookups,
        test_lookups,
        other_lookups,
        roots,
        cause,
        fingerprint,
        processes,
        // Rows of their own.
        keys: _,
        built: _,
    } = invocation;
    let mut rows = put.query(named_params! {
        ":id": id, ":parent": parent, ":tool": tool, ":verb": verb, ":version": version,
        ":argv": json(argv)?, ":cwd": cwd, ":module": module, ":uid": uid, ":user": user, ":sudo_user": sudo_user,
        ":container": container, ":runtime": runtime, ":pod": pod, ":namespace": namespace,
        ":unit": unit, ":slice": slice, ":cgroup": cgroup, ":ci": json(ci)?, ":traceparent": traceparent,
        ":start_ms": start_ms, ":duration_s": finite(*duration_s), ":exit_code": exit_code,
        ":growth_bytes": growth_bytes, ":freed_bytes": signed(*freed_bytes),
        ":files_created": signed(*files_created), ":files_deleted": signed(*files_deleted),
        ":lookups": signed(*lookups), ":hits": signed(*hits), ":misses": signed(*misses),
        ":index_lookups": signed(*index_lookups), ":test_lookups": signed(*test_lookups),
        ":other_lookups": signed(*other_lookups),
        ":roots": json(roots)?, ":cause": json(cause)?, ":fingerprint": json(fingerprint)?,
        ":processes": json(processes)?,
    })?;
    let key = rows.next()?.map(|row| row.get(0)).transpose()?;
    // RETURNING takes effect when the statement has run to its end.
    while rows.next()?.is_some() {}
    Ok(key)
}

fn put_touched(
    transaction: &Transaction<'_>,
    key: i64,
    invocation: &Invocation,
) -> rusqlite::Result<()> {
    transaction.prepare_cached(CLEAR_TOUCHED)?.execute([key])?;
    for path in invocation.roots.keys() {
        let root_path = key_of(transaction, FIND_ROOT_PATH, PUT_ROOT_PATH, [path])?;
        let row = (key, root_path, invocation.start_ms);
        transaction.prepare_cached(PUT_TOUCHED)?.execute(row)?;
    }
    Ok(())
}

fn put_size(transaction: &Transaction<'_>, size: &RootSize) -> rusqlite::Result<()> {
    let root = root_key(transaction, &size.root)?;
    transaction.prepare_cached(PUT_ROOT_SIZE)?.execute((
        root,
        size.minute,
        signed(size.size_bytes),
        signed(size.disk_bytes),
        signed(size.files),
    ))?;
    Ok(())
}

fn put_crossing(transaction: &Transaction<'_>, crossing: &Crossing) -> rusqlite::Result<()> {
    let root = root_key(transaction, &crossing.root)?;
    transaction.prepare_cached(PUT_CROSSING)?.execute((
        crossing.at_ms,
        root,
        crossing.level,
        crossing.crossed,
        crossing.value,
        crossing.limit,
    ))?;
    Ok(())
}

fn root_key(transaction: &Transaction<'_>, root: &Root) -> rusqlite::Result<i64> {
    let Root { name, path, kind } = root;
    key_of(transaction, FIND_ROOT, PUT_ROOT, (name, path, kind))
}

/// The key of a row that is made if it is not there.
fn key_of(
    transaction: &Transaction<'_>,
    find: &str,
    put: &str,
    values: impl Params + Clone,
) -> rusqlite::Result<i64> {
    let mut find = transaction.prepare_cached(find)?;
    let mut rows = find.query(values.clone())?;
    if let Some(row) = rows.next()? {
        return row.get(0);
    }
    let mut put = transaction.prepare_cached(put)?;
    put.query_row(values, |row| row.get(0))
}

/// SQLite's integers are signed; no file system holds what does not fit.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// SQLite turns what is not a number into NULL, which the column refuses.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

pub(super) fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
