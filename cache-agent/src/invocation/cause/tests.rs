use std::collections::BTreeMap;

use super::*;
use crate::model::{
    compiled::{Compiled, Import},
    invocation::{Invocation, RootShare},
};

/// An invocation number `at` of example.com/shop with these settings; nothing is built yet.
fn run(at: i64, settings: &[(&str, &str)]) -> Finished {
    let mut fingerprint: BTreeMap<_, _> = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    fingerprint.insert("GOOS".to_owned(), "linux".to_owned());
    Finished {
        record: Invocation {
            id: format!("b-{at}"),
            tool: "go".to_owned(),
            module: "example.com/shop".to_owned(),
            cwd: "/src".to_owned(),
            user: "u1".to_owned(),
            start_ms: at * 1000,
            roots: BTreeMap::from([("/c".to_owned(), RootShare::default())]),
            fingerprint,
            ..Invocation::default()
        },
        ..Finished::default()
    }
}

/// It compiles a package of its module, so many bytes, as action number `action`.
fn compiles(mut run: Finished, path: &str, action: u8, bytes: i64, imports: &[&str]) -> Finished {
    let of_compilers = ["race", "gcflags", "trimpath", "fuzz", "dwarf"];
    let flags = run.record.fingerprint.iter();
    let flags = flags.filter(|(name, _)| of_compilers.contains(&name.as_str()));
    run.compiled.push(Compiled {
        path: path.to_owned(),
        directory: format!("{}/{}", run.record.cwd, path.rsplit('/').next().unwrap()),
        flags: flags
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        imports: Some(
            imports
                .iter()
                .map(|&path| Import {
                    path: path.to_owned(),
                    ..Import::default()
                })
                .collect(),
        ),
        action: [action; 15],
        is_kept: true,
        cpu_s: 0.5,
        ..Compiled::default()
    });
    run.packages.push(Package {
        path: path.to_owned(),
        class: "compile".to_owned(),
        growth_bytes: bytes,
        ..Package::default()
    });
    run.record.growth_bytes += bytes;
    run
}

const A: &str = "example.com/shop/a";
const B: &str = "example.com/shop/b";

/// Causes after these, each of which is explained and remembered.
fn after(earlier: &[Finished], now: &Finished) -> Vec<Cause> {
    let mut past = Past::default();
    for one in earlier {
        let mut one = one.clone();
        explain(&mut one, &past);
        past.add(&one);
    }
    let mut now = now.clone();
    explain(&mut now, &past);
    now.record.cause
}

