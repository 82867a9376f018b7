use std::net::Ipv6Addr;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::config::difference::Difference;

fn config(text: &str) -> Result<Config, String> {
    parse(text, Path::new("f")).map_err(|error| error.to_string())
}

#[test]
fn empty_file_means_defaults() {
    assert_eq!(config("").unwrap(), Config::default());
    assert!(Config::default().discovery.enabled);
    assert_eq!(
        Config::default().server.listen.to_string(),
        "127.0.0.1:10435"
    );
}

#[test]
fn named_roots_switch_discovery_off_unless_asked_for() {
    let discover = |text: &str| config(text).unwrap().discovery.enabled;
    assert!(!discover("[[root]]\npath = \"/a\""));
    assert!(discover("discover = true\n[[root]]\npath = \"/a\""));
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
fn named_file_must_exist() {
    let error = load(Some(Path::new("/nonexistent/agent.toml")))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot read configuration /nonexistent/agent.toml: "),
        "{error}"
    );
}

#[test]
fn packaged_file_spells_out_the_defaults() {
    let text = include_str!("../../dist/cache-agent.toml");
    let file = Path::new("cache-agent.toml");
    assert_eq!(parse(text, file).unwrap(), Config::default());
    // Every commented example must be valid too: strip one `#` where a key or table follows.
    let enabled: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with([' ', '#']) => rest,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let config = parse(&enabled, file).unwrap();
    assert_eq!(config.roots.len(), 1);
    assert!(
        config
            .roots
            .iter()
            .all(|root| root.thresholds.warn.is_some())
    );
}

#[test]
fn fragments_apply_in_their_order() {
    let check = |texts: [(&str, &str); 2]| {
        let fragments = texts.map(|(file, text)| Fragment {
            text,
            file: Path::new(file),
        });
        check(&fragments).map_err(|error| error.to_string())
    };
    let first = "listen = \"[::1]:1\"\n[history]\nmax_age = \"1d\"\nmax_size = \"16MiB\"\n[[root]]\npath = \"/a/x\"\n";
    let second = "[history]\nmax_age = \"2d\"\n[[root]]\nname = \"x\"\npath = \"/b\"\n";
    let both = "listen = \"[::1]:1\"\n[history]\nmax_age = \"2d\"\nmax_size = \"16MiB\"\n\
                [[root]]\npath = \"/a/x\"\n[[root]]\nname = \"x\"\npath = \"/b\"\n";
    let read = check([("1", first), ("2", second)]);
    assert_eq!(read, config(both));
    for (text, expected) in [
        (
            "lisen = 1",
            "unknown key `lisen` at 2:1:1 in the top level; did you mean `listen`?",
        ),
        (
            "[[root]]\npath = \"/a/x/\"",
            "invalid value of `path` at 2:2:8: another root has the path /a/x already; paths must be unique",
        ),
        (
            "walk_interval = \"1ms\"",
            "invalid value of `walk_interval` at 2:1:17: `1ms` must be a duration from 1s to 30days such as 15min, 1h or 1h 30min",
        ),
    ] {
        assert_eq!(check([("1", first), ("2", text)]).unwrap_err(), expected);
    }
}

/// Files with every key, in the words of the file.
fn files() -> impl Strategy<Value = String> {
    let thresholds = (1..i64::MAX as u64, 0.001..0.999_f64, 0.001..0.999_f64)
        .prop_map(|(warn, space, inodes)| {
            format!("warn = {warn}\nfree_space = {space:?}\nfree_inodes = {inodes:?}\n")
        })
        .boxed();
    let top = (any::<Ipv6Addr>(), any::<u16>(), any::<bool>(), 1..=2_592_000_u32)
        .prop_map(|(address, port, is_on, seconds)| {
            let canary = if is_on { "7s" } else { "off" };
            format!("listen = \"[{address}]:{port}\"\ndiscover = true\nwalk_interval = \"{seconds}s\"\ncanary_interval = \"{canary}\"\nstate_dir = \"/{seconds}\"\n")
        });
    let history = (
        any::<bool>(),
        3600..=316_224_000_u32,
        16_u64 << 20..=1 << 60,
    )
        .prop_map(|(is_on, age, size)| {
            format!("[history]\nenabled = {is_on}\nmax_age = \"{age}s\"\nmax_size = {size}\n")
        });
    let maps = (12..=28_u32, 1..=16_384_u32).prop_map(|(ring, entries)| {
        format!(
            "[maps]\nring_bytes = {}\nopen_files = {entries}\ncalls = {entries}\n",
            1_u32 << ring
        )
    });
    let invocations = (
        vec("[a-zA-Z0-9._ -]{1,9}", 0..3),
        vec("/[a-z?]{0,9}(/[*]{1,2})?", 0..3),
    )
        .prop_map(|(commands, allow)| {
            format!("[invocations]\ncommands = {commands:?}\nallow = {allow:?}\n")
        });
    let root = (any::<bool>(), thresholds.clone());
    let roots = vec(root, 0..4).prop_map(|roots| {
        let roots = roots.into_iter().enumerate();
        let tables = roots.map(|(number, (is_named, thresholds))| {
            let name = if is_named {
                format!("name = \"n{number}\"\n")
            } else {
                String::new()
            };
            format!("[[root]]\npath = \"/{number}/cache\"\n{name}{thresholds}")
        });
        tables.collect::<String>()
    });
    let discovered = thresholds.prop_map(|thresholds| format!("[discovered]\n{thresholds}"));
    (top, history, maps, invocations, discovered, roots).prop_map(|parts| {
        let (top, history, maps, invocations, discovered, roots) = parts;
        [top, history, maps, invocations, discovered, roots].concat()
    })
}

proptest! {
    #[test]
    fn what_is_shown_is_the_same_configuration(file in files()) {
        let written = config(&file).unwrap();
        let shown = config(&toml::to_string(&written).unwrap()).unwrap();
        let difference = Difference::between(&written, &shown);
        prop_assert!(difference.is_empty(), "{difference} in {file}");
        prop_assert_eq!(written, shown);
    }
}
