//! What is written is read again.

use super::*;
use crate::{
    model::invocation::Finished,
    store::{
        query::{EarlierFilter, earlier, growth_by_module, invocations, root_paths},
        record::{Crossing, Root},
    },
};

#[test]
fn every_field_comes_back() {
    let state = State::new();
    let mut store = state.open();
    let written = invocation("one", 1_767_323_045_678);
    store.write(&[run(written.clone(), Vec::new())]).unwrap();
    assert_eq!(
        invocations(&store, &everything()).unwrap(),
        std::slice::from_ref(&written)
    );
    let reader = Store::read(state.path()).unwrap();
    assert_eq!(invocations(&reader, &everything()).unwrap(), [written]);
}

#[test]
fn figures_beyond_the_database_are_cut_rather_than_lost() {
    let state = State::new();
    let mut store = state.open();
    let wild = Invocation {
        lookups: u64::MAX,
        duration_s: f64::NAN,
        ..invocation("wild", 0)
    };
    store.write(&[run(wild, Vec::new())]).unwrap();
    let read = invocations(&store, &everything()).unwrap().remove(0);
    assert_eq!(read.lookups, u64::try_from(i64::MAX).unwrap());
    assert!(read.duration_s.abs() < f64::EPSILON);
}

#[test]
fn what_runs_is_replaced_and_what_has_ended_is_final() {
    let state = State::new();
    let mut store = state.open();
    let step = |growth_bytes, exit_code| Invocation {
        exit_code,
        growth_bytes,
        ..invocation("one", 1000)
    };
    let mut record = |growth, exit_code| {
        let packages = vec![package("one", "fmt", growth)];
        store
            .write(&[run(step(growth, exit_code), packages)])
            .unwrap();
        let filter = EarlierFilter {
            module: "example.com/shop",
            cwd: None,
            before_ms: i64::MAX,
            limit: 9,
        };
        let [
            Finished {
                record: invocation,
                packages,
                ..
            },
        ] = <[Finished; 1]>::try_from(earlier(&store, &filter).unwrap()).unwrap();
        let [package] = <[Package; 1]>::try_from(packages).unwrap();
        assert_eq!(package.growth_bytes, invocation.growth_bytes);
        (invocation.growth_bytes, invocation.exit_code)
    };
    assert_eq!(record(10, None), (10, None));
    assert_eq!(record(30, None), (30, None));
    assert_eq!(record(40, Some(1)), (40, Some(1)));
    assert_eq!(record(50, None), (40, Some(1)));
    assert_eq!(record(60, Some(0)), (40, Some(1)));
}

#[test]
fn a_package_named_twice_is_added_up() {
    let state = State::new();
    let mut store = state.open();
    let packages = vec![package("one", "fmt", 10), package("one", "fmt", 5)];
    store
        .write(&[run(invocation("one", 1000), packages)])
        .unwrap();
    let filter = EarlierFilter {
        module: "example.com/shop",
        cwd: Some("/srv/shop"),
        before_ms: 1001,
        limit: 1,
    };
    let found = earlier(&store, &filter).unwrap().remove(0);
    let expected = Package {
        files: 4,
        ..package("one", "fmt", 15)
    };
    assert_eq!(found.packages, [expected]);
}

#[test]
fn filters_select_and_the_newest_come_first() {
    let state = State::new();
    let mut store = state.open();
    let of = |id: &str, start_ms, module: &str, root: &str| {
        let invocation = Invocation {
            module: module.to_owned(),
            roots: [(root.to_owned(), RootShare::default())].into(),
            ..invocation(id, start_ms)
        };
        run(invocation, Vec::new())
    };
    store
        .write(&[
            of("b", 2000, "m", "/x"),
            of("a", 1000, "m", "/y"),
            of("d", 4000, "n", "/x"),
            of("c", 3000, "m", "/it's \"/z"),
        ])
        .unwrap();
    let check = |filter: Filter<'_>, expected: &str| {
        let found = invocations(&store, &filter).unwrap();
        let ids: String = found.into_iter().map(|invocation| invocation.id).collect();
        assert_eq!(ids, expected, "{filter:?}");
    };
    let all = everything();
    check(all.clone(), "dcba");
    check(
        Filter {
            limit: 2,
            ..all.clone()
        },
        "dc",
    );
    check(
        Filter {
            since_ms: Some(2000),
            ..all.clone()
        },
        "dcb",
    );
    check(
        Filter {
            module: Some("m"),
            ..all.clone()
        },
        "cba",
    );
    check(
        Filter {
            root: Some("/x"),
            ..all.clone()
        },
        "db",
    );
    check(
        Filter {
            root: Some("/it's \"/z"),
            ..all.clone()
        },
        "c",
    );
    check(
        Filter {
            since_ms: Some(1500),
            module: Some("m"),
            root: Some("/x"),
            limit: 5,
        },
        "b",
    );
}

