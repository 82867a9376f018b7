use std::path::Path;

use super::*;
use crate::config::parse;

fn config(text: &str) -> Result<Config, String> {
    parse(text, Path::new("f")).map_err(|error| error.to_string())
}

#[test]
fn empty_file_means_defaults() {
    assert_eq!(config("").unwrap(), Config::default());
    assert!(Config::default().discover);
    assert_eq!(Config::default().listen.to_string(), "127.0.0.1:10435");
}

#[test]
fn every_key_arrives() {
    let read = config(
        "listen = \"[::1]:9\"\ndiscover = true\nwalk_interval = \"90s\"\nstate_dir = \"/srv/state\"\ncanary_interval = \"10s\"\n\
         [history]\nenabled = false\nmax_age = \"7d\"\nmax_size = \"64MiB\"\n\
         [maps]\nring_bytes = \"64KiB\"\nopen_files = 8\n\
         [discovered]\nwarn = 7\nfree_space = 0.5\nfree_inodes = 0.25\n\
         [[root]]\nname = \"ci\"\npath = \"/srv/ci/go-build\"\nkind = \"gobuild\"\n\
         warn = \"8GiB\"\nfree_space = \"5%\"\nfree_inodes = 0.1\n",
    );
    let expected = Config {
        listen: "[::1]:9".parse().unwrap(),
        discover: true,
        walk_interval: Duration::from_secs(90),
        state_dir: "/srv/state".into(),
        history: History {
            enabled: false,
            max_age: Duration::from_hours(7 * 24),
            max_size: 64 << 20,
        },
        canary_interval: Some(Duration::from_secs(10)),
        maps: Maps {
            ring_bytes: 65_536,
            open_files: 8,
            ..Maps::default()
        },
        following: Following::default(),
        discovered: Thresholds {
            warn: Some(7),
            free_space: Some(0.5),
            free_inodes: Some(0.25),
        },
        roots: vec![RootConfig {
            name: "ci".to_owned(),
            path: "/srv/ci/go-build".into(),
            kind: Some(RootKind::GoBuild),
            thresholds: Thresholds {
                warn: Some(8 << 30),
                free_space: Some(0.05),
                free_inodes: Some(0.1),
            },
        }],
    };
    assert_eq!(read.unwrap(), expected);
}

#[test]
fn named_roots_switch_discovery_off_unless_asked_for() {
    let discover = |text: &str| config(text).unwrap().discover;
    assert!(!discover("[[root]]\npath = \"/a\""));
    assert!(discover("discover = true\n[[root]]\npath = \"/a\""));
}

#[test]
fn absent_names_come_from_the_path() {
    let read = config(
        "[[root]]\npath = \"/a/x\"\n[[root]]\npath = \"/b/x\"\n[[root]]\npath = \"/\"\n[[root]]\nname = \"x\"\npath = \"/c\"",
    );
    let names: Vec<String> = read
        .unwrap()
        .roots
        .into_iter()
        .map(|root| root.name)
        .collect();
    assert_eq!(names, ["x-2", "x-3", "/", "x"]);
}

#[test]
fn the_canary_can_be_switched_off() {
    let interval = |text: &str| config(text).unwrap().canary_interval;
    assert_eq!(interval(""), Some(Duration::from_mins(1)));
    assert_eq!(interval("canary_interval = \"off\""), None);
}

