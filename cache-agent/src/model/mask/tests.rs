use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

#[track_caller]
fn check(arguments: &[&str], expected: &[&str]) {
    let arguments: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
    assert_eq!(argv(&arguments), expected);
}

/// Lines whose words are separated by one blank, and stay as they are.
#[test]
fn go_commands_stay_readable() {
    for line in [
        "go build -race -tags=x -trimpath ./cmd/...",
        "go build -race -tags a,b -p 4 -o bin/app ./...",
        "/usr/local/go/bin/go test -count=1 -run=^TestX$ -v ./... example.com/a/b",
        "go1.24.11 build -mod=vendor -buildvcs=false .",
        "go -C ../inner vet ./...",
        "go get golang.org/x/tools@v0.21.1-0.20240508182429-e35e4ccd0d2d",
        "go env -json GOVERSION",
        "go test -coverprofile=c.out -covermode atomic -timeout 30s -bench . ./x",
        "go mod tidy -go=1.23",
        "go list -m -json all",
        "go build nonsense",
        "go trim",
        "make all",
        "rm -rf",
        "git fetch --depth --no-tags",
        "/usr/lib/go/pkg/tool/linux_amd64/compile -o $WORK/b001/_pkg_.a -trimpath /x -p main -lang=go1.23 -pack a.go",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        check(&words, &words);
    }
}

#[test]
fn of_flags_with_lists_the_harmless_part_is_kept() {
    for (flag, value, expected) in [
        (
            "-ldflags",
            "-s -X main.v=1 -X=main.t=s3 -w",
            "-s -X main.v=*** -X=main.t=*** -w",
        ),
        ("-ldflags", "-X 'main.a=b c d' -s", "-X main.a=*** -s"),
        (
            "-ldflags",
            "\n\t-s\n\t-X main.token=s3\n\t-w\n",
            "-s -X main.token=*** -w",
        ),
        ("-ldflags", "all=-X=main.t=s3", "all=-X=main.t=***"),
        (
            "-ldflags",
            "-linkmode=external -extldflags \"-static -pw s3\"",
            "-linkmode=external -extldflags ***",
        ),
        ("-gcflags", "all=-N -l", "all=-N -l"),
        (
            "-gcflags",
            "example.com/a/...=-m=2 -d=ssa/check_bce/debug=1",
            "example.com/a/...=-m=2 -d=***",
        ),
        ("-asmflags", "-D KEY=s3 -I inc", "-D KEY=*** *** ***"),
    ] {
        check(
            &["go", "build", flag, value, "."],
            &["go", "build", flag, expected, "."],
        );
        let [joined, expected] = [value, expected].map(|value| format!("{flag}={value}"));
        check(&["go", "build", &joined], &["go", "build", &expected]);
    }
}

