//! Where a history may be, and where not.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
};

use super::*;

fn refusal(opened: Result<Store, super::super::StoreError>) -> String {
    opened.unwrap_err().to_string()
}

#[test]
fn it_is_made_for_its_owner_alone() {
    let state = State::new();
    let directory = state.path().join("a/state");
    let _store = Store::open(&directory).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&directory), 0o700);
    for name in ["history.db", "history.db-wal", "history.db-shm"] {
        assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
    }
}

#[test]
fn links_are_not_followed() {
    let state = State::new();
    let (real, link) = (state.path().join("real"), state.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    assert!(refusal(Store::open(&link)).contains("link is a symbolic link"));
    let target = state.path().join("target");
    symlink(&target, real.join("history.db")).unwrap();
    assert!(refusal(Store::open(&real)).contains("history.db is a symbolic link"));
    assert!(!target.exists());
    // On the way to the directory they are its owner's choice.
    let way = state.path().join("way");
    symlink(state.path(), &way).unwrap();
    let directory = way.join("inside");
    Store::open(&directory).unwrap();
    Store::read(&directory).unwrap();
}

#[test]
fn what_others_can_write_is_refused() {
    let state = State::new();
    drop(state.open());
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(&state.file(), 0o622);
    assert!(refusal(Store::open(state.path())).contains("chmod go-w"));
    assert!(refusal(Store::read(state.path())).contains("chmod go-w"));
    allow(&state.file(), 0o644);
    allow(state.path(), 0o777);
    assert!(refusal(Store::open(state.path())).contains("chmod go-w"));
    allow(state.path(), 0o755);
    drop(state.open());
}

#[test]
fn other_things_are_named() {
    let state = State::new();
    let directory = state.path().join("dir");
    fs::create_dir_all(directory.join("history.db")).unwrap();
    assert!(refusal(Store::open(&directory)).ends_with("history.db is not a regular file"));
    let file = state.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refusal(Store::open(&file)).ends_with("file is not a directory"));
    for absent in [state.path().join("absent"), state.path().to_owned()] {
        assert_eq!(
            refusal(Store::read(&absent)),
            format!(
                "no history in {}: nothing was recorded there yet",
                absent.display()
            )
        );
    }
}

#[test]
fn a_reader_needs_no_right_to_write() {
    let state = State::new();
    let mut store = state.open();
    store
        .write(&[run(invocation("one", 1), Vec::new())])
        .unwrap();
    drop(store);
    assert_eq!(state.names(), ["history.db"]);
    // As after a copy to a read-only place: root itself is not stopped by permissions, so the URI is tested.
    let uri = crate::store::files::immutable_uri(&state.file());
    let connection = rusqlite::Connection::open_with_flags(
        uri,
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI,
    )
    .unwrap();
    let id: String = connection
        .query_row("SELECT id FROM invocation", [], |row| row.get(0))
        .unwrap();
    assert_eq!(id, "one");
    assert_eq!(state.names(), ["history.db"]);
}

#[test]
fn a_reader_leaves_other_schemas_alone() {
    let state = State::new();
    let set = |version: i64| {
        let connection = rusqlite::Connection::open(state.file()).unwrap();
        connection
            .pragma_update(None, "user_version", version)
            .unwrap();
    };
    drop(state.open());
    for (version, part) in [
        (99, "left alone"),
        (0, "`cache-agent run` brings it up to date"),
    ] {
        set(version);
        let error = refusal(Store::read(state.path()));
        assert!(error.contains(part), "{error}");
    }
}
