use bytemuck::Zeroable as _;
use cache_ebpf::ancestry::{PROCESS_EXEC, PROCESS_EXIT, PROCESS_FORK, ProcessEvent};

use super::*;
use crate::{
    go::action_id::{Id, Prefix},
    invocation::lookups::{Entries, Kind},
    model::invocation::{Finished, Invocation},
    sys::file_id::FileId,
};

/// No caches.
struct Nothing;

impl Entries for Nothing {
    fn read(&self, _: u32, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn identity(&self, _: Option<u32>) -> FileId {
        (0, 0)
    }

    fn kind(&self, _: u32, _: &Id) -> Option<Kind> {
        None
    }

    fn find(&self, _: u32, _: &Prefix) -> Option<(Id, Id)> {
        None
    }

    fn is_known_since(&self, _: u32, _: u64, _: i64) -> bool {
        false
    }
}

/// Its record, with nothing in any cache.
fn finished(live: Live) -> Finished {
    let told = live.finish(&HashMap::new(), &HashMap::new(), &Nothing);
    told.into_iter().next().unwrap()
}

fn key(tgid: u32, start_ns: u64) -> ProcessKey {
    ProcessKey {
        start_ns,
        tgid,
        pad: 0,
    }
}

/// One step of `process`, which belongs to `invocation`, started from `parent`.
fn step(
    tracker: &mut Tracker,
    kind: u32,
    process: ProcessKey,
    [invocation, parent]: [ProcessKey; 2],
    line: &str,
) -> Option<Question> {
    let argv = line.replace(' ', "\0") + "\0";
    let argv = if line.is_empty() { String::new() } else { argv };
    let mut comm = [0; 16];
    let name = line.split(' ').next().unwrap_or_default();
    comm[..name.len()].copy_from_slice(name.as_bytes());
    let event = ProcessEvent {
        kind,
        process,
        invocation,
        parent,
        comm,
        argv_len: u32::try_from(argv.len()).unwrap(),
        time_ns: process.start_ns + 2_000_000_000,
        cpu_ns: 500_000_000,
        status: 1 << 8,
        ..ProcessEvent::zeroed()
    };
    let record = [bytemuck::bytes_of(&event), argv.as_bytes()].concat();
    tracker.step(&Step::decode(&record).unwrap())
}

#[test]
fn a_tool_begins_an_invocation_and_its_exit_ends_it() {
    let mut tracker = Tracker::new("boot".to_owned());
    let nobody = key(0, 0);
    let (go, child) = (key(10, 100), key(11, 200));
    assert!(
        step(
            &mut tracker,
            PROCESS_EXEC,
            go,
            [go, nobody],
            "go build ./..."
        )
        .is_some()
    );
    assert!(step(&mut tracker, PROCESS_FORK, child, [go, nobody], "go").is_none());
    step(
        &mut tracker,
        PROCESS_EXEC,
        child,
        [go, nobody],
        "compile -V=full",
    );
    step(&mut tracker, PROCESS_EXIT, go, [go, nobody], "");
    let live = tracker.live().next().unwrap();
    assert!(live.has_ended() && !live.is_over());
    step(&mut tracker, PROCESS_EXIT, child, [go, nobody], "");
    let live = tracker.take(&go).unwrap();
    assert!(live.is_over());
    let finished = finished(live);
    let record = &finished.record;
    assert_eq!(
        (record.tool.as_str(), record.verb.as_str()),
        ("go", "build")
    );
    assert_eq!(record.exit_code, Some(1));
    assert_eq!(record.id, "boot-10-100");
    assert!((record.duration_s - 2.0).abs() < 1e-6);
    assert_eq!(record.processes["compile"].count, 1);
    assert!((record.processes["go"].cpu_s - 0.5).abs() < 1e-6);
}

#[test]
fn a_nested_tool_has_its_parent_and_its_own_members() {
    let mut tracker = Tracker::new("boot".to_owned());
    let nobody = key(0, 0);
    let (make, go) = (key(10, 100), key(11, 200));
    step(&mut tracker, PROCESS_EXEC, make, [make, nobody], "make all");
    step(&mut tracker, PROCESS_FORK, go, [make, nobody], "make");
    step(&mut tracker, PROCESS_EXEC, go, [go, make], "go test");
    step(&mut tracker, PROCESS_EXIT, make, [make, nobody], "");
    let of = |tracker: &Tracker, key| {
        let live = tracker.live().find(|live| live.key == key).unwrap();
        (live.is_over(), live.record.parent.clone())
    };
    // The one that became a tool of its own is no longer waited for.
    assert_eq!(of(&tracker, make), (true, None));
    assert_eq!(of(&tracker, go), (false, Some("boot-10-100".to_owned())));
}

#[test]
fn a_script_in_place_of_go_leaves_its_place_to_the_go_that_it_runs() {
    let mut tracker = Tracker::new("boot".to_owned());
    let nobody = key(0, 0);
    let [make, script, go] = [10, 11, 12].map(|tgid| key(tgid, 100));
    step(&mut tracker, PROCESS_EXEC, make, [make, nobody], "make all");
    let line = "bash /opt/shims/go build ./...";
    step(&mut tracker, PROCESS_EXEC, script, [script, make], line);
    let of = |tracker: &Tracker, key| {
        let live = tracker.live().find(|live| live.key == key).unwrap();
        let Invocation { tool, verb, .. } = &live.record;
        (
            format!("{tool} {verb}"),
            live.is_untold(),
            live.record.parent.clone(),
        )
    };
    let parent = Some("boot-10-100".to_owned());
    assert_eq!(
        of(&tracker, script),
        ("go build".to_owned(), false, parent.clone())
    );
    step(
        &mut tracker,
        PROCESS_EXEC,
        go,
        [go, script],
        "go build ./...",
    );
    assert_eq!(of(&tracker, go), ("go build".to_owned(), false, parent));
    assert!(of(&tracker, script).1);
}

#[test]
fn a_version_that_executes_another_is_one_invocation_of_that_one() {
    let mut tracker = Tracker::new("boot".to_owned());
    let (go, nobody) = (key(10, 100), key(0, 0));
    step(&mut tracker, PROCESS_EXEC, go, [go, nobody], "go build");
    let variables = "GOTOOLCHAIN_INTERNAL_SWITCH_VERSION=go1.24.11";
    step_with(
        &mut tracker,
        go,
        [go, nobody],
        ["go1.24.11 build", variables],
    );
    let first = Answer {
        version: "go1.21.13".to_owned(),
        ..Answer::default()
    };
    tracker.answer(&go, first);
    let live = tracker.take_all();
    let [live] = <[Live; 1]>::try_from(live).unwrap();
    let finished = finished(live);
    let Invocation {
        tool,
        verb,
        version,
        ..
    } = &finished.record;
    assert_eq!([tool, verb, version], ["go", "build", "go1.24.11"]);
}

#[test]
fn a_number_used_again_is_another_process() {
    let mut tracker = Tracker::new("boot".to_owned());
    let nobody = key(0, 0);
    for start in [100, 200] {
        let go = key(10, start);
        step(&mut tracker, PROCESS_EXEC, go, [go, nobody], "go vet");
        step(&mut tracker, PROCESS_EXIT, go, [go, nobody], "");
    }
    assert_eq!(tracker.live().filter(|live| live.is_over()).count(), 2);
}

/// The same for a program that was given these variables.
fn step_with(tracker: &mut Tracker, process: ProcessKey, above: [ProcessKey; 2], words: [&str; 2]) {
    let [line, variables] = words.map(|words| words.replace(' ', "\0") + "\0");
    let mut comm = [0; 16];
    let name = line.split('\0').next().unwrap_or_default();
    comm[..name.len()].copy_from_slice(name.as_bytes());
    let [invocation, parent] = above;
    let event = ProcessEvent {
        kind: PROCESS_EXEC,
        process,
        invocation,
        parent,
        comm,
        argv_len: u32::try_from(line.len()).unwrap(),
        env_len: u32::try_from(variables.len()).unwrap(),
        ..ProcessEvent::zeroed()
    };
    let record = [
        bytemuck::bytes_of(&event),
        line.as_bytes(),
        variables.as_bytes(),
    ]
    .concat();
    tracker.step(&Step::decode(&record).unwrap());
}

/// Whether `go build` (started by `go generate`, in /c) is alone beside another command.
fn is_alone_beside(other: &str, variables: &str) -> bool {
    let mut tracker = Tracker::new("boot".to_owned());
    let nobody = key(0, 0);
    let [generate, go, stranger] = [(9, 50), (10, 100), (11, 90)].map(|(tgid, at)| key(tgid, at));
    let cache = "GOCACHE=/c";
    step_with(
        &mut tracker,
        generate,
        [generate, nobody],
        ["go generate", cache],
    );
    step_with(&mut tracker, go, [go, generate], ["go build", cache]);
    step_with(
        &mut tracker,
        stranger,
        [stranger, nobody],
        [other, variables],
    );
    let told = variables::allowed(cache.as_bytes());
    tracker.is_alone(&Sighting::of(go, 0, 0, &told))
}

#[test]
fn a_command_is_alone_beside_those_that_use_other_caches() {
    for (other, variables, expected) in [
        ("go build", "GOCACHE=/c", false),
        ("go build", "GOCACHE=/other", true),
        ("go build", "HOME=/home", true),
        ("go build", "PATH=/bin", false),
        ("make", "GOCACHE=/c", true),
    ] {
        assert_eq!(
            is_alone_beside(other, variables),
            expected,
            "{other} {variables}"
        );
    }
}