#[test]
fn earlier_ones_wrote_something_before_in_the_same_place() {
    let state = State::new();
    let mut store = state.open();
    let of = |id: &str, start_ms, cwd: &str, packages| {
        let invocation = Invocation {
            cwd: cwd.to_owned(),
            ..invocation(id, start_ms)
        };
        run(invocation, packages)
    };
    let wrote = |id| vec![package(id, "fmt", 1)];
    store
        .write(&[
            of("a", 1000, "/here", wrote("a")),
            of("b", 2000, "/there", wrote("b")),
            of("c", 3000, "/here", Vec::new()),
            of("d", 4000, "/here", wrote("d")),
            of("e", 5000, "/here", wrote("e")),
        ])
        .unwrap();
    let check = |cwd, before_ms, limit, expected: &str| {
        let filter = EarlierFilter {
            module: "example.com/shop",
            cwd,
            before_ms,
            limit,
        };
        let found = earlier(&store, &filter).unwrap();
        let ids: String = found.into_iter().map(|found| found.record.id).collect();
        assert_eq!(ids, expected, "{filter:?}");
    };
    check(None, 5000, 9, "dba");
    check(Some("/here"), 5000, 9, "da");
    check(Some("/here"), 9000, 1, "e");
    check(Some("/nowhere"), 9000, 9, "");
}

#[test]
fn who_freed_much_since_the_first_of_them_is_told_with_earlier_ones() {
    let state = State::new();
    let mut store = state.open();
    let of = |id: &str, start_ms, freed_bytes| {
        let mut one = invocation(id, start_ms);
        if freed_bytes > 0 {
            one.module.clear();
        }
        one.freed_bytes = freed_bytes;
        let packages = (freed_bytes == 0).then(|| package(id, "fmt", 10));
        run(one, packages.into_iter().collect())
    };
    store
        .write(&[
            of("a", 1000, 1 << 20),
            of("b", 2000, 0),
            of("c", 3000, 1 << 20),
            of("d", 4000, 175),
            of("e", 5000, 0),
            of("f", 6000, 1 << 20),
        ])
        .unwrap();
    let filter = EarlierFilter {
        module: "example.com/shop",
        cwd: None,
        before_ms: 5500,
        limit: 9,
    };
    let found = earlier(&store, &filter).unwrap();
    let ids: String = found.into_iter().map(|found| found.record.id).collect();
    assert_eq!(ids, "ecb");
}

#[test]
fn growth_is_added_up_by_module() {
    let state = State::new();
    let mut store = state.open();
    let of = |id: &str, start_ms, module: &str, growth_bytes| {
        let invocation = Invocation {
            module: module.to_owned(),
            growth_bytes,
            ..invocation(id, start_ms)
        };
        run(invocation, Vec::new())
    };
    store
        .write(&[
            of("a", 999, "m", 1000),
            of("b", 1000, "m", 10),
            of("c", 1500, "n", 30),
            of("d", 2000, "m", 5),
        ])
        .unwrap();
    let found: Vec<_> = growth_by_module(&store, 1000)
        .unwrap()
        .into_iter()
        .map(|sum| {
            (
                sum.module,
                sum.invocations,
                sum.growth_bytes,
                sum.freed_bytes,
            )
        })
        .collect();
    assert_eq!(
        found,
        [("n".to_owned(), 1, 30, 2), ("m".to_owned(), 2, 15, 4)]
    );
}

#[test]
fn a_minute_has_one_row_and_a_root_one_name() {
    let state = State::new();
    let mut store = state.open();
    let crossing = Record::Crossing(Crossing {
        at_ms: 7,
        root: Root {
            name: "ci".to_owned(),
            path: "/srv/ci".to_owned(),
            kind: "gobuild",
        },
        level: "warn",
        crossed: true,
        value: None,
        limit: 0.5,
    });
    store
        .write(&[
            root_size(1, 10),
            root_size(1, 20),
            root_size(2, 30),
            crossing,
        ])
        .unwrap();
    let mut statement = store
        .connection
        .prepare("SELECT minute, size_bytes FROM root_size ORDER BY minute")
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let rows: Vec<(i64, i64)> = rows.unwrap().map(Result::unwrap).collect();
    assert_eq!(rows, [(1, 20), (2, 30)]);
    assert_eq!(root_paths(&store, "ci").unwrap(), ["/srv/ci"]);
    assert!(root_paths(&store, "other").unwrap().is_empty());
    let level: String = store
        .connection
        .query_row(
            "SELECT level FROM crossing JOIN root ON root.key = crossing.root WHERE root.name = 'ci'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(level, "warn");
}
