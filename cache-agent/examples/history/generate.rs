//! Invocations that never happened, as a busy build host would have them: the same number gives the same one.

use std::collections::BTreeMap;

use cache_agent::{
    model::invocation::{Cause, Invocation, Package, Processes, RootShare},
    store::record::Record,
    sys::clock::rfc3339,
};

/// The span over which they are spread: what is kept by default.
pub(crate) const SPAN_MS: i64 = 90 * 24 * 3_600_000;
/// Modules; the first ones are built far more often than the last ones.
const MODULES: u64 = 2_000;
/// One in so many writes packages, the others find all in the cache.
const WRITERS: u64 = 8;
/// Packages of a writer, at most.
const PACKAGES: u64 = 48;
const USERS: [&str; 6] = [
    "root",
    "ci-runner",
    "alice",
    "bob",
    "carol",
    "buildkite-agent",
];
const VERBS: [&str; 6] = ["build", "test", "vet", "run", "list", "install"];
const FLAGS: [&str; 4] = ["", "-race", "-trimpath", "-tags=integration"];

/// Module with that number, as [`record`] names it.
pub(crate) fn module(number: u64) -> String {
    format!("example.com/team{}/service-{number}", number % 40)
}

/// Invocation `number` of `count`, the last of which starts right before `end_ms`.
pub(crate) fn record(number: u64, count: u64, end_ms: i64) -> Record {
    let mut dice = Dice(number);
    // Two throws: low numbers come up more often.
    let of_module = dice.below(MODULES) * dice.below(MODULES) / MODULES;
    let module = module(of_module);
    let user = dice.below(USERS.len() as u64);
    let is_writer = dice.below(WRITERS) == 0;
    let hits = 40 + dice.below(900);
    let packages = if is_writer {
        packages(&mut dice, &module)
    } else {
        Vec::new()
    };
    let misses = packages.len() as u64;
    let growth_bytes = packages.iter().map(|package| package.growth_bytes).sum();
    let start_ms = end_ms - SPAN_MS + spread(number, count);
    let cwd = format!("/srv/{}/{}", USERS[index(user)], module.replace('/', "-"));
    let invocation = Invocation {
        id: format!(
            "4ba7c1d2-5e0f-4c7b-9a53-{:012x}-{number}",
            dice.next() >> 16
        ),
        tool: "go".to_owned(),
        verb: VERBS[index(dice.below(VERBS.len() as u64))].to_owned(),
        version: "go1.27.3".to_owned(),
        argv: ["go", "build", "-o", "bin/", "./..."]
            .map(str::to_owned)
            .into(),
        cwd,
        module,
        uid: 1000 + u32::try_from(user).unwrap_or(0),
        user: USERS[index(user)].to_owned(),
        unit: "runner.service".to_owned(),
        slice: "system.slice".to_owned(),
        cgroup: "/system.slice/runner.service".to_owned(),
        ci: texts([("system", "gitlab"), ("job", "lint"), ("branch", "main")]),
        start: rfc3339(start_ms),
        start_ms,
        duration_s: f64::from(u32::try_from(dice.below(90_000)).unwrap_or(0)) / 1000.0,
        exit_code: Some(i32::from(dice.below(20) == 0)),
        growth_bytes,
        files_created: 2 * misses,
        lookups: hits + misses,
        hits,
        misses,
        roots: roots(&mut dice, growth_bytes),
        cause: causes(is_writer),
        fingerprint: texts([
            ("go", "1.27.3"),
            ("GOOS", "linux"),
            ("GOARCH", "amd64"),
            ("CGO_ENABLED", "1"),
            ("GOFLAGS", FLAGS[index(dice.below(FLAGS.len() as u64))]),
        ]),
        processes: [(
            "compile".to_owned(),
            Processes {
                count: misses,
                cpu_s: 1.5,
            },
        )]
        .into(),
        ..Invocation::default()
    };
    Record::Invocation(Box::new(invocation), packages)
}

fn packages(dice: &mut Dice, module: &str) -> Vec<Package> {
    (0..=dice.below(PACKAGES))
        .map(|number| Package {
            path: format!("{module}/internal/package{number}"),
            class: "compile".to_owned(),
            variant: "go1.27.3 linux/amd64".to_owned(),
            growth_bytes: i64::try_from(1000 + dice.below(400_000)).unwrap_or(0),
            files: 2,
            ..Package::default()
        })
        .collect()
}

fn roots(dice: &mut Dice, growth_bytes: i64) -> BTreeMap<String, RootShare> {
    let user = USERS[index(dice.below(USERS.len() as u64))];
    let share = RootShare {
        growth_bytes,
        freed_bytes: 0,
    };
    [(format!("/home/{user}/.cache/go-build"), share)].into()
}

fn causes(is_writer: bool) -> Vec<Cause> {
    let cause = is_writer.then(|| Cause {
        kind: "GOFLAGS".to_owned(),
        detail: "\"\" -> \"-race\"".to_owned(),
        ..Cause::default()
    });
    cause.into_iter().collect()
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The same distance from one to the next.
fn spread(number: u64, count: u64) -> i64 {
    let part = i128::from(SPAN_MS) * i128::from(number) / i128::from(count.max(1));
    i64::try_from(part).unwrap_or(0)
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// The generator `SplitMix64`: every number in a row of its own.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
