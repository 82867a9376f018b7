use std::fs;

use super::*;

/// A host with one go installation and one user with saved settings.
struct Host {
    directory: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        host.write("usr/lib/go-1.27/bin/go", "");
        host.write("usr/lib/go-1.27/pkg/tool/x", "");
        host.write("usr/lib/go-1.27/go.env", "GOPROXY=p\n");
        fs::create_dir_all(host.directory.path().join("usr/bin")).unwrap();
        std::os::unix::fs::symlink(
            "../lib/go-1.27/bin/go",
            host.directory.path().join("usr/bin/go"),
        )
        .unwrap();
        host
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// `variables` as `KEY=value` words; the answer as `kind:path` words and reasons.
    fn roots(&self, variables: &str) -> String {
        let environment: Environment = variables
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        let files = Files::below(&self.directory.path().canonicalize().unwrap());
        let found = Settings::new(&environment, &files, &|path| files.read(path)).roots();
        let roots = found
            .roots
            .iter()
            .map(|root| format!("{}:{}", root.kind, root.path.display()));
        let reasons = found.missing.iter().map(ToString::to_string);
        roots.chain(reasons).collect::<Vec<_>>().join("; ")
    }
}

#[test]
fn defaults() {
    let host = Host::new();
    for (variables, expected) in [
        ("HOME=/h", "gobuild:/h/.cache/go-build; gomod:/h/go/pkg/mod"),
        (
            "HOME=/h XDG_CACHE_HOME=/x",
            "gobuild:/x/go-build; gomod:/h/go/pkg/mod",
        ),
        (
            "HOME=/h XDG_CACHE_HOME=",
            "gobuild:/h/.cache/go-build; gomod:/h/go/pkg/mod",
        ),
        (
            "HOME=/h XDG_CACHE_HOME=x",
            "gomod:/h/go/pkg/mod; GOCACHE is not an absolute path: x",
        ),
        (
            "HOME=/h GOPATH=/p:/q",
            "gobuild:/h/.cache/go-build; gomod:/p/pkg/mod",
        ),
        (
            "HOME=/h GOPATH=:/q",
            "gobuild:/h/.cache/go-build; GOMODCACHE is not set and has no default without GOPATH or HOME",
        ),
        (
            "HOME=/h GOPATH=p",
            "gobuild:/h/.cache/go-build; GOMODCACHE is not an absolute path: p/pkg/mod",
        ),
        (
            "",
            "GOCACHE is not set and has no default without XDG_CACHE_HOME or HOME; \
             GOMODCACHE is not set and has no default without GOPATH or HOME",
        ),
        (
            "HOME=/h GOROOT=/h/go/",
            "gobuild:/h/.cache/go-build; GOMODCACHE is not set and has no default without GOPATH or HOME",
        ),
    ] {
        assert_eq!(host.roots(variables), expected, "{variables}");
    }
}

#[test]
fn process_environment_wins() {
    let host = Host::new();
    host.write("h/.config/go/env", "GOCACHE=/saved\nGOMODCACHE=/savedmod\n");
    for (variables, expected) in [
        ("HOME=/h", "gobuild:/saved; gomod:/savedmod"),
        (
            "HOME=/h GOCACHE=/own GOMODCACHE=/ownmod",
            "gobuild:/own; gomod:/ownmod",
        ),
        (
            "HOME=/h GOCACHE= GOMODCACHE=",
            "gobuild:/saved; gomod:/savedmod",
        ),
        ("HOME=/h GOCACHE=off", "gomod:/savedmod; GOCACHE is off"),
        (
            "HOME=/h GOCACHE=~/x",
            "gomod:/savedmod; GOCACHE is not an absolute path: ~/x",
        ),
        (
            "HOME=/h GOCACHE=/a//b/./../c/",
            "gobuild:/a/c; gomod:/savedmod",
        ),
        (
            "HOME=/h GOENV=off",
            "gobuild:/h/.cache/go-build; gomod:/h/go/pkg/mod",
        ),
        (
            "HOME=/h GOENV=/none",
            "gobuild:/h/.cache/go-build; gomod:/h/go/pkg/mod",
        ),
        (
            "HOME=/other GOENV=/h/.config/go/env",
            "gobuild:/saved; gomod:/savedmod",
        ),
        (
            "HOME=/other XDG_CONFIG_HOME=/h/.config",
            "gobuild:/saved; gomod:/savedmod",
        ),
    ] {
        assert_eq!(host.roots(variables), expected, "{variables}");
    }
}

