use std::{
    fs::{self, File},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::symlink,
    },
};

use tempfile::TempDir;

use super::*;
use crate::{
    kernel::{
        fake::{FakeKernel, FakeProcesses},
        hooks::Backend,
        ledger_maps::LedgerMaps as _,
    },
    model::changes::Changes,
};

/// An observer that names the files of one root.
struct Bench {
    kernel: FakeKernel,
    observer: Observer<FakeProcesses>,
    cache: TempDir,
}

impl Bench {
    fn new() -> Self {
        let kernel = FakeKernel::new(Backend::Tracepoint);
        let mut observer = Observer::start(kernel.process_maps(), ["please"]).unwrap();
        let cache = tempfile::tempdir().unwrap();
        let open = || OwnedFd::from(File::open(cache.path()).unwrap());
        let mut maps = kernel.clone();
        maps.open_root(0).unwrap();
        maps.register(open().as_fd(), 0).unwrap().unwrap();
        observer.watch(
            0,
            "/cache".to_owned(),
            RootKind::GoMod,
            Arc::new(Directory::Open(open())),
        );
        Self {
            kernel,
            observer,
            cache,
        }
    }

    /// Hands over what the ring of files has, as the ledger does.
    fn facts(&mut self) {
        let observer = &mut self.observer;
        self.kernel.drain(usize::MAX, |record| {
            observer.fact(Fact::decode(record).unwrap());
        });
    }
}

fn sums(growth_bytes: i64) -> HashMap<u32, Sums> {
    let changes = Changes {
        growth_bytes,
        ..Changes::default()
    };
    let sums = Sums {
        changes,
        ..Sums::default()
    };
    HashMap::from([(0, sums)])
}

#[test]
fn gos_tools_and_those_of_the_configuration_begin_invocations() {
    let mut bench = Bench::new();
    let tools = bench.kernel.tools();
    assert!(
        ["go", "gopls", "please"]
            .iter()
            .all(|name| tools.contains(&(*name).to_owned()))
    );
    bench.kernel.start("please build");
    bench.kernel.start("vi x");
    assert_eq!(bench.observer.look(), 1);
    assert_eq!(bench.observer.tracker().live().count(), 1);
}

#[test]
fn a_fact_waits_for_the_steps_before_it() {
    let mut bench = Bench::new();
    let go = bench.kernel.start("go mod download");
    let file = bench
        .cache
        .path()
        .join("cache/download/example.com/m/@v/v1.0.0.zip");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    bench.kernel.write(go, &file, 70);
    // The fact comes first; who wrote the file is told by the look that follows.
    bench.facts();
    bench.observer.look();
    let finished = bench.observer.finish_one(&go, &sums(70), None);
    let [Finished { packages, .. }] = &finished[..] else {
        panic!("{finished:?}");
    };
    let found: Vec<_> = packages
        .iter()
        .map(|one| (one.path.as_str(), one.growth_bytes))
        .collect();
    assert_eq!(found, [("example.com/m@v1.0.0", 70)]);
}

#[test]
fn packages_explain_the_bytes_of_an_invocation_and_the_rest_is_unmapped() {
    let mut bench = Bench::new();
    let go = bench.kernel.start("go mod download");
    bench.observer.look();
    let finished = bench.observer.finish_one(&go, &sums(70), None);
    let unmapped = &finished[0].packages[0];
    assert_eq!((unmapped.path.as_str(), unmapped.growth_bytes), ("", 70));
    assert_eq!(finished[0].record.growth_bytes, 70);
    assert!(!bench.observer.tracker().knows(&go));
}

#[test]
fn an_invocation_whose_steps_were_lost_is_told_by_its_account() {
    let mut bench = Bench::new();
    let go = bench.kernel.start("go build ./...");
    bench.kernel.lose_steps(2);
    let leader = Identity {
        comm: "go".to_owned(),
        argv: vec!["go".to_owned(), "test".to_owned()].into(),
        uid: 7,
        ..Identity::default()
    };
    let finished = bench.observer.finish_one(&go, &sums(1), Some(&leader));
    let record = &finished[0].record;
    assert_eq!((record.verb.as_str(), record.uid), ("test", 7));
    assert_eq!(bench.observer.lost().unwrap(), 2);
}

#[test]
fn gos_own_helper_is_nobodys_invocation_unless_it_changed_something() {
    for (sums, told) in [(HashMap::new(), 0), (sums(1), 1)] {
        let mut bench = Bench::new();
        let argv = vec!["go".to_owned(), "** telemetry **".to_owned()];
        let helper = Identity {
            comm: "go".to_owned(),
            argv: argv.into(),
            ..Identity::default()
        };
        let key = bench.kernel.start("go");
        let finished = bench.observer.finish_one(&key, &sums, Some(&helper));
        assert_eq!(finished.len(), told);
    }
}

#[test]
fn files_are_read_below_their_root_only_and_no_link_is_followed() {
    let bench = Bench::new();
    let top = bench.cache.path();
    fs::write(top.join("plain"), "text").unwrap();
    fs::create_dir(top.join("directory")).unwrap();
    symlink("plain", top.join("link")).unwrap();
    symlink(top, top.join("directory/up")).unwrap();
    let name = top.file_name().unwrap().to_str().unwrap();
    let outside = format!("../{name}/plain");
    let read = |path: &str| bench.observer.places.read(0, path.as_bytes());
    assert_eq!(read("plain").as_deref(), Some(&b"text"[..]));
    for path in [
        "link",
        "directory/up/plain",
        "directory",
        &outside,
        "/etc/passwd",
        "absent",
    ] {
        assert_eq!(read(path), None, "{path}");
    }
    assert_eq!(bench.observer.places.read(1, b"plain"), None);
}

#[test]
fn of_a_root_that_is_gone_nothing_is_named_any_more() {
    let mut bench = Bench::new();
    assert!(bench.observer.watches(0));
    bench.observer.unwatch(0);
    assert!(!bench.observer.watches(0));
    assert_eq!(bench.observer.places.read(0, b"plain"), None);
}
