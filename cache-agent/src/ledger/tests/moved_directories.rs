//! Directories that cross a root's border, as seen from outside.

use super::*;

fn directory_with(path: &Path, files: &[(&str, usize)]) {
    fs::create_dir(path).unwrap();
    for (name, size) in files {
        fs::write(path.join(name), vec![b'x'; *size]).unwrap();
    }
}

#[test]
fn a_directory_that_enters_is_credited_to_its_mover_without_what_came_later() {
    let mut watched = Watched::walked(Backend::Tracepoint, &[]);
    let outside = tempfile::tempdir().unwrap();
    let from = outside.path().join("d");
    directory_with(&from, &[("a", 100), ("b", 20)]);
    let (mover, writer) = (
        watched.kernel.start("mv d"),
        watched.kernel.start("go build"),
    );
    let to = watched.path("d");
    watched.kernel.move_directory(mover, &from, &to);
    watched.kernel.write(writer, &to.join("later"), 7);
    watched.kernel.unlink(writer, &to.join("b"));
    watched.drain();
    watched.ledger.measure(|_| {}).unwrap();
    assert_eq!(
        (watched.growth(mover), watched.growth(writer)),
        (120, 7 - 20)
    );
    assert_eq!((watched.size(), watched.on_disk()), ((107, 2), (107, 2)));
    assert_eq!(watched.kernel.measured(), 1);
    let found = watched.walk();
    assert_eq!((found.drift_bytes, found.moved), (0, None));
}

#[test]
fn a_directory_that_leaves_takes_what_it_held_from_its_movers_account() {
    for backend in [Backend::Tracepoint, Backend::Fentry] {
        let mut watched = Watched::taken_up(backend, &[("stays", 1)]);
        let from = watched.path("d");
        directory_with(&from, &[("a", 100), ("b", 20)]);
        watched.walk();
        let outside = tempfile::tempdir().unwrap();
        let to = outside.path().join("d");
        let mover = watched.kernel.start("mv d");
        watched.kernel.move_directory(mover, &from, &to);
        watched.drain();
        watched.ledger.measure(|_| {}).unwrap();
        assert_eq!(watched.growth(mover), -120);
        assert_eq!((watched.size(), watched.on_disk()), ((1, 1), (1, 1)));
        assert_eq!(watched.walk().drift_bytes, 0);
    }
}

#[test]
fn a_directory_whose_event_was_lost_is_told_by_the_next_walk_as_its_movers() {
    let mut watched = Watched::walked(Backend::Tracepoint, &[("stays", 1)]);
    let outside = tempfile::tempdir().unwrap();
    let from = outside.path().join("d");
    directory_with(&from, &[("a", 100)]);
    let mover = watched.kernel.start("mv d");
    watched.kernel.lose_events(true);
    watched
        .kernel
        .move_directory(mover, &from, &watched.path("d"));
    watched.kernel.lose_events(false);
    assert!(watched.ledger.has_crossing(watched.index).unwrap());
    let found = watched.walk();
    let (who, moved) = found.moved.unwrap();
    assert_eq!(
        (who, moved.growth_bytes, found.drift_bytes),
        (mover, 100, 0)
    );
    assert!(!watched.ledger.has_crossing(watched.index).unwrap());
}