#[test]
fn saved_settings_are_read_literally() {
    let host = Host::new();
    for (text, expected) in [
        (
            "GOCACHE=/first\nGOCACHE=/last",
            "gobuild:/last; gomod:/h/go/pkg/mod",
        ),
        (
            "# GOCACHE=/a\n GOCACHE=/b\ngOCACHE=/c\nGOCACHE\n=\n",
            "gobuild:/h/.cache/go-build; gomod:/h/go/pkg/mod",
        ),
        (
            "GOCACHE=\"/quoted\"\n",
            "gomod:/h/go/pkg/mod; GOCACHE is not an absolute path: \"/quoted\"",
        ),
        (
            "GOPATH=$HOME/p\n",
            "gobuild:/h/.cache/go-build; GOMODCACHE is not an absolute path: $HOME/p/pkg/mod",
        ),
        (
            "GOPATH=/p=q\n",
            "gobuild:/h/.cache/go-build; gomod:/p=q/pkg/mod",
        ),
    ] {
        host.write("h/.config/go/env", text);
        assert_eq!(host.roots("HOME=/h"), expected, "{text}");
    }
}

#[test]
fn toolchain_settings_come_last() {
    let host = Host::new();
    host.write(
        "usr/lib/go-1.27/go.env",
        "GOCACHE=/tool\nGOMODCACHE=/toolmod\n",
    );
    host.write("other/go.env", "GOCACHE=/othertool\n");
    host.write("h/.config/go/env", "GOMODCACHE=\n");
    for (variables, expected) in [
        // The user's empty line hides the toolchain's.
        (
            "HOME=/h PATH=/none:/usr/bin",
            "gobuild:/tool; gomod:/h/go/pkg/mod",
        ),
        ("HOME=/x PATH=/usr/bin", "gobuild:/tool; gomod:/toolmod"),
        (
            "HOME=/x PATH=/usr/lib/go-1.27/bin",
            "gobuild:/tool; gomod:/toolmod",
        ),
        (
            "HOME=/x PATH=/usr/bin GOROOT=/other",
            "gobuild:/othertool; gomod:/x/go/pkg/mod",
        ),
        (
            "HOME=/x PATH=/none",
            "gobuild:/x/.cache/go-build; gomod:/x/go/pkg/mod",
        ),
        (
            "HOME=/x PATH=usr/bin",
            "gobuild:/x/.cache/go-build; gomod:/x/go/pkg/mod",
        ),
        (
            "HOME=/x PATH=/usr/bin GOCACHE=/own",
            "gobuild:/own; gomod:/toolmod",
        ),
    ] {
        assert_eq!(host.roots(variables), expected, "{variables}");
    }
}

#[test]
fn caches_are_presumed_where_go_puts_them() {
    for (words, expected) in [
        ("HOME=/h", "/h/.cache/go-build /h/go/pkg/mod"),
        (
            "HOME=/h GOPATH=/p:/q XDG_CACHE_HOME=/x",
            "/x/go-build /p/pkg/mod",
        ),
        ("HOME=/h GOCACHE=/c GOMODCACHE=/m GOPATH=/p", "/c /m"),
        ("GOMODCACHE=/m", "/m"),
        ("", ""),
    ] {
        let told = crate::go::variables::allowed(words.replace(' ', "\0").as_bytes());
        let found = of_variables(&told).roots.into_iter();
        let paths: Vec<_> = found.map(|root| root.path.display().to_string()).collect();
        assert_eq!(paths.join(" "), expected, "{words}");
    }
}
