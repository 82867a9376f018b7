//! The writing thread, and what it does when it cannot write.

use std::{fs, os::unix::fs::FileExt as _};

use super::*;
use crate::store::{
    query::EarlierFilter,
    writer::{MAX_WAITING_BYTES, Writing},
};

fn start(state: &State) -> Writing {
    Writing::start(state.settings()).unwrap()
}

fn now_ms() -> i64 {
    crate::sys::clock::milliseconds(std::time::SystemTime::now())
}

fn small(id: &str) -> Record {
    run(invocation(id, now_ms()), vec![package(id, "fmt", 1)])
}

#[test]
fn records_arrive_without_anybody_asking() {
    let state = State::new();
    let writing = start(&state);
    writing.writer().record(small("one"));
    let deadline = std::time::Instant::now() + SOON;
    while !state.file().exists() || Store::read(state.path()).is_err() || state.ids().is_empty() {
        assert!(std::time::Instant::now() < deadline, "nothing was written");
        std::thread::sleep(Duration::from_millis(20));
    }
    writing.writer().record(small("two"));
    let condition = writing.end();
    assert_eq!(condition, super::super::writer::Condition::default());
    // An orderly end leaves nothing but the database.
    assert_eq!(state.names(), ["history.db"]);
    assert_eq!(state.ids().len(), 2);
}

#[test]
fn questions_see_what_was_handed_over_before() {
    let state = State::new();
    let writing = start(&state);
    writing.writer().record(small("one"));
    let filter = EarlierFilter {
        module: "example.com/shop",
        cwd: None,
        before_ms: i64::MAX,
        limit: 5,
    };
    let found = writing
        .writer()
        .past(&filter, Vec::new())
        .recv_timeout(SOON)
        .unwrap()
        .earlier;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].packages, [package("one", "fmt", 1)]);
    writing.end();
}

#[test]
fn a_damaged_history_is_set_aside_at_the_start() {
    let state = State::new();
    fs::write(
        state.file(),
        "no database at all, but long enough to be looked at".repeat(100),
    )
    .unwrap();
    let writing = start(&state);
    writing.writer().record(small("one"));
    assert!(writing.writer().flush(SOON));
    let condition = writing.end();
    assert_eq!((condition.counts.set_aside, condition.problem), (1, None));
    let aside = condition.aside.unwrap();
    assert!(
        aside.contains("set aside as") && aside.contains("history.db.corrupt-"),
        "{aside}"
    );
    assert_eq!(state.names().len(), 2, "{:?}", state.names());
    assert_eq!(state.ids(), ["one"]);
}

#[test]
fn a_history_damaged_while_in_use_is_set_aside_and_nothing_is_lost() {
    let state = State::new();
    let mut store = state.open();
    let records: Vec<Record> = (0..500).map(|id| small(&format!("old{id}"))).collect();
    store.write(&records).unwrap();
    drop(store);
    let writing = start(&state);
    assert!(writing.writer().flush(SOON));
    // All but the first page, which tells the schema.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(state.file())
        .unwrap();
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    file.write_all_at(&vec![0xff; length - 4096], 4096).unwrap();
    let deadline = std::time::Instant::now() + SOON;
    let mut number = 0;
    while writing.condition().borrow().counts.set_aside == 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "the damage was not noticed"
        );
        writing.writer().record(small(&format!("new{number}")));
        writing.writer().flush(SOON);
        number += 1;
    }
    writing.writer().record(small("last"));
    let condition = writing.end();
    assert_eq!(
        condition.counts.lost_writing + condition.counts.lost_waiting,
        0
    );
    assert!(
        state.ids().contains(&"last".to_owned()),
        "{:?}",
        state.ids()
    );
    assert!(
        state.names().iter().any(|name| name.contains(".corrupt-")),
        "{:?}",
        state.names()
    );
}

