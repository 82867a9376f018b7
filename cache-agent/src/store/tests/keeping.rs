//! What is too old or too much goes, and nothing else.

use super::*;
use crate::store::retain::Progress;

const HOUR_MS: i64 = 3_600_000;

/// Retains until there is nothing more to do; how many steps that took.
fn retain(store: &mut Store, settings: &Settings, now_ms: i64) -> usize {
    let mut steps = 1;
    while store.retain(settings, now_ms).unwrap() == Progress::More {
        steps += 1;
        assert!(steps < 10_000, "retention never ends");
    }
    steps
}

fn count(store: &Store, table: &str) -> i64 {
    store
        .connection
        .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
            row.get(0)
        })
        .unwrap()
}

#[test]
fn the_old_go_with_all_that_is_theirs() {
    let state = State::new();
    let mut store = state.open();
    let records: Vec<Record> = (0..1000)
        .flat_map(|hour| {
            let id = hour.to_string();
            let packages = vec![package(&id, "fmt", 1), package(&id, "io", 1)];
            [
                run(invocation(&id, hour * HOUR_MS), packages),
                root_size(hour * 60, 1),
            ]
        })
        .collect();
    store.write(&records).unwrap();
    let steps = retain(&mut store, &state.settings(), 1000 * HOUR_MS);
    assert!(steps > 3, "{steps} steps: not in small ones");
    let left: Vec<i64> = ["invocation", "touched", "package", "root_size", "root"]
        .map(|table| count(&store, table))
        .into();
    assert_eq!(left, [24, 24, 48, 24, 1]);
    assert_eq!(state.ids().last().map(String::as_str), Some("976"));
    assert_eq!(retain(&mut store, &state.settings(), 1000 * HOUR_MS), 1);
    retain(&mut store, &state.settings(), 2000 * HOUR_MS);
    assert_eq!((count(&store, "root"), count(&store, "root_path")), (0, 0));
}

#[test]
fn the_oldest_make_room() {
    let state = State::new();
    let mut store = state.open();
    let settings = Settings {
        max_size: 4 << 20,
        ..state.settings()
    };
    let bulky = |number: i64| {
        let invocation = Invocation {
            argv: vec!["x".repeat(4000)],
            ..invocation(&number.to_string(), number)
        };
        run(invocation, Vec::new())
    };
    let records: Vec<Record> = (0..3000).map(bulky).collect();
    store.write(&records).unwrap();
    let size = || std::fs::metadata(state.file()).unwrap().len();
    store
        .connection
        .pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()))
        .unwrap();
    assert!(size() > settings.max_size, "{} B to start with", size());
    retain(&mut store, &settings, 3000);
    store
        .connection
        .pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()))
        .unwrap();
    assert!(size() <= settings.max_size, "{} B left", size());
    assert!(size() > settings.max_size / 2, "{} B left", size());
    let ids = state.ids();
    assert_eq!(ids.first().map(String::as_str), Some("2999"));
    let kept: Vec<String> = (0..3000_usize)
        .rev()
        .take(ids.len())
        .map(|id| id.to_string())
        .collect();
    assert_eq!(ids, kept, "not the oldest ones went");
}

#[test]
fn a_small_history_stays() {
    let state = State::new();
    let mut store = state.open();
    store
        .write(&[run(invocation("one", HOUR_MS), Vec::new())])
        .unwrap();
    assert_eq!(retain(&mut store, &state.settings(), 2 * HOUR_MS), 1);
    assert_eq!(state.ids(), ["one"]);
}
