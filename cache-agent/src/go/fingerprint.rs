//! What enters Go's action ids, as far as it can be seen from outside: settings by name.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{
    compile_flags::CompileFlags,
    variables::{IN_ACTION_IDS, Variables},
};
use crate::model::mask;

/// Settings by name: variables as they are called, flags without their dash, `go` for the version.
pub type Fingerprint = BTreeMap<String, String>;

/// Flags that enter action ids and take a value.
const VALUED: [&str; 14] = [
    "asmflags",
    "buildmode",
    "compiler",
    "covermode",
    "coverpkg",
    "gccgoflags",
    "gcflags",
    "installsuffix",
    "ldflags",
    "mod",
    "overlay",
    "pgo",
    "tags",
    "toolexec",
];
/// Those that are set or not.
const SWITCHES: [&str; 7] = [
    "a",
    "asan",
    "cover",
    "linkshared",
    "msan",
    "race",
    "trimpath",
];
/// Other flags with a value, which must not be mistaken for a package.
const VALUED_OTHERS: [&str; 28] = [
    "C",
    "bench",
    "benchtime",
    "blockprofile",
    "blockprofilerate",
    "count",
    "coverprofile",
    "cpu",
    "cpuprofile",
    "exec",
    "fuzz",
    "fuzztime",
    "list",
    "memprofile",
    "modfile",
    "mutexprofile",
    "o",
    "outputdir",
    "p",
    "parallel",
    "pkgdir",
    "run",
    "shuffle",
    "skip",
    "timeout",
    "trace",
    "vet",
    "vettool",
];

/// Flags that compilers are told, whatever became of the command line.
pub const OF_COMPILERS: [&str; 11] = [
    "asan", "cover", "dwarf", "fuzz", "gcflags", "lang", "msan", "pgo", "race", "shared",
    "trimpath",
];

/// Fingerprint of a go command: its arguments, its variables, and those that its tools were told.
pub fn of(argv: &[String], own: &Variables, effective: &Variables, version: &str) -> Fingerprint {
    let mut found = flags(argv);
    let version = effective.get("GOVERSION").map_or(version, String::as_str);
    if !version.is_empty() {
        let number = version.strip_prefix("go").unwrap_or(version);
        found.insert("go".to_owned(), mask::text(number));
    }
    for name in IN_ACTION_IDS {
        let value = effective.get(name).or_else(|| own.get(name));
        if let Some(value) = value {
            found.insert(name.to_owned(), told(mask::variable(name, value), value));
        }
    }
    found
}

/// What compilers of its own module were told stands beside what the command line says; where that was cut,
/// it stands for it.
pub fn complete(found: &mut Fingerprint, flags: &CompileFlags, is_cut: bool) {
    if is_cut {
        found.insert("argv".to_owned(), "cut".to_owned());
    }
    for (name, value) in flags {
        let is_own = name == "gcflags" && !is_cut;
        if !is_own && OF_COMPILERS.contains(&name.as_str()) {
            found.insert(name.clone(), told(mask::flag(name, value), value));
        }
    }
}

/// Flags of a go command line that enter action ids.
fn flags(argv: &[String]) -> Fingerprint {
    let mut found = Fingerprint::new();
    let mut words = argv.iter().skip(1).map(String::as_str);
    let is_test = argv.iter().take(4).any(|word| word == "test");
    let mut has_verb = false;
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix('-') else {
            // Packages, or arguments of what is run; only `go test` takes flags after packages.
            if has_verb && !is_test {
                break;
            }
            has_verb = true;
            continue;
        };
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        if matches!(flag, "args" | "") {
            break;
        }
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        if SWITCHES.contains(&name) {
            if value.is_none_or(|value| matches!(value, "true" | "1" | "t")) {
                found.insert(name.to_owned(), "true".to_owned());
            }
        } else if VALUED.contains(&name) {
            let value = value.or_else(|| words.next()).unwrap_or_default();
            found.insert(name.to_owned(), told(mask::flag(name, value), value));
        } else if VALUED_OTHERS.contains(&name) && value.is_none() {
            words.next();
        }
    }
    found
}

/// Secrets are masked; a few digits of a hash tell different ones apart, too few to guess them by.
fn told(masked: String, value: &str) -> String {
    if masked == value {
        return masked;
    }
    let hash = Sha256::digest(value);
    let [first, second, ..] = hash[..] else {
        return masked;
    };
    format!("{masked} #{first:02x}{second:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[track_caller]
    fn check(line: &str, expected: &[(&str, &str)]) {
        let expected = expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assert_eq!(flags(&words(line)), expected.collect(), "{line}");
    }

    #[test]
    fn flags_that_enter_action_ids_are_kept() {
        check("go build ./...", &[]);
        check(
            "go build -race -o x -tags a,b .",
            &[("race", "true"), ("tags", "a,b")],
        );
        check(
            "go -C /x build --trimpath=true -v p",
            &[("trimpath", "true")],
        );
        check("go build -race=false .", &[]);
        check("go run . -race", &[]);
        check("go run -race . -tags x", &[("race", "true")]);
        check(
            "go test ./... -cover -run X -args -race",
            &[("cover", "true")],
        );
        check("go vet -vettool x -tags t .", &[("tags", "t")]);
        check("go build -tags", &[("tags", "")]);
        check("go", &[]);
    }

    #[test]
    fn secrets_in_linker_flags_differ_without_being_told() {
        let of = |value: &str| {
            let argv = ["go", "build", "-ldflags", value].map(str::to_owned);
            flags(&argv).remove("ldflags").unwrap()
        };
        let (one, other) = (of("-X main.t=s3cret"), of("-X main.t=other"));
        assert_ne!(one, other);
        assert!(one.starts_with("-X main.t=*** #") && !one.contains("s3cret"));
        assert_eq!(of("-s -w"), "-s -w");
    }

    #[test]
    fn what_tools_were_told_counts_most() {
        let own = Variables::from([("GOFLAGS", "-v".to_owned())]);
        let effective = Variables::from([
            ("GOFLAGS", "-race".to_owned()),
            ("GOVERSION", "go1.27.3".to_owned()),
        ]);
        let found = of(&words("go build"), &own, &effective, "go1.0");
        assert_eq!(found["GOFLAGS"], "-race");
        assert_eq!(found["go"], "1.27.3");
        assert_eq!(
            of(&words("go build"), &own, &Variables::new(), "")["GOFLAGS"],
            "-v"
        );
    }
}