#[test]
fn errors_say_what_is_allowed() {
    for (text, expected) in [
        (
            "listen = \"localhost\"",
            "invalid value of `listen` at f:1:10: `localhost` must be an IP address and a port such as 127.0.0.1:10435 or [::1]:10435",
        ),
        (
            "walk_interval = \"soon\"",
            "invalid value of `walk_interval` at f:1:17: `soon` must be a duration from 1s to 30days such as 15min, 1h or 1h 30min",
        ),
        (
            "walk_interval = \"1ms\"",
            "invalid value of `walk_interval` at f:1:17: `1ms` must be a duration from 1s to 30days such as 15min, 1h or 1h 30min",
        ),
        (
            "canary_interval = \"never\"",
            "invalid value of `canary_interval` at f:1:19: `never` must be \"off\" or a duration from 1s to 30days such as 1m or 15min",
        ),
        (
            "[maps]\nring_bytes = \"5KiB\"",
            "invalid value of `ring_bytes` at f:2:14: the ring must be a power of two from 4KiB to 256MiB",
        ),
        (
            "[maps]\naccounts = 1",
            "invalid value of `accounts` at f:2:12: a map must have from 2 to 1048576 entries",
        ),
        (
            "discover = false",
            "nothing to watch in f: name at least one [[root]] or set `discover = true`",
        ),
        (
            "[[root]]\npath = \"x\"",
            "invalid value of `path` at f:2:8: `x` must be an absolute path",
        ),
        (
            "[[root]]\npath = \"\"",
            "invalid value of `path` at f:2:8: `` must be an absolute path",
        ),
        (
            "[[root]]\npath = \"/a/../b\"",
            "invalid value of `path` at f:2:8: `/a/../b` must not contain `..`",
        ),
        (
            "[[root]]\npath = \"/a\"\n[[root]]\npath = \"/a/\"",
            "invalid value of `path` at f:4:8: another root has the path /a already; paths must be unique",
        ),
        (
            "[[root]]\npath = \"/a\"\nname = \"n\"\n[[root]]\npath = \"/b\"\nname = \"n\"",
            "invalid value of `name` at f:6:8: another root is named `n` already; names must be unique",
        ),
        (
            "[[root]]\npath = \"/a\"\nname = \"a b\"",
            "invalid value of `name` at f:3:8: `a b` must have 1 to 64 characters, each a letter, a digit or one of _ . : / -",
        ),
        (
            "[[root]]\npath = \"/a\"\nname = \"other\"",
            "invalid value of `name` at f:3:8: `other` is reserved for the roots that metrics fold together; choose another name",
        ),
        (
            "[[root]]\npath = \"/a\"\nkind = \"go\"",
            "invalid value of `kind` at f:3:8: `go` must be one of gobuild, gomod, other",
        ),
        (
            "[[root]]\npath = \"/a\"\nwarn = 0",
            "invalid value of `warn` at f:3:8: a size must be larger than 0 and below 8 EiB",
        ),
        (
            "[[root]]\npath = \"/a\"\nwarn = \"99EiB\"",
            "invalid value of `warn` at f:3:8: a size must be larger than 0 and below 8 EiB",
        ),
        (
            "[[root]]\npath = \"/a\"\nfree_space = \"100%\"",
            "invalid value of `free_space` at f:3:14: a share must lie between 0 and 1 (0 % and 100 %), both excluded",
        ),
        (
            "[[root]]\npath = \"/a\"\nfree_inodes = nan",
            "invalid value of `free_inodes` at f:3:15: a share must lie between 0 and 1 (0 % and 100 %), both excluded",
        ),
    ] {
        assert_eq!(config(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn command_line_replaces_roots_and_discovery() {
    let file = config("discover = true\n[[root]]\npath = \"/a\"").unwrap();
    let none = file.clone().overridden(&Overrides::default()).unwrap();
    assert_eq!(none, file);
    let listen = Some("0.0.0.0:1".parse().unwrap());
    let roots = vec!["/x/go-build".into(), "/y/go-build".into()];
    let read = file
        .clone()
        .overridden(&Overrides {
            roots,
            listen,
            state_dir: Some("/srv/other".into()),
        })
        .unwrap();
    let names: Vec<&str> = read.roots.iter().map(|root| root.name.as_str()).collect();
    assert_eq!(names, ["go-build", "go-build-2"]);
    assert_eq!(
        (
            read.discover,
            read.listen.to_string(),
            read.state_dir.as_path()
        ),
        (false, "0.0.0.0:1".to_owned(), Path::new("/srv/other"))
    );
    for (path, expected) in [
        (
            "x",
            "invalid value of `--root` at the command line: `x` must be an absolute path",
        ),
        (
            "/x/",
            "invalid value of `--root` at the command line: another root has the path /x already; paths must be unique",
        ),
    ] {
        let overrides = Overrides {
            roots: vec!["/x".into(), path.into()],
            ..Overrides::default()
        };
        assert_eq!(
            file.clone().overridden(&overrides).unwrap_err().to_string(),
            expected
        );
    }
}
