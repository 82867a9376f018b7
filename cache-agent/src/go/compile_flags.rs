//! What a compiler was told about how to compile: the part of it that go hashes into the action's id.

use std::collections::BTreeMap;

/// Flags by the name that people know them by.
pub type CompileFlags = BTreeMap<String, String>;

/// Flags whose value is the next word and says nothing of how.
const NAMING: [&str; 11] = [
    "-D",
    "-I",
    "-asmhdr",
    "-buildid",
    "-embedcfg",
    "-goversion",
    "-importcfg",
    "-linkobj",
    "-o",
    "-p",
    "-symabis",
];
/// Flags that go sets by itself, by package or machine.
const OWN: [&str; 6] = ["+", "complete", "nolocalimports", "pack", "std", "c"];
/// Flags that stand for a flag of the go command with the same name.
const SWITCHES: [&str; 5] = ["asan", "dynlink", "msan", "race", "shared"];
/// Longest value kept.
const VALUE_CHARACTERS: usize = 200;

/// What the command line of a compiler says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CompilerCall {
    /// How.
    pub flags: CompileFlags,
    /// Directory of the first source that is not generated; empty where the line does not tell.
    pub directory: String,
    /// It is a package of the standard library.
    pub is_standard: bool,
}

/// Reads the arguments of `compile`.
pub fn of_compiler(argv: &[String]) -> CompilerCall {
    let mut call = CompilerCall::default();
    let mut words = argv.iter().skip(1).map(String::as_str).peekable();
    while let Some(flag) = words.peek().and_then(|word| word.strip_prefix('-')) {
        words.next();
        let word = format!("-{flag}");
        if NAMING.contains(&word.as_str()) {
            words.next();
            continue;
        }
        let (name, value) = flag
            .split_once('=')
            .map_or((flag, None), |(name, value)| (name, Some(value)));
        let value = match (name, value) {
            ("trimpath" | "coveragecfg" | "installsuffix", None) => words.next(),
            (_, value) => value,
        };
        call.is_standard |= name == "std";
        call.take(name, value, &word);
    }
    let mut sources = words.filter(|word| word.starts_with('/') && !word.contains("/go-build"));
    let source = sources.find_map(|word| word.rsplit_once('/'));
    source
        .map_or("", |(directory, _)| directory)
        .clone_into(&mut call.directory);
    call
}

impl CompilerCall {
    fn take(&mut self, name: &str, value: Option<&str>, word: &str) {
        if OWN.contains(&name)
            || NAMING
                .iter()
                .any(|naming| naming.strip_prefix('-') == Some(name))
        {
            return;
        }
        let value = value.unwrap_or_default();
        let (name, value) = match name {
            "trimpath" if is_trimming(value) => ("trimpath", "true".to_owned()),
            "trimpath" => return,
            "coveragecfg" => ("cover", "true".to_owned()),
            "pgoprofile" => ("pgo", profile(value)),
            "lang" | "installsuffix" | "dwarf" => (name, value.to_owned()),
            "d" if value.contains("libfuzzer") => ("fuzz", "true".to_owned()),
            _ if SWITCHES.contains(&name) => (name, "true".to_owned()),
            _ => ("gcflags", word.to_owned()),
        };
        let told = self.flags.entry(name.to_owned()).or_default();
        if !told.is_empty() {
            told.push(' ');
        }
        told.extend(value.chars().take(VALUE_CHARACTERS));
    }
}

/// Something beside go's work directory gets another name than that of the file that it overlays.
fn is_trimming(mapping: &str) -> bool {
    let pairs = mapping.split(';').filter_map(|pair| pair.split_once("=>"));
    let mut names = pairs.map(|(_, name)| name);
    names.any(|name| !name.is_empty() && !name.starts_with('/'))
}

/// A profile that a cache keeps is told by its content, another one only by being there.
fn profile(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    let digits = name.strip_suffix("-d").and_then(|digits| digits.get(..8));
    digits.map_or_else(
        || "a profile".to_owned(),
        |digits| format!("profile {digits}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, flags: &[(&str, &str)], directory: &str) {
        let argv: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let call = of_compiler(&argv);
        let flags = flags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assert_eq!(call.flags, flags.collect(), "{line}");
        assert_eq!(call.directory, directory, "{line}");
    }

    #[test]
    fn a_plain_call_says_its_language() {
        check(
            "compile -o /tmp/go-build1/b001/_pkg_.a -trimpath /tmp/go-build1/b001=> -p example.com/c -lang=go1.21 \
             -complete -buildid x/x -goversion go1.27.3 -c=2 -nolocalimports -importcfg /t/i -pack /src/c/a.go /src/c/b.go",
            &[("lang", "go1.21")],
            "/src/c",
        );
    }

    #[test]
    fn what_go_was_asked_for_is_told_by_its_own_name() {
        check(
            "compile -trimpath /src/p=>example.com/c/p;/tmp/go-build1/b001=> -p p -race -shared -l -N \
             -d=libfuzzer -pgoprofile=/c/ab/abcdef0123-d -coveragecfg=/tmp/go-build1/x /tmp/go-build1/b001/p.cover.go /src/p/q.go",
            &[
                ("cover", "true"),
                ("fuzz", "true"),
                ("gcflags", "-l -N"),
                ("pgo", "profile abcdef01"),
                ("race", "true"),
                ("shared", "true"),
                ("trimpath", "true"),
            ],
            "/src/p",
        );
        check(
            "compile -pgoprofile=/src/default.pgo -d=checkptr x.go",
            &[("gcflags", "-d=checkptr"), ("pgo", "a profile")],
            "",
        );
    }

    #[test]
    fn what_is_cut_or_strange_ends() {
        for line in [
            "compile",
            "compile -o",
            "compile -trimpath",
            "compile -c=2 x.go",
        ] {
            check(line, &[], "");
        }
        check("compile --", &[("gcflags", "--")], "");
    }
}
