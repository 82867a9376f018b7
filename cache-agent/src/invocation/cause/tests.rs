use super::*;
use crate::model::invocation::RootShare;

const LARGE: i64 = 10_000_000;

/// An invocation number `at` of example.com/shop with these settings that wrote these packages.
fn run(at: i64, settings: &[(&str, &str)], packages: &[(&str, i64)]) -> Finished {
    let id = format!("b-{at}");
    let growth_bytes = packages.iter().map(|(_, bytes)| bytes).sum();
    let share = RootShare {
        growth_bytes,
        freed_bytes: 0,
    };
    let mut fingerprint: BTreeMap<_, _> = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    fingerprint
        .entry("GOOS".to_owned())
        .or_insert_with(|| "linux".to_owned());
    Finished {
        record: Invocation {
            id: id.clone(),
            tool: "go".to_owned(),
            module: "example.com/shop".to_owned(),
            cwd: "/src".to_owned(),
            user: "u1".to_owned(),
            start_ms: at,
            growth_bytes,
            roots: BTreeMap::from([("/c".to_owned(), share)]),
            fingerprint,
            ..Invocation::default()
        },
        packages: packages
            .iter()
            .map(|(path, bytes)| Package {
                invocation: id.clone(),
                path: (*path).to_owned(),
                class: "compile".to_owned(),
                growth_bytes: *bytes,
                files: 2,
                ..Package::default()
            })
            .collect(),
    }
}

const BOTH: [(&str, i64); 2] = [("fmt", LARGE), ("example.com/shop/a", LARGE / 10)];