#[test]
fn of_other_programs_names_are_kept() {
    for (line, expected) in [
        ("env TOKEN=x go build", "env TOKEN=*** *** ***"),
        ("make build K=1 -j4", "make build K=*** -j***"),
        (
            "curl -H x --user=a:b https://h/",
            "curl -H *** --user=*** ***",
        ),
        ("mysql -psecret db", "mysql -p*** ***"),
        ("sleep 5", "sleep ***"),
        ("git clone https://u:p@h.org/x", "git clone ***"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let expected: Vec<&str> = expected.split(' ').collect();
        check(&words, &expected);
    }
    check(&["sh", "-c", "rm -rf $HOME/x"], &["sh", "-c", "***"]);
    check(&["go", "** telemetry **"], &["go", "***"]);
    check(&["/opt/my tools/x", "a"], &["x", "a"]);
}

#[test]
fn variables_of_go_keep_what_builds_differ_by() {
    for (name, value, expected) in [
        ("GOFLAGS", "-gcflags=-N", "-gcflags=-N"),
        (
            "GOFLAGS",
            "-mod=mod -ldflags=-X=main.token=s3",
            "-mod=mod -ldflags=-X=main.token=***",
        ),
        (
            "GOFLAGS",
            "'-ldflags=-s -X main.t=a b' -race",
            "-ldflags=-s -X main.t=*** *** -race",
        ),
        (
            "CGO_CFLAGS",
            "-O2 -g -DTOKEN=s3 -DX -I/usr/include",
            "-O2 -g -DTOKEN=*** -DX -I/usr/include",
        ),
        ("CGO_LDFLAGS", "-L/x -lm --password s3", "-L/x -lm *** ***"),
        ("GOARCH", "amd64", "amd64"),
        (
            "GOEXPERIMENT",
            "rangefunc,nocoverageredesign",
            "rangefunc,nocoverageredesign",
        ),
        (
            "GOPROXY",
            "https://u:p@h/x?t=s3,direct",
            "https://***@h/x?***",
        ),
    ] {
        assert_eq!(variable(name, value), expected, "{name}");
    }
}

#[test]
fn urls_lose_what_is_no_address() {
    for (given, expected) in [
        (
            "https://u:p@h.org/x,https://q@h/",
            "https://***@h.org/x,https://***@h/",
        ),
        ("postgres://u:a/b@h/db", "postgres://***@h/db"),
        ("https://h.org/a@b", "https://h.org/a@b"),
        ("https://h/x?access_token=s#f", "https://h/x?***"),
        ("git+ssh://s@host", "git+ssh://***@host"),
        ("see ghp_0123456789abcdef.", "see ***"),
    ] {
        assert_eq!(text(given), expected);
    }
}

#[test]
fn command_lines_are_bounded_and_printable() {
    let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let shown = argv(&many);
    assert_eq!(shown.len(), ARGUMENTS + 1);
    assert_eq!(shown.last().map(String::as_str), Some("... 36 more"));
    let long = text(&"x/".repeat(5_000));
    assert_eq!(long.len(), ARGUMENT_CHARACTERS + 3);
    assert_eq!(text("\x1b[31m"), "\\u{1b}[31m");
    let arguments = Arguments::from(vec!["x".to_owned(), "--token=s3".to_owned()]);
    assert_eq!(format!("{arguments:?}"), "[\"x\", \"--token=***\"]");
}

/// Ways to hand a secret over, which stands for itself as `LEAK`; words are separated by `|`.
const FORMS: &str = include_str!("forms.txt");

/// Secrets of different looks.
const SECRETS: [&str; 7] = [
    "LEAKQWxhZGRpbg==",
    "LEAKhunter2",
    "LEAK/with:all@sorts?of=marks&x",
    "LEAKa8Bc9De0Fg1Hi2Jk3Lm4",
    "ghp_LEAKLEAKLEAKLEAKLEAK1234",
    "LEAK two words",
    "eyJhbGciOiJIUzI1NiJ9.LEAK.LEAK",
];

#[test]
fn no_form_of_a_secret_gets_through() {
    let forms: Vec<&str> = FORMS.lines().filter(|line| !line.is_empty()).collect();
    assert!(forms.len() >= 150, "{}", forms.len());
    for form in forms {
        for secret in SECRETS {
            let line = form.replace("\\n", "\n").replace("\\t", "\t");
            let words: Vec<String> = line
                .split('|')
                .map(|word| word.replace("LEAK", secret))
                .collect();
            let shown = argv(&words).join(" ");
            assert!(!shown.contains("LEAK"), "{form}: {shown}");
        }
    }
}

#[test]
fn no_secret_in_a_variable_gets_through() {
    for form in [
        "-ldflags=-X=main.t=LEAK",
        "'-ldflags=-X main.t=LEAK'",
        "-exec=LEAK",
        "-toolexec=LEAK",
        "LEAK",
        "-mod=mod \"-ldflags=-X 'main.t=LEAK'\"",
        "--ldflags=all=-X=main.t=LEAK",
        "-overlay=x=LEAK",
    ] {
        for secret in SECRETS {
            let shown = variable("GOFLAGS", &form.replace("LEAK", secret));
            assert!(!shown.contains("LEAK"), "{form}: {shown}");
        }
    }
    for form in [
        "-DTOKEN=LEAK",
        "-DLEAK=",
        "--pass=LEAK",
        "-Xlinker LEAK",
        "-u LEAK",
    ] {
        let shown = variable("CGO_CFLAGS", &form.replace("LEAK", "LEAK:1"));
        assert!(!shown.contains("LEAK"), "{form}: {shown}");
    }
}

fn word() -> impl Strategy<Value = String> {
    const PARTS: [&str; 22] = [
        "-", "--", "=", " ", "'", "\"", "-X", "ldflags", "gcflags", "token", "a", "main.v", "://",
        "@", "/", ",", "\x1b", "\u{fc}", "***", "?", ":", "x1",
    ];
    vec(select(&PARTS[..]), 0..9).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn what_follows_a_flag_of_no_table_is_masked(
        secret in "[A-Za-z0-9:/+=._@-]{8,40}",
        name in "-{1,2}[a-z]{1,3}zz",
        program in select(&["go", "make", "env", "/usr/bin/x", "compile"][..]),
    ) {
        let secret = format!("SECRET{secret}");
        let line = [program, "build", &name, &secret].map(str::to_owned);
        prop_assert!(!argv(&line).join(" ").contains(&secret));
        let line = [program.to_owned(), "build".to_owned(), format!("{name}={secret}")];
        prop_assert!(!argv(&line).join(" ").contains(&secret));
    }

    #[test]
    fn any_command_line_is_masked_without_a_panic(
        program in select(&["go", "x", "compile", ""][..]),
        line in vec(word(), 0..8),
        name in select(&["GOFLAGS", "CGO_CFLAGS", "GOPROXY"][..]),
    ) {
        let words: Vec<String> = std::iter::once(program.to_owned()).chain(line).collect();
        let shown = argv(&words);
        prop_assert_eq!(argv(&shown).len(), shown.len());
        variable(name, &words.join(" "));
    }
}
