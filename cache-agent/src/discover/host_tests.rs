use std::fs;

use super::*;
use crate::config::limits::Thresholds;

const README: &str = "This directory holds cached build artifacts from the Go build system.\n";

struct Host {
    directory: tempfile::TempDir,
    uid: u32,
}

impl Host {
    /// `users` as `name:uid offset:home` words; the test's own user has offset 0 and owns every file.
    fn new(users: &str) -> Self {
        let host = Self {
            directory: tempfile::tempdir().unwrap(),
            uid: rustix::process::getuid().as_raw(),
        };
        let lines: Vec<String> = users
            .split_whitespace()
            .map(|user| {
                let fields: Vec<&str> = user.split(':').collect();
                let [name, offset, home] = fields[..] else {
                    panic!("{user}")
                };
                let uid = host.uid + offset.parse::<u32>().unwrap();
                format!("{name}:x:{uid}:0::{home}:/bin/sh\n")
            })
            .collect();
        host.write("etc/passwd", &lines.concat());
        host
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn directory(&self, path: &str) {
        fs::create_dir_all(self.directory.path().join(path)).unwrap();
    }

    /// `name=path` words, `+` for those that exist, as an agent of another user sees them.
    fn candidates(
        &self,
        environment: &Environment,
        own_uid: u32,
        configured: &[RootConfig],
    ) -> Vec<String> {
        let files = Files::below(&self.directory.path().canonicalize().unwrap());
        let mut scan = Scan::new(files, configured);
        for user in users(&scan.files) {
            scan.add(
                &user,
                environment,
                (user.uid == own_uid).then_some(environment),
            );
        }
        scan.finish()
            .iter()
            .map(|found| {
                format!(
                    "{}={}{}",
                    found.name,
                    found.root.path.display(),
                    if found.exists { "+" } else { "" }
                )
            })
            .collect()
    }

    fn check(&self, expected: &[&str]) {
        assert_eq!(
            self.candidates(&Environment::new(), self.uid + 1000, &[]),
            expected
        );
    }
}

#[test]
fn every_home_that_is_its_users_own() {
    let host = Host::new("alice:0:/home/alice twin:0:/home/alice absent:0:/home/absent bin:7:/bin");
    host.directory("home/alice/.cache/go-build");
    host.directory("bin");
    host.check(&[
        "gobuild:alice=/home/alice/.cache/go-build+",
        "gomod:alice=/home/alice/go/pkg/mod",
    ]);
}

#[test]
fn saved_settings_and_what_is_left_in_the_default_place() {
    let host = Host::new("alice:0:/home/alice");
    host.write("home/alice/.config/go/env", "GOCACHE=/scratch/alice\n");
    host.write("home/alice/.cache/go-build/README", README);
    host.directory("scratch/alice");
    host.check(&[
        "gobuild:alice=/scratch/alice+",
        "gobuild:alice-2=/home/alice/.cache/go-build+",
        "gomod:alice=/home/alice/go/pkg/mod",
    ]);
}

#[test]
fn settings_behind_a_link_out_of_home_do_not_count() {
    let host = Host::new("alice:0:/home/alice");
    host.write("etc/secret", "GOCACHE=/leak\n");
    host.directory("home/alice/.config/go");
    std::os::unix::fs::symlink(
        "../../../../etc/secret",
        host.directory.path().join("home/alice/.config/go/env"),
    )
    .unwrap();
    host.check(&[
        "gobuild:alice=/home/alice/.cache/go-build",
        "gomod:alice=/home/alice/go/pkg/mod",
    ]);
}

#[test]
fn one_directory_is_one_root() {
    let host = Host::new("alice:0:/home/alice bob:0:/home/bob");
    host.write("home/alice/.config/go/env", "GOCACHE=/shared\n");
    host.write(
        "home/bob/.config/go/env",
        "GOCACHE=/link\nGOMODCACHE=/shared\n",
    );
    host.write("shared/README", README);
    std::os::unix::fs::symlink("shared", host.directory.path().join("link")).unwrap();
    host.check(&[
        "gobuild:alice=/shared+",
        "gomod:alice=/home/alice/go/pkg/mod",
    ]);
}

#[test]
fn others_directories_count_only_when_they_look_like_a_cache() {
    let host = Host::new("");
    host.directory("etc");
    host.write("cache/README", README);
    let files = Files::below(host.directory.path());
    for (path, kind, uid, expected) in [
        ("/etc", RootKind::GoBuild, host.uid, true),
        ("/etc", RootKind::GoBuild, host.uid + 1, false),
        ("/cache", RootKind::GoBuild, host.uid + 1, true),
        ("/cache", RootKind::GoMod, host.uid + 1, false),
        ("/none", RootKind::GoMod, host.uid, false),
    ] {
        assert_eq!(
            is_acceptable(&files, Path::new(path), kind, uid),
            expected,
            "{path} {kind} {uid}"
        );
    }
}

#[test]
fn xdg_directories_count_for_the_agents_own_user_only() {
    let host = Host::new("alice:0:/home/alice");
    host.directory("home/alice");
    let environment: Environment = [("XDG_CACHE_HOME", "/xdg"), ("GOCACHE", "/ignored")]
        .into_iter()
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    let first = |uid| {
        host.candidates(&environment, uid, &[])
            .into_iter()
            .next()
            .unwrap()
    };
    assert_eq!(first(host.uid), "gobuild:alice=/xdg/go-build");
    assert_eq!(
        first(host.uid + 1),
        "gobuild:alice=/home/alice/.cache/go-build"
    );
}

#[test]
fn absent_caches_are_bounded_and_come_last() {
    let users: Vec<String> = (0..100)
        .map(|number| format!("u{number}:0:/home/u{number} "))
        .collect();
    let host = Host::new(&users.concat());
    (0..100).for_each(|number| host.directory(&format!("home/u{number}")));
    host.directory("home/u99/go/pkg/mod");
    let found = host.candidates(&Environment::new(), host.uid + 1000, &[]);
    assert_eq!(found.len(), 1 + MAX_ABSENT);
    assert_eq!(
        found.first().map(String::as_str),
        Some("gomod:u99=/home/u99/go/pkg/mod+")
    );
}

#[test]
fn services_are_not_waited_for_until_they_ran_go() {
    let host = Host::new("");
    host.directory("home/old/.config/go");
    host.directory("home/new/.cache");
    host.directory("cache");
    let files = Files::below(host.directory.path());
    let cache = |path: &str| FoundRoot {
        path: path.into(),
        kind: RootKind::GoBuild,
    };
    for (uid, home, root, expected) in [
        (0, "/home/new", "/none", true),
        (1000, "/home/new", "/none", true),
        (999, "/home/new", "/none", false),
        (999, "/home/old", "/none", true),
        (999, "/home/new", "/cache", true),
    ] {
        let user = User {
            name: "x".to_owned(),
            uid,
            home: home.into(),
        };
        let found = is_likely_to_run_go(&files, &user, &[cache(root)]);
        assert_eq!(found, expected, "{uid} {home} {root}");
    }
}

#[test]
fn configured_roots_are_left_out_and_keep_their_names() {
    let host = Host::new("alice:0:/home/alice");
    host.directory("home/alice/go/pkg/mod");
    let configured = [
        ("gobuild:alice", "/srv/ci"),
        ("mod", "/home/alice/go/pkg/mod"),
    ]
    .map(|(name, path)| RootConfig {
        name: name.to_owned(),
        path: path.into(),
        kind: None,
        thresholds: Thresholds::default(),
    });
    let found = host.candidates(&Environment::new(), host.uid + 1000, &configured);
    assert_eq!(found, ["gobuild:alice-2=/home/alice/.cache/go-build"]);
}
