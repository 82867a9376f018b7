//! Who compiled what last.

use std::collections::{HashMap, hash_map::Entry};

use rusqlite::{OptionalExtension as _, Transaction};

use super::{Store, StoreError, query};
use crate::model::compiled::{Key, Past};

const FIND: &str = "SELECT invocation FROM compiled WHERE key = ?1";
const PUT: &str = "INSERT INTO compiled (key, invocation) VALUES (?1, ?2)
    ON CONFLICT (key) DO UPDATE SET invocation = excluded.invocation";

/// Remembers who compiled this.
pub(super) fn put(
    transaction: &Transaction<'_>,
    invocation: i64,
    keys: &[Key],
) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(PUT)?;
    for key in keys {
        put.execute([*key, invocation])?;
    }
    Ok(())
}

/// Makers of what these keys stand for, as far as they are remembered, and whoever freed much since.
pub(super) fn makers(
    store: &Store,
    keys: &[Key],
    before_ms: i64,
    past: &mut Past,
) -> Result<(), StoreError> {
    let mut find = store.connection.prepare_cached(FIND)?;
    let mut ids: HashMap<i64, Option<String>> = HashMap::new();
    for key in keys {
        let Some(row) = find
            .query_row([key], |row| row.get::<_, i64>(0))
            .optional()?
        else {
            continue;
        };
        let id = match ids.entry(row) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let maker = query::by_key(store, row)?;
                let id = maker.as_ref().map(|maker| maker.id.clone());
                past.makers.extend(id.clone().zip(maker));
                unknown.insert(id)
            }
        };
        if let Some(id) = id {
            past.seen.insert(*key, id.clone());
        }
    }
    let first_ms = past.makers.values().map(|maker| maker.start_ms).min();
    if let Some(first_ms) = first_ms {
        query::add_freed(store, first_ms, before_ms, &mut past.earlier)?;
    }
    Ok(())
}