#[track_caller]
fn check(earlier: &[Finished], now: &Finished, expected: &[(&str, &str)]) {
    let found = after(earlier, now);
    let found: Vec<_> = found
        .iter()
        .map(|cause| (cause.kind.as_str(), cause.detail.as_str()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn what_nobody_compiled_is_built_first() {
    let now = compiles(run(1, &[]), A, 1, 10, &[]);
    let first = [(
        "first_build",
        "of example.com/shop in this cache: example.com/shop/a",
    )];
    check(&[], &now, &first);
    let mut elsewhere = compiles(run(0, &[]), A, 1, 10, &[]);
    elsewhere.compiled[0].cache = (1, 2);
    check(&[elsewhere], &now, &first);
    // Somebody else is at it at the same time.
    let mut beside = compiles(run(0, &[]), A, 1, 10, &[]);
    beside.record.duration_s = 5.0;
    check(&[beside], &now, &first);
}

#[test]
fn bytes_packages_and_seconds_add_up() {
    let now = compiles(compiles(run(1, &[]), A, 1, 10, &[]), B, 2, 32, &[A]);
    let [cause] = <[Cause; 1]>::try_from(after(&[], &now)).unwrap();
    assert_eq!((cause.bytes, cause.packages), (42, 2));
    assert!((cause.cpu_s - 1.0).abs() < 1e-9);
}

#[test]
fn the_first_input_that_differs_is_the_reason() {
    for (before, now, expected) in [
        (
            &[][..],
            &[("race", "true")][..],
            ("settings:race", "\"\" -> \"true\""),
        ),
        (
            &[("go", "1.26.1")],
            &[("go", "1.27.3")],
            ("toolchain", "1.26.1 -> 1.27.3"),
        ),
        (
            &[("GOAMD64", "v1")],
            &[("GOAMD64", "v3")],
            ("settings:GOAMD64", "\"v1\" -> \"v3\""),
        ),
        (
            &[("GOFLAGS", "-v")],
            &[("GOFLAGS", "-gcflags=-l")],
            ("settings:GOFLAGS", "\"-v\" -> \"-gcflags=-l\""),
        ),
        (
            &[],
            &[("toolexec", "/x")],
            ("settings:toolexec", "\"\" -> \"/x\""),
        ),
        (
            &[("lang", "go1.22")],
            &[("lang", "go1.23")],
            ("settings:lang", "\"go1.22\" -> \"go1.23\""),
        ),
        (&[], &[("tags", "a")], ("settings:tags", "\"\" -> \"a\"")),
        // These change no compiler's action.
        (&[], &[("ldflags", "-s")], ("source", A)),
        (
            &[("GOFLAGS", "-v")],
            &[("GOFLAGS", "-mod=mod -p=2")],
            ("source", A),
        ),
        (&[("CC", "gcc")], &[("CC", "clang")], ("source", A)),
        // Nobody told the one before.
        (&[], &[("go", "1.27.3")], ("source", A)),
        // What was cut is not empty.
        (
            &[("argv", "cut")],
            &[("toolexec", "/x")],
            (
                "unknown",
                "nothing differs in what was kept of a long command line: example.com/shop/a",
            ),
        ),
        (
            &[("argv", "cut")],
            &[("argv", "cut"), ("gcflags", "-l")],
            ("settings:gcflags", "\"\" -> \"-l\""),
        ),
    ] {
        let before = compiles(run(1, before), A, 1, 10, &[]);
        check(
            &[before],
            &compiles(run(2, now), A, 2, 10, &[]),
            &[expected],
        );
    }
}

#[test]
fn a_package_is_compared_with_its_own_last_build_of_that_kind() {
    let plain = compiles(run(1, &[]), A, 1, 10, &[]);
    let race = compiles(run(2, &[("race", "true")]), A, 2, 10, &[]);
    let edited = compiles(run(3, &[]), A, 3, 10, &[]);
    check(&[plain, race], &edited, &[("source", A)]);
}

#[test]
fn an_entry_that_was_there_went() {
    let before = compiles(run(1, &[]), A, 1, 10, &[]);
    let again = compiles(run(5, &[]), A, 1, 10, &[]);
    let unseen = [(
        "removed",
        "by somebody who was not seen: example.com/shop/a",
    )];
    check(std::slice::from_ref(&before), &again, &unseen);
    for (line, kind) in [
        ("go clean -cache", "cleaned"),
        ("go trim", "trimmed"),
        ("rm -rf x", "removed"),
    ] {
        let mut by = run(3, &[]);
        by.record.argv = line.split(' ').map(str::to_owned).collect();
        (by.record.tool, by.record.verb) = (by.record.argv[0].clone(), by.record.argv[1].clone());
        by.record.freed_bytes = 5;
        by.record.start = "then".to_owned();
        let detail = format!("by {line} of u1 at then: {A}");
        check(&[before.clone(), by], &again, &[(kind, &detail)]);
    }
    // What is new did not go.
    check(
        std::slice::from_ref(&before),
        &compiles(run(5, &[]), A, 2, 10, &[]),
        &[("source", A)],
    );
    let forced = compiles(run(5, &[("a", "true")]), A, 1, 10, &[]);
    check(&[before], &forced, &[("settings:a", "\"\" -> \"true\"")]);
    let mut unkept = compiles(run(1, &[]), A, 1, 10, &[]);
    unkept.compiled[0].is_kept = false;
    check(&[unkept], &again, &[("source", A)]);
}

#[test]
fn the_package_that_it_began_with_is_named() {
    let all = |at, action: u8| {
        let leaf = compiles(run(at, &[]), "example.com/shop/z", action, 10, &["fmt"]);
        let middle = compiles(leaf, B, action + 1, 100, &["example.com/shop/z"]);
        compiles(middle, A, action + 2, 1000, &[B])
    };
    let dragged =
        "example.com/shop/z: example.com/shop/a, example.com/shop/b built anew because of it";
    check(
        &[all(1, 1)],
        &all(2, 11),
        &[("source", "example.com/shop/z"), ("dependency", dragged)],
    );
    // The leaf was built by another command in between.
    let leaf = compiles(run(2, &[]), "example.com/shop/z", 11, 10, &["fmt"]);
    let now = compiles(run(3, &[]), B, 12, 100, &["example.com/shop/z"]);
    check(
        &[all(1, 1), leaf],
        &now,
        &[(
            "dependency",
            "example.com/shop/z: example.com/shop/b built anew because of it",
        )],
    );
    // It was only put back.
    let put_back = compiles(run(2, &[]), "example.com/shop/z", 1, 10, &["fmt"]);
    check(&[all(1, 1), put_back], &now, &[("source", B)]);
}

#[test]
fn a_setting_of_the_leaf_is_the_reason_of_all() {
    let before = compiles(
        compiles(run(1, &[("race", "true")]), B, 1, 10, &[]),
        A,
        2,
        10,
        &[B],
    );
    let now = compiles(compiles(run(2, &[]), B, 3, 10, &[]), A, 4, 10, &[B]);
    check(&[before], &now, &[("settings:race", "\"true\" -> \"\"")]);
}

#[test]
fn another_checkout_is_told_unless_paths_are_trimmed() {
    let moved = |settings: &[(&str, &str)], path: &str, action| {
        let mut run = run(2, settings);
        run.record.cwd = "/src2".to_owned();
        compiles(run, path, action, 10, &[])
    };
    let before = compiles(run(1, &[]), A, 1, 10, &[]);
    check(
        &[before],
        &moved(&[], A, 2),
        &[("directory", "/src -> /src2: example.com/shop/a")],
    );
    let trimmed = [("trimpath", "true")];
    let before = compiles(run(1, &trimmed), A, 1, 10, &[]);
    check(&[before], &moved(&trimmed, A, 2), &[("source", A)]);
    // A name without a domain is anybody's.
    let other = compiles(run(1, &[]), "app/p", 1, 10, &[]);
    let first = [("first_build", "of example.com/shop in this cache: app/p")];
    check(&[other], &moved(&[], "app/p", 2), &first);
}

#[test]
fn other_versions_and_vendored_copies_are_told() {
    let before = compiles(run(1, &[]), "example.com/dep", 1, 10, &[]);
    let mut upgraded = compiles(run(2, &[]), "example.com/dep", 2, 10, &[]);
    upgraded.compiled[0].directory = "/home/go/pkg/mod/example.com/dep@v1.1.0".to_owned();
    let expected = "example.com/dep@v1.1.0: example.com/dep built anew because of it";
    check(
        std::slice::from_ref(&before),
        &upgraded,
        &[("dependency", expected)],
    );
    let mut vendored = compiles(run(2, &[("mod", "vendor")]), "example.com/dep", 2, 10, &[]);
    vendored.compiled[0].directory = "/src/vendor/example.com/dep".to_owned();
    check(
        &[before],
        &vendored,
        &[("settings:mod", "\"\" -> \"vendor\"")],
    );
}

#[test]
fn what_was_filled_by_others_is_compared_with_the_modules_last_build() {
    let before = compiles(run(1, &[]), A, 1, 10, &[]);
    let now = compiles(run(2, &[("fuzz", "true")]), "fmt", 2, 10, &[]);
    check(&[before], &now, &[("settings:fuzz", "\"\" -> \"true\"")]);
}

#[test]
fn what_is_kept_beside_packages_has_kinds_of_its_own() {
    let mut now = run(1, &[]);
    for (class, bytes) in [
        ("executable", 50),
        ("test", 40),
        ("fuzz", 30),
        ("index", 20),
        ("vet", 10),
        ("module", 99),
    ] {
        now.packages.push(Package {
            class: class.to_owned(),
            path: A.to_owned(),
            growth_bytes: bytes,
            ..Package::default()
        });
    }
    let expected = [
        "executable_kept",
        "test_results",
        "fuzz_corpus",
        "index",
        "vet",
    ]
    .map(|kind| (kind, A));
    check(&[], &now, &expected);
    let mut rest = Package {
        class: "other".to_owned(),
        growth_bytes: NEGLIGIBLE_BYTES - 1,
        ..Package::default()
    };
    now.packages = vec![rest.clone()];
    check(&[], &now, &[]);
    rest.growth_bytes += 1;
    now.packages = vec![rest];
    check(&[], &now, &[("unknown", "without a name: other")]);
}

#[test]
fn main_packages_of_programs_that_are_kept_changed_nothing() {
    let before = compiles(run(1, &[]), A, 1, 10, &[]);
    let mut now = compiles(run(2, &[("dwarf", "false")]), A, 2, 10, &[]);
    now.compiled[0].is_main = true;
    check(&[before], &now, &[("executable_kept", A)]);
}

#[test]
fn a_setting_that_goes_back_and_forth_is_flapping() {
    let by = |at, user: &str, flags| {
        let mut run = compiles(
            run(at, &[("GOFLAGS", flags)]),
            A,
            u8::try_from(at).unwrap(),
            10,
            &[],
        );
        user.clone_into(&mut run.record.user);
        run
    };
    let mut now = by(4, "u2", "-race");
    let earlier = [by(1, "u1", ""), by(2, "u2", "-race"), by(3, "u1", "")];
    check(
        &earlier,
        &now,
        &[("flapping", "GOFLAGS \"\" (u1) <-> \"-race\" (u2)")],
    );
    assert_eq!(after(&earlier, &now)[0].bytes, 10);
    now.record.ci.insert("job".to_owned(), "lint".to_owned());
    check(
        &earlier,
        &now,
        &[("flapping", "GOFLAGS \"\" (u1) <-> \"-race\" (job lint, u2)")],
    );
}

#[test]
fn every_kind_has_its_row_in_the_documents() {
    let page = include_str!("../../../docs/trace.md");
    for (kind, meaning) in KINDS {
        assert!(
            page.contains(&format!("| `{kind}` | {meaning} |")),
            "{kind}"
        );
    }
}