#[test]
fn a_newer_history_is_left_alone_and_reported() {
    let state = State::new();
    let store = state.open();
    store
        .connection
        .pragma_update(None, "user_version", 99)
        .unwrap();
    drop(store);
    let before = fs::read(state.file()).unwrap();
    let writing = start(&state);
    writing.writer().record(small("one"));
    assert!(!writing.writer().flush(SOON));
    let condition = writing.end();
    assert!(condition.problem.unwrap().contains("left alone"));
    assert_eq!(condition.counts.lost_writing, 1);
    assert_eq!(condition.counts.set_aside, 0);
    assert_eq!(fs::read(state.file()).unwrap(), before);
}

#[test]
fn a_history_removed_by_others_is_made_again() {
    let state = State::new();
    let writing = start(&state);
    writing.writer().record(small("one"));
    assert!(writing.writer().flush(SOON));
    for name in state.names() {
        fs::remove_file(state.path().join(name)).unwrap();
    }
    writing.writer().record(small("two"));
    assert!(writing.writer().flush(SOON));
    assert_eq!(writing.end().counts.set_aside, 0);
    assert_eq!(state.ids(), ["two"]);
}

#[test]
fn what_does_not_fit_is_counted_and_the_sender_never_waits() {
    const RECORDS: u64 = 100;
    let state = State::new();
    // No directory: nothing can be written.
    let blocked = state.path().join("file");
    fs::write(&blocked, "").unwrap();
    let settings = Settings {
        directory: blocked,
        ..state.settings()
    };
    let writing = Writing::start(settings).unwrap();
    let bulky = |number: u64| {
        let invocation = Invocation {
            argv: vec!["x".repeat(MAX_WAITING_BYTES / 10)],
            ..invocation(&number.to_string(), now_ms())
        };
        run(invocation, Vec::new())
    };
    for number in 0..RECORDS {
        writing.writer().record(bulky(number));
    }
    assert!(!writing.writer().flush(SOON));
    let condition = writing.end();
    let counts = condition.counts;
    assert_eq!(
        counts.lost_waiting + counts.lost_writing,
        RECORDS,
        "{counts:?}"
    );
    assert!((1..10).contains(&counts.lost_writing), "{counts:?}");
    assert_eq!(condition.degraded().len(), 2, "{:?}", condition.degraded());
}

#[test]
fn settings_change_while_it_runs() {
    let (one, two) = (State::new(), State::new());
    let writing = start(&one);
    let writer = writing.writer();
    writer.record(small("one"));
    assert!(writer.flush(SOON));
    writer.set(Settings {
        enabled: false,
        ..one.settings()
    });
    writer.record(small("unwanted"));
    assert!(writer.flush(SOON));
    writer.set(two.settings());
    writer.record(small("two"));
    let condition = writing.end();
    assert_eq!(condition, super::super::writer::Condition::default());
    assert_eq!(
        (one.ids(), two.ids()),
        (vec!["one".to_owned()], vec!["two".to_owned()])
    );
}

#[test]
fn two_writers_and_a_reader_share_it() {
    let state = State::new();
    let (first, second) = (start(&state), start(&state));
    for number in 0..50 {
        first.writer().record(small(&format!("first{number}")));
        second.writer().record(small(&format!("second{number}")));
        if number % 10 == 0 {
            assert!(first.writer().flush(SOON) && second.writer().flush(SOON));
            assert!(!state.ids().is_empty());
        }
    }
    assert_eq!(first.end(), second.end());
    assert_eq!(state.ids().len(), 100);
}

#[test]
fn old_records_go_by_themselves() {
    let state = State::new();
    let mut store = state.open();
    store
        .write(&[run(invocation("ancient", 1), Vec::new())])
        .unwrap();
    drop(store);
    let writing = start(&state);
    let deadline = std::time::Instant::now() + SOON;
    while !state.ids().is_empty() {
        assert!(std::time::Instant::now() < deadline, "{:?}", state.ids());
        std::thread::sleep(Duration::from_millis(20));
    }
    writing.end();
}
