//! Real files in directories of their own.

mod compiled;
mod keeping;
mod places;
mod scale;
mod threads;
mod writing;

use std::{path::Path, time::Duration};

use tempfile::TempDir;

use super::{
    Settings, Store,
    query::{self, Filter},
    record::{Record, Root, RootSize},
};
use crate::model::invocation::{Cause, Invocation, Package, Processes, RootShare};

/// Far more than a small batch needs, beside whatever else the machine does.
const SOON: Duration = Duration::from_secs(20);

/// A state directory that vanishes with the test.
struct State {
    directory: TempDir,
}

impl State {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn file(&self) -> std::path::PathBuf {
        self.path().join(super::FILE_NAME)
    }

    fn open(&self) -> Store {
        Store::open(self.path()).unwrap()
    }

    fn settings(&self) -> Settings {
        Settings {
            enabled: true,
            directory: self.path().to_owned(),
            max_age: Duration::from_hours(24),
            max_size: 64 << 20,
        }
    }

    /// Names of the files, sorted.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Ids of all invocations, newest first.
    fn ids(&self) -> Vec<String> {
        let store = Store::read(self.path()).unwrap();
        let found = query::invocations(&store, &everything()).unwrap();
        found.into_iter().map(|invocation| invocation.id).collect()
    }
}

fn everything() -> Filter<'static> {
    Filter {
        limit: u32::MAX,
        ..Filter::default()
    }
}

/// An invocation that fills every field.
fn invocation(id: &str, start_ms: i64) -> Invocation {
    let texts = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let share = RootShare {
        growth_bytes: -4,
        freed_bytes: 5,
    };
    Invocation {
        id: id.to_owned(),
        parent: Some("parent".to_owned()),
        tool: "go".to_owned(),
        verb: "test".to_owned(),
        version: "go1.27.3".to_owned(),
        argv: vec!["go".to_owned(), "nul\0 \" \u{1b}".to_owned()],
        cwd: "/srv/shop".to_owned(),
        module: "example.com/shop".to_owned(),
        uid: u32::MAX,
        user: "root".to_owned(),
        sudo_user: "alice".to_owned(),
        container: "c".to_owned(),
        runtime: "containerd".to_owned(),
        pod: "p".to_owned(),
        namespace: "n".to_owned(),
        unit: "u.service".to_owned(),
        slice: "user-1.slice".to_owned(),
        cgroup: "/x".to_owned(),
        ci: texts("job", "lint"),
        traceparent: "00-1-2-01".to_owned(),
        start: crate::sys::clock::rfc3339(start_ms),
        start_ms,
        duration_s: 1.25,
        exit_code: Some(0),
        growth_bytes: -1,
        freed_bytes: 2,
        files_created: 3,
        files_deleted: 4,
        keys: Vec::new(),
        built: Vec::new(),
        lookups: 5,
        hits: 6,
        misses: 7,
        index_lookups: 8,
        test_lookups: 9,
        other_lookups: 10,
        roots: [("/home/alice/.cache/go-build".to_owned(), share)].into(),
        cause: vec![Cause {
            kind: "GOFLAGS".to_owned(),
            detail: "\"\" -> \"-race\"".to_owned(),
            ..Cause::default()
        }],
        fingerprint: texts("GOFLAGS", "-race"),
        processes: [(
            "compile".to_owned(),
            Processes {
                count: 9,
                cpu_s: 0.5,
            },
        )]
        .into(),
    }
}

fn package(id: &str, path: &str, growth_bytes: i64) -> Package {
    Package {
        invocation: id.to_owned(),
        path: path.to_owned(),
        class: "compile".to_owned(),
        variant: "go1.27.3 linux/amd64".to_owned(),
        growth_bytes,
        files: 2,
    }
}

fn run(invocation: Invocation, packages: Vec<Package>) -> Record {
    Record::Invocation(Box::new(invocation), packages)
}

fn root_size(minute: i64, size_bytes: u64) -> Record {
    Record::RootSize(RootSize {
        root: Root {
            name: "ci".to_owned(),
            path: "/srv/ci".to_owned(),
            kind: "gobuild",
        },
        minute,
        size_bytes,
        disk_bytes: 4096,
        files: 1,
    })
}
