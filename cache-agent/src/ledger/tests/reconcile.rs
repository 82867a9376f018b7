//! What a walk decides, and what it does not.

use super::*;

impl Watched {
    /// A walk that is done, but not compared yet.
    fn walk_done(&mut self) {
        while !self.root().walk_finished() {
            self.ledger.take_walks(LIMIT);
        }
    }
}

#[test]
fn what_no_hook_saw_is_drift_and_nobodys() {
    let mut watched = Watched::walked(Backend::Tracepoint, &[("a", 100)]);
    let go = watched.kernel.start("go build");
    watched.kernel.write(go, &watched.path("b"), 50);
    fs::write(watched.path("unseen"), "1234567").unwrap();
    let found = watched.walk();
    assert_eq!((found.drift_bytes, found.is_since_last_run), (-7, false));
    assert_eq!(watched.size(), watched.on_disk());
    let corrected = watched.root().corrected;
    assert_eq!((corrected.growth_bytes, corrected.files_created), (7, 1));
    assert_eq!(watched.growth(go), 50);
    assert_eq!(watched.walk().drift_bytes, 0);
}

#[test]
fn a_drift_that_a_second_walk_does_not_find_is_none() {
    let mut watched = Watched::walked(Backend::Tracepoint, &[("a", 100)]);
    fs::write(watched.path("not told yet"), "1234567").unwrap();
    watched.ledger.start_walk(watched.index).unwrap();
    watched.walk_done();
    fs::remove_file(watched.path("not told yet")).unwrap();
    let found = watched
        .ledger
        .wait_for_walks(|_| {})
        .unwrap()
        .done
        .remove(0);
    assert_eq!(found.drift_bytes, 0);
    assert_eq!(watched.root().corrected, Changes::default());
}

#[test]
fn the_first_walk_has_no_drift() {
    let mut watched = Watched::taken_up(Backend::Tracepoint, &[("a", 100)]);
    let go = watched.kernel.start("go build");
    watched.kernel.write(go, &watched.path("b"), 50);
    assert_eq!(watched.walk().drift_bytes, 0);
    assert_eq!(watched.size(), (150, 2));
    assert_eq!(watched.root().corrected, Changes::default());
}

#[test]
fn the_first_walk_is_compared_with_what_the_last_run_left() {
    let mut watched = Watched::taken_up(Backend::Tracepoint, &[("a", 100)]);
    let index = watched.index;
    watched.ledger.root_mut(index).unwrap().recall(70, 1);
    let found = watched.walk();
    assert_eq!((found.drift_bytes, found.is_since_last_run), (-30, true));
    assert_eq!(watched.root().corrected.growth_bytes, 30);
    assert!(!watched.walk().is_since_last_run);
}

#[test]
fn a_walk_under_which_events_were_lost_is_repeated_three_times_and_then_decides_nothing() {
    let mut watched = Watched::walked(Backend::Tracepoint, &[("a", 100)]);
    let go = watched.kernel.start("go build");
    let before = watched.root().base.unwrap();
    watched.ledger.start_walk(watched.index).unwrap();
    for round in 0..=3 {
        watched.kernel.lose_events(true);
        watched.kernel.write(go, &watched.path("a"), 10);
        watched.kernel.lose_events(false);
        watched.walk_done();
        let found = watched.ledger.reconcile(Unsure::Leave, |_| {}).unwrap();
        assert!(found.done.is_empty(), "{round}");
        assert_eq!(watched.root().walk.is_some(), round < 3, "{round}");
    }
    let after = watched.root().base.unwrap();
    assert_eq!((after.bytes, after.total), (before.bytes, before.total));
    assert_eq!(watched.size(), watched.on_disk());
    assert_eq!(watched.walk().drift_bytes, 0);
}

#[test]
fn an_unsure_walk_that_is_taken_gives_no_drift_to_the_next_one() {
    let mut watched = Watched::taken_up(Backend::Tracepoint, &[("a", 100)]);
    let go = watched.kernel.start("go build");
    watched.ledger.start_walk(watched.index).unwrap();
    for _ in 0..=3 {
        watched.kernel.lose_events(true);
        watched.kernel.write(go, &watched.path("a"), 10);
        watched.kernel.lose_events(false);
        watched.walk_done();
        watched.ledger.reconcile(Unsure::Take, |_| {}).unwrap();
    }
    assert!(watched.root().is_base_unsure);
    assert_eq!(watched.walk().drift_bytes, 0);
    assert!(!watched.root().is_base_unsure);
    assert_eq!(watched.size(), watched.on_disk());
}

#[test]
fn where_names_that_go_are_not_told_a_changed_file_that_is_gone_does_not_count() {
    let kernel = FakeKernel::without_hook(Backend::Tracepoint, "status_change");
    let mut ledger = Ledger::with(kernel.clone()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (kept, gone) = (directory.path().join("kept"), directory.path().join("gone"));
    fs::write(&kept, "12").unwrap();
    fs::write(&gone, "345").unwrap();
    let index = ledger.watch(directory.path()).unwrap();
    ledger.start_walk(index).unwrap();
    ledger.wait_for_walks(|_| {}).unwrap();
    let go = kernel.start("go build");
    kernel.write(go, &gone, 10);
    fs::remove_file(&gone).unwrap();
    // The write is told only while the walk is under way.
    ledger.start_walk(index).unwrap();
    let found = ledger.wait_for_walks(|_| {}).unwrap().done.remove(0);
    assert_eq!((found.base.bytes, found.base.files), (2, 1));
    assert_eq!(found.drift_bytes, 13);
}

#[test]
fn sizes_that_a_walk_found_are_told_to_the_hooks_that_need_them() {
    let mut watched = Watched::walked(Backend::Tracepoint, &[("a", 100)]);
    fs::write(watched.path("a"), "12345").unwrap();
    assert_eq!(watched.walk().drift_bytes, 95);
    let go = watched.kernel.start("go clean");
    watched.kernel.unlink(go, &watched.path("a"));
    assert_eq!((watched.growth(go), watched.size()), (-5, (0, 0)));
}
