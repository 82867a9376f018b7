//! Planted causes: each scenario changes one thing between two builds, and the second one names it.
//!
//! One trace runs all scenarios of a toolchain, each in a module of its own, so that they share its cost.

use std::{
    fs,
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    env,
    go::{self, Go},
    report::{Cause, Invocation},
    workshop::Workshop,
};

/// A thing that changes between two builds.
struct Scenario {
    name: &'static str,
    /// What the second build must give first among its causes.
    kind: &'static str,
    /// What its detail must have in it.
    detail: &'static str,
    /// In a module `example.com/<name>` with a package `p`; `$J` marks the build that is judged.
    script: &'static str,
    /// It compiles much of the standard library: with the newest toolchain only, unless time is given.
    is_long: bool,
}

/// Each scenario is a test of its own.
macro_rules! scenarios {
    ($($(#[$long:ident])? $name:ident: $kind:literal, $detail:literal, $script:literal;)*) => {
        const SCENARIOS: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            kind: $kind,
            detail: $detail,
            script: $script,
            is_long: scenarios!(@$($long)?),
        }),*];

        $(#[test]
        fn $name() -> Result<()> {
            judge(stringify!($name))
        })*
    };
    (@long) => { true };
    (@) => { false };
}

scenarios! {
    an_edit_built_from_a_subdirectory: "source", "example.com/an_edit_built_from_a_subdirectory/p",
        "go build ./... && mkdir q && edit && cd q && go build $J ../p";
    an_edit_of_a_leaf: "source", "example.com/an_edit_of_a_leaf/p",
        "for i in a b c; do import $i p; done; go build ./... && edit && go build $J ./...";
    a_replaced_module_without_a_dot: "source", "common/p",
        "module common . && mkdir svc && module svc svc && echo 'require common v0.0.0
         replace common => ../' >>svc/go.mod && echo 'package svc
         import _ \"common/p\"' >svc/s.go && cd svc && go build ./... && cd .. && edit && cd svc && go build $J ./...";
    an_edit_in_another_checkout_that_is_trimmed: "source", "/p",
        "export GOFLAGS='-mod=mod -trimpath'; go build ./... && cp -r . ../checkout && cd ../checkout && edit && go build $J ./...";
    an_edit_of_a_workspaces_member: "source", "example.com/lib",
        "rm -r go.mod p; mkdir lib app && module example.com/lib lib && functions lib >lib/lib.go && module example.com/app app &&
         echo 'package app
         import _ \"example.com/lib\"' >app/a.go && echo 'go 1.21
         use ./lib
         use ./app' >go.work && export GOFLAGS= && go build ./lib ./app && echo 'var E = 1' >>lib/lib.go && cd app && go build $J .";
    an_edit_of_an_embedded_file: "source", "example.com/an_edit_of_an_embedded_file/p",
        "echo 'package p
         import _ \"embed\"
         //go:embed text
         var text string' >p/e.go && echo one >p/text && go build ./... && echo two >p/text && go build $J ./...";
    an_edit_seen_through_another_name_of_the_cache: "source", "/p",
        "ln -s \"$GOCACHE\" ../by-link && GOCACHE=$PWD/../by-link go build ./... && edit && go build $J ./...";
    another_dependency: "directory", "example.com/dependency",
        "mkdir dep other && module example.com/dependency dep && functions dep >dep/d.go && cp -r dep/. other && echo 'var E = 1' >>other/d.go &&
         echo 'package p
         import _ \"example.com/dependency\"' >p/i.go && echo 'require example.com/dependency v0.0.0
         replace example.com/dependency => ./dep' >>go.mod && go build ./... && sed -i 's,=> ./dep,=> ./other,' go.mod && go build $J ./...";
    another_dependency_that_was_compiled_before: "dependency", "example.com/dep2",
        "mkdir dep other first && module example.com/dep2 dep && functions dep >dep/d.go && cp -r dep/. other && echo 'func More() int { return 2 }' >>other/d.go &&
         module example.com/first first && printf 'package first\nimport _ \"example.com/dep2\"\n' >first/f.go && cp -r first p/. && mv p/first/f.go p/i.go && rm -r p/first && sed -i 's/^package first/package p/' p/i.go &&
         printf 'require example.com/dep2 v0.0.0\nreplace example.com/dep2 => ../other\n' >>first/go.mod && (cd first && go build ./...) &&
         printf 'require example.com/dep2 v0.0.0\nreplace example.com/dep2 => ./dep\n' >>go.mod && go build ./... && sed -i 's,=> ./dep,=> ./other,' go.mod && go build $J ./...";
    another_project_of_the_same_name: "first_build", "app/p",
        "module app . && cp -r . ../alike && sed -i 's/return/return 7 +/' ../alike/p/p.go && go build ./... && cd ../alike && go build $J ./...";
    another_directory: "directory", "elsewhere",
        "go build ./... && cp -r . ../elsewhere && cd ../elsewhere && go build $J ./...";
    the_cache_removed_by_hand: "removed", "by bash",
        "go build ./... && rm -rf \"$GOCACHE\"/?? && go build $J ./...";
    the_cache_cleaned_by_go: "cleaned", "by go clean -cache",
        "go build ./... && go clean -cache && go build $J ./...";
    an_object_that_was_cut_off: "unreadable", "/p",
        "go build ./... && grep -rl an_object_that_was_cut_off/ \"$GOCACHE\" | grep -e -d$ | xargs truncate -s 100 && go build $J ./...";
    a_program_around_the_compilers: "settings:toolexec", "",
        "echo '#!/bin/sh
         [ \"$2\" = -V=full ] && { \"$@\" | sed \"s/\\$/ +around/\"; exit; }
         exec \"$@\"' >../around && chmod +x ../around && go build ./... && go build $J -toolexec=$PWD/../around ./...";
    vendored_dependencies: "settings:mod", "vendor",
        "mkdir dep && module example.com/kept dep && functions dep >dep/d.go && echo 'package p
         import _ \"example.com/kept\"' >p/i.go && echo 'require example.com/kept v0.0.0
         replace example.com/kept => ./dep' >>go.mod && export GOFLAGS= && go build ./... && go mod vendor && go build $J -mod=vendor ./...";
    a_flag_behind_long_ones: "settings:gcflags", "-l",
        "long=$(for i in $(seq 60); do printf -- \"-X 'example.com/v.field%02d=2026-01-01T00:00:00Z' \" $i; done)
         go build -ldflags \"$long\" ./... && go build $J -ldflags \"$long\" -gcflags=-l ./...";
    a_flag_in_a_long_variable: "settings:GOFLAGS", "",
        "tags=$(for i in $(seq 60); do printf feature_%02d, $i; done); export GOFLAGS=\"-mod=mod -tags=$tags\"
         go build ./... && GOFLAGS=\"$GOFLAGS -gcflags=-l\" go build $J ./...";
    a_flag_after_many_builds: "settings:gcflags", "all=-l",
        "go build ./... && for i in $(seq 33); do mkdir -p s && functions s | sed \"s/return/return $i +/\" >s/s.go && go build ./...; done
         go build $J -gcflags=all=-l ./...";
    another_processor: "settings:GOAMD64", "v3",
        "go build ./... && GOAMD64=v3 go build $J ./...";
    an_overlay: "settings:overlay", "",
        "go build ./... && cp p/p.go other.go.txt && echo 'var E = 1' >>other.go.txt && echo \"{\\\"Replace\\\":{\\\"$PWD/p/p.go\\\":\\\"$PWD/other.go.txt\\\"}}\" >o.json && go build $J -overlay=o.json ./...";
    another_go_line: "settings:lang", "go1.20",
        "go build ./... && sed -i 's/^go 1.*/go 1.20/' go.mod && go build $J ./...";
    a_program_that_runs_after_its_build: "executable_kept", "",
        "echo 'package main
         func main() { println(1) }' >main.go && go build -o /dev/null . && go run $J .";
    #[long] coverage: "settings:cover", "true",
        "echo 'package p
         import \"testing\"
         func TestP(t *testing.T) { F1(1) }' >p/p_test.go && go test -vet=off ./p && go test $J -vet=off -coverprofile=c.out ./p";
    #[long] fuzzing: "settings:fuzz", "true",
        "echo 'package p
         import \"testing\"
         func FuzzP(f *testing.F) { f.Fuzz(func(t *testing.T, s string) { F1(len(s)) }) }' >p/p_test.go && go test -vet=off ./p && go test $J -vet=off -fuzz=FuzzP -fuzztime=100x ./p";
    #[long] a_profile_of_the_program: "settings:pgo", "",
        "echo 'package p
         import \"testing\"
         func TestP(t *testing.T) { F1(1) }' >p/p_test.go && go test -vet=off -cpuprofile cpu.pprof -o /dev/null ./p && printf 'package main
         import _ \"example.com/a_profile_of_the_program/p\"
         func main() {}' >main.go && go build -o /dev/null . && mv cpu.pprof default.pgo && go build $J -o /dev/null .";
    #[long] another_compiler_of_c: "toolchain", "C compiler",
        "echo 'package p
         // static int f(int a) { return a + 1; }
         import \"C\"
         func G(a int) int { return int(C.f(C.int(a))) }' >p/g.go && export CGO_ENABLED=1 && go build ./p && mkdir ../cc && cat >../cc/gcc <<'END'
#!/bin/bash
for a in \"$@\"; do [ \"$a\" = '-###' ] && { /usr/bin/gcc \"$@\" 2>&1 | sed 's/^gcc version .*/gcc version 99.9.9/' >&2; exit 0; }; done
exec /usr/bin/gcc \"$@\"
END
         chmod +x ../cc/gcc && PATH=$PWD/../cc:$PATH go build $J ./p";
}

/// What the scripts share.
const PRELUDE: &str = r#"
functions() { echo "package $1"; for n in 1 2 3 4 5 6 7 8; do echo "func F$n(a int) int { return a * $n + $SEED }"; done; }
module() { printf 'module %s\n\ngo 1.21\n' "$1" >"$2/go.mod"; }
import() { mkdir "$1" && printf 'package %s\nimport _ "example.com/%s/%s"\n' "$1" "$NAME" "$2" >"$1/$1.go"; }
edit() { echo 'var E = 1' >>p/p.go; }
mkdir "$NAME" "$NAME/m" && cd "$NAME/m" && mkdir p && module "example.com/$NAME" . && functions p >p/p.go || exit
"#;

/// The marker of a scenario's judged build: what does not enter the id of any action.
fn marker(number: usize) -> String {
    format!("-p={}", 10 + number)
}

/// All scenarios with one toolchain.
fn play(go: &Go, is_newest: bool) -> Result<Vec<Invocation>> {
    let mut shop = Workshop::new("planted")?;
    shop.go = go.clone();
    let mut script = String::from("exec </dev/null >&2\n");
    for (number, scenario) in SCENARIOS.iter().enumerate() {
        if scenario.is_long && !(is_newest || env::soak()) {
            continue;
        }
        let own = shop.bench.aside(&format!("{}.sh", scenario.name));
        fs::write(&own, format!("{PRELUDE}{}", scenario.script))?;
        script += &line(scenario, number, &own);
    }
    let trace = shop.trace()?.directory(&shop.place("src"));
    let traced = trace.run("bash", ["-c", &script])?;
    Ok(traced.exact()?.invocations.clone())
}

/// Runs a scenario; what fails is told by name, and the next one goes on.
fn line(scenario: &Scenario, number: usize, script: &Path) -> String {
    let (name, mark, script) = (scenario.name, marker(number), script.display());
    format!("NAME={name} SEED={number} J={mark} bash {script} || echo {name} failed\n")
}

/// What the toolchains told, oldest first; played once for all tests.
fn reports() -> Result<&'static [(String, Vec<Invocation>)]> {
    static REPORTS: OnceLock<Vec<(String, Vec<Invocation>)>> = OnceLock::new();
    static PLAYING: Mutex<()> = Mutex::new(());
    let _playing = PLAYING.lock().unwrap_or_else(PoisonError::into_inner);
    if REPORTS.get().is_none() {
        let toolchains = go::toolchains()?;
        let count = toolchains.len();
        let played = toolchains.iter().enumerate().map(|(number, go)| {
            let told = play(go, number + 1 == count);
            let told = told.with_context(|| format!("with Go {}", go.version))?;
            Ok((go.version.clone(), told))
        });
        let played = played.collect::<Result<_>>()?;
        REPORTS.get_or_init(|| played);
    }
    Ok(REPORTS.get().context("nothing was played")?)
}

