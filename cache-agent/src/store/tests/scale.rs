//! A tenth of the million that the benchmark asks: the same indexes, by SQLite's own plan.

#[path = "../../../examples/history/generate.rs"]
mod generate;

use std::time::Instant;

use super::*;
use crate::store::query::EarlierFilter;

const COUNT: u64 = 100_000;
/// In one transaction.
const BATCH: u64 = 5_000;
const END_MS: i64 = 1_767_323_045_678;
const WEEK_MS: i64 = 7 * 24 * 3_600_000;
/// Times that the questions are asked; the fastest counts, since other tests run beside.
const ROUNDS: u32 = 5;
/// What the contract allows for ten times as many, without optimisation and beside other work.
const SLOW: Duration = Duration::from_millis(300);

fn plans(store: &Store) -> Vec<String> {
    let mut lines = Vec::new();
    for sql in query::sql() {
        let mut statement = store
            .connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().unwrap() {
            lines.push(row.get(3).unwrap());
        }
    }
    lines
}

#[test]
fn a_hundred_thousand_are_answered_through_indexes() {
    let state = State::new();
    let mut store = state.open();
    for batch in 0..COUNT / BATCH {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        let records: Vec<Record> = numbers
            .map(|number| generate::record(number, COUNT, END_MS))
            .collect();
        store.write(&records).unwrap();
    }

    let plans = plans(&store);
    for expected in [
        // The last ones of a module.
        "SEARCH invocation USING INDEX invocation_module (module=?)",
        // All, newest first.
        "SCAN invocation USING INDEX invocation_start",
        "SEARCH invocation USING INDEX invocation_start (start_ms>?)",
        // Those that changed a root.
        "SEARCH touched USING COVERING INDEX touched_root (root_path=? AND at_ms>?)",
        "SEARCH invocation USING INTEGER PRIMARY KEY (rowid=?)",
        // Growth by module.
        "SEARCH invocation USING COVERING INDEX invocation_start (start_ms>?)",
        // Earlier ones.
        "SEARCH invocation USING INDEX invocation_module (module=? AND start_ms<?)",
        "SEARCH package EXISTS USING PRIMARY KEY (invocation=?)",
    ] {
        assert!(
            plans.iter().any(|line| line == expected),
            "{expected} not in {plans:#?}"
        );
    }
    assert!(
        !plans.iter().any(|line| line.contains("TEMP B-TREE")),
        "{plans:#?}"
    );

    let fastest = (0..ROUNDS).map(|_| ask(&store)).min();
    assert!(fastest < Some(SLOW), "three answers took {fastest:?}");
}

/// How long three answers take, which must be right.
fn ask(store: &Store) -> Duration {
    let module = generate::module(0);
    let started = Instant::now();
    let last = Filter {
        module: Some(&module),
        limit: 50,
        ..Filter::default()
    };
    let last = query::invocations(store, &last).unwrap();
    assert_eq!(last.len(), 50);
    assert!(last.iter().all(|invocation| invocation.module == module));
    let growth = query::growth_by_module(store, END_MS - WEEK_MS).unwrap();
    let counted: u64 = growth.iter().map(|sum| sum.invocations).sum();
    // They are spread evenly, the last one a step before the end.
    assert_eq!(counted, COUNT * 7 / 90);
    let earlier = EarlierFilter {
        module: &module,
        cwd: None,
        before_ms: END_MS,
        limit: 20,
    };
    assert_eq!(query::earlier(store, &earlier).unwrap().len(), 20);
    started.elapsed()
}
