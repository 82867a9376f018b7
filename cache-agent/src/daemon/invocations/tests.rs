use super::*;
use crate::{
    daemon::testbed::Testbed,
    kernel::{fake::FakeKernel, hooks::Backend},
};

fn remembering() -> Testbed {
    Testbed::with(FakeKernel::new(Backend::Tracepoint), |config| {
        config.history.enabled = true;
    })
}

/// Looks until nothing waits any more.
fn settle(testbed: &mut Testbed) {
    testbed.look();
    let until = Instant::now() + Duration::from_secs(30);
    while testbed.event_loop.invocations.is_waiting() {
        assert!(Instant::now() < until, "the history does not answer");
        testbed.look();
    }
}

#[test]
fn an_invocation_has_the_bytes_of_all_its_processes_and_is_told_once() {
    let mut testbed = remembering();
    let go = testbed.kernel.start("go build ./...");
    let compile = testbed.kernel.start_child(go, "compile -o x");
    testbed.kernel.write(go, &testbed.path("cache/a"), 100);
    testbed.kernel.write(compile, &testbed.path("cache/b"), 20);
    testbed.look();
    testbed.kernel.exit(compile);
    testbed.look();
    testbed.kernel.unlink(go, &testbed.path("cache/b"));
    testbed.kernel.exit(go);
    settle(&mut testbed);
    let [counted, _] = testbed.look().invocations.groups;
    assert_eq!(counted.invocations, 1);
    let told = testbed.told();
    let [record] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((record.growth_bytes, record.freed_bytes), (100, 20));
    assert_eq!((record.files_created, record.files_deleted), (2, 1));
    assert_eq!(
        (record.tool.as_str(), record.verb.as_str()),
        ("go", "build")
    );
    assert_eq!(record.roots.len(), 1);
}

#[test]
fn bytes_count_at_the_innermost_invocation() {
    let mut testbed = remembering();
    let make = testbed.kernel.start("make all");
    let go = testbed.kernel.start_child(make, "go build");
    testbed.kernel.write(make, &testbed.path("cache/a"), 7);
    testbed.kernel.write(go, &testbed.path("cache/b"), 100);
    testbed.look();
    testbed.kernel.exit(go);
    testbed.kernel.exit(make);
    settle(&mut testbed);
    let told = testbed.told();
    let of = |tool| told.iter().find(|record| record.tool == tool).unwrap();
    assert_eq!((of("make").growth_bytes, of("go").growth_bytes), (7, 100));
    assert_eq!(of("go").parent.as_ref(), Some(&of("make").id));
}

#[test]
fn nothing_is_told_while_a_process_of_it_has_an_account() {
    let mut testbed = remembering();
    let go = testbed.kernel.start("go build");
    let child = testbed.kernel.start_child(go, "compile -o x");
    testbed.kernel.write(child, &testbed.path("cache/a"), 1);
    testbed.kernel.exit(go);
    for _ in 0..4 {
        testbed.look();
    }
    let [counted, _] = testbed.look().invocations.groups;
    assert_eq!(counted.invocations, 0);
    testbed.kernel.exit(child);
    settle(&mut testbed);
    assert_eq!(testbed.told()[0].growth_bytes, 1);
}

#[test]
fn an_invocation_that_filled_a_new_root_is_told_once_that_is_measured() {
    let mut testbed = remembering();
    let go = testbed.kernel.start("go build");
    testbed.look();
    testbed.event_loop.invocations.expect(go);
    testbed.kernel.exit(go);
    for _ in 0..4 {
        testbed.look();
    }
    assert!(testbed.event_loop.invocations.is_waiting());
    testbed.event_loop.invocations.fulfil(&go);
    settle(&mut testbed);
    assert_eq!(testbed.told().len(), 1);
}

#[test]
fn who_is_no_build_tool_is_told_if_it_moved_much() {
    let mut testbed = remembering();
    for (name, bytes) in [("tar", 5), ("rsync", 2 << 20), ("rm", 0)] {
        let stranger = testbed.kernel.start(&format!("{name} -x"));
        match name {
            "rm" => testbed
                .kernel
                .unlink(stranger, &testbed.path("cache/rsync")),
            _ => testbed
                .kernel
                .write(stranger, &testbed.path(&format!("cache/{name}")), bytes),
        }
        testbed.look();
        testbed.kernel.exit(stranger);
        testbed.look();
        settle(&mut testbed);
    }
    let told = testbed.told();
    let mut told: Vec<_> = told
        .iter()
        .map(|one| (one.tool.as_str(), one.argv.join(" "), one.freed_bytes))
        .collect();
    told.sort();
    let expected = [
        ("other", "rm -x".to_owned(), 2 << 20),
        ("other", "rsync -x".to_owned(), 0),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_is_over_when_the_agent_ends_is_told() {
    let mut testbed = remembering();
    let go = testbed.kernel.start("go build");
    testbed.kernel.write(go, &testbed.path("cache/a"), 5);
    testbed.kernel.exit(go);
    for _ in 0..2 {
        let figures = testbed.event_loop.read_figures();
        figures.unwrap();
    }
    testbed.event_loop.drain();
    let event_loop = &mut testbed.event_loop;
    event_loop.invocations.end(&mut event_loop.process_totals);
    assert_eq!(testbed.told()[0].growth_bytes, 5);
}