#[track_caller]
fn check(now: &Finished, earlier: &[Finished], expected: &[(&str, &str)]) {
    let found = causes(now, earlier);
    let found: Vec<_> = found
        .iter()
        .map(|cause| (cause.kind.as_str(), cause.detail.as_str()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_first_build_of_a_module_is_named_so() {
    let first = [("first build", "of example.com/shop in this cache")];
    check(&run(1, &[], &BOTH), &[], &first);
    let mut other = run(1, &[], &BOTH);
    other.record.module = "example.com/other".to_owned();
    check(&run(2, &[], &BOTH), &[other], &first);
    let mut elsewhere = run(1, &[], &BOTH);
    elsewhere.record.roots = BTreeMap::from([("/d".to_owned(), RootShare::default())]);
    check(&run(2, &[], &BOTH), &[elsewhere], &first);
}

#[test]
fn packages_not_built_before_are_new() {
    let now = run(2, &[("race", "true")], &[("example.com/shop/b", LARGE)]);
    let expected = [("first build", "of example.com/shop with example.com/shop/b")];
    check(&now, &[run(1, &[], &BOTH)], &expected);
}

#[test]
fn settings_that_differ_are_the_cause() {
    for (before, after, expected) in [
        (
            &[("GOFLAGS", "")][..],
            &[("GOFLAGS", "-race")][..],
            ("GOFLAGS", "\"\" -> \"-race\""),
        ),
        (
            &[("go", "1.26.1")],
            &[("go", "1.27.3")],
            ("go", "1.26.1 -> 1.27.3"),
        ),
        (&[], &[("tags", "a")], ("tags", "\"\" -> \"a\"")),
        (
            &[("GOAMD64", "v1")],
            &[("GOAMD64", "v3")],
            ("GOAMD64", "\"v1\" -> \"v3\""),
        ),
        (
            &[],
            &[("trimpath", "true")],
            ("trimpath", "\"\" -> \"true\""),
        ),
    ] {
        check(&run(2, after, &BOTH), &[run(1, before, &BOTH)], &[expected]);
    }
}

#[test]
fn the_nearest_earlier_one_is_compared_with() {
    let earlier = [
        run(1, &[("tags", "a"), ("race", "true")], &BOTH),
        run(2, &[("tags", "a")], &BOTH),
        run(3, &[("cover", "true"), ("GOAMD64", "v4")], &BOTH),
    ];
    let now = run(4, &[("tags", "b")], &BOTH);
    check(&now, &earlier, &[("tags", "\"a\" -> \"b\"")]);
}

#[test]
fn variables_that_only_one_side_told_are_not_compared() {
    let mut earlier = run(1, &[], &BOTH);
    earlier.record.fingerprint.clear();
    let now = run(
        2,
        &[("GOAMD64", "v1"), ("go", "1.27.3")],
        &[("example.com/shop/a", LARGE)],
    );
    check(
        &now,
        &[earlier],
        &[("source changed", "example.com/shop/a")],
    );
}

#[test]
fn with_equal_settings_sources_changed_or_the_cache_was_cleaned() {
    let before = run(1, &[], &BOTH);
    let edited = run(3, &[], &[("example.com/shop/a", LARGE)]);
    check(
        &edited,
        std::slice::from_ref(&before),
        &[("source changed", "example.com/shop/a")],
    );
    let mut clean = run(2, &[], &[]);
    clean.record.argv = ["go", "clean", "-cache"].map(str::to_owned).to_vec();
    clean.record.freed_bytes = 5;
    clean.record.start = "then".to_owned();
    let again = run(3, &[], &BOTH);
    let expected = [("cache was cleaned", "by go clean -cache of u1 at then")];
    check(&again, &[before.clone(), clean.clone()], &expected);
    check(
        &again,
        std::slice::from_ref(&before),
        &[("cache was cleaned", "")],
    );
    // All of what was built now was freed before: nothing need have changed.
    let own = run(3, &[], &[("example.com/shop/a", LARGE)]);
    clean.record.freed_bytes = LARGE.unsigned_abs();
    check(&own, &[before.clone(), clean.clone()], &expected);
    clean.record.start_ms = 0;
    let expected = [("source changed", "example.com/shop/a")];
    check(&own, &[clean, before], &expected);
}

#[test]
fn another_checkout_is_told_unless_paths_are_trimmed() {
    let own = [("example.com/shop/a", LARGE)];
    let mut elsewhere = run(2, &[], &own);
    elsewhere.record.cwd = "/src2".to_owned();
    let expected = [("timestamps/-trimpath/workdir differ", "/src -> /src2")];
    check(&elsewhere, &[run(1, &[], &own)], &expected);
    elsewhere
        .record
        .fingerprint
        .insert("trimpath".to_owned(), "true".to_owned());
    let trimmed = run(1, &[("trimpath", "true")], &own);
    check(
        &elsewhere,
        &[trimmed],
        &[("source changed", "example.com/shop/a")],
    );
}

#[test]
fn a_setting_that_goes_back_and_forth_is_flapping() {
    let by = |at, user: &str, flags| {
        // Each time something else, so that no earlier one has the same settings and packages.
        let mut run = run(at, &[("GOFLAGS", flags), ("tags", &at.to_string())], &BOTH);
        run.record.fingerprint.remove("tags");
        user.clone_into(&mut run.record.user);
        run
    };
    let mut now = by(4, "u2", "-race");
    // The one with the same value built something else.
    let mut second = by(2, "u2", "-race");
    second.packages[0].path = "net".to_owned();
    second.packages[1].path = "os".to_owned();
    let earlier = [by(1, "u1", ""), second, by(3, "u1", "")];
    let expected = [("flapping", "GOFLAGS \"\" (u1) <-> \"-race\" (u2)")];
    check(&now, &earlier, &expected);
    now.record.ci.insert("job".to_owned(), "lint".to_owned());
    let expected = [("flapping", "GOFLAGS \"\" (u1) <-> \"-race\" (job lint, u2)")];
    check(&now, &earlier, &expected);
}

#[test]
fn flapping_is_told_beside_a_change_of_sources() {
    let own = [("example.com/shop/a", LARGE)];
    let by = |at, flags| run(at, &[("GOFLAGS", flags)], &own);
    let earlier = [by(1, ""), by(2, "-race"), by(3, "")];
    let expected = [
        ("flapping", "GOFLAGS \"\" (u1) <-> \"-race\" (u1)"),
        ("source changed", "example.com/shop/a"),
    ];
    check(&by(4, "-race"), &earlier, &expected);
}

#[test]
fn what_hardly_grew_needs_no_cause() {
    check(&run(1, &[], &[("example.com/shop/a", 720)]), &[], &[]);
}