fn judge(name: &str) -> Result<()> {
    let number = SCENARIOS.iter().position(|scenario| scenario.name == name);
    let number = number.context("no such scenario")?;
    let scenario = &SCENARIOS[number];
    let reports = reports()?;
    let mark = marker(number);
    for (version, told) in reports {
        let is_newest = reports.last().is_some_and(|(newest, _)| newest == version);
        if scenario.is_long && !(is_newest || env::soak()) {
            continue;
        }
        let judged = judged(told, &mark).with_context(|| format!("with Go {version}"))?;
        ensure!(judged.exit_code == Some(0), "Go {version}: {judged:#?}");
        // Indexes are made when a directory has rested, whatever else happened.
        let mut causes = judged.cause.iter().filter(|cause| cause.kind != "index");
        let is_right =
            |cause: &Cause| cause.kind == scenario.kind && cause.detail.contains(scenario.detail);
        ensure!(
            causes.next().is_some_and(is_right),
            "Go {version}: {:#?} where {} {:?} is right",
            judged.cause,
            scenario.kind,
            scenario.detail
        );
    }
    Ok(())
}

fn judged<'a>(told: &'a [Invocation], mark: &String) -> Result<&'a Invocation> {
    let mut all = told.iter();
    let judged = all.find(|one| one.tool == "go" && one.argv.contains(mark));
    judged.with_context(|| format!("no invocation {mark}: {told:#?}"))
}
