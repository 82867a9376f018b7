//! What the arguments of the go command's children say: which package, which action, for what.

use super::{
    action_id::{self, Prefix},
    compile_flags::{CompilerCall, of_compiler},
    variables::Variables,
};
use crate::model::{invocation::Class, printable::printable};

/// Longest import path, in characters.
const PATH_CHARACTERS: usize = 300;

/// A package that is compiled or linked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Built {
    /// Name of the action, if the arguments tell it.
    pub action: Option<Prefix>,
    /// Import path with its test variant.
    pub path: String,
    /// Compile or link.
    pub class: Class,
    /// Go version, platform, flags.
    pub variant: String,
    /// Names of files generated for the package, as the cache keeps them.
    pub generated: Vec<String>,
    /// How it is compiled.
    pub call: CompilerCall,
}

/// What a child works on; `None` for probes (`-V=full`) and programs that are no tools of go.
pub fn of_child(
    comm: &str,
    argv: &[String],
    environment: &Variables,
    is_trimmed: bool,
) -> Option<Built> {
    let class = match comm {
        "compile" => Class::Compile,
        "link" => Class::Link,
        "cgo" => Class::Cgo,
        "cover" => Class::Cover,
        _ => return None,
    };
    if argv.get(1).is_some_and(|first| first.starts_with("-V")) {
        return None;
    }
    let build_id = flag(argv, "-buildid").unwrap_or_default();
    let named = environment.get("TOOLEXEC_IMPORTPATH").map(String::as_str);
    let path = named.or_else(|| flag(argv, "-p")).unwrap_or_default();
    Some(Built {
        action: action_id::prefix(build_id)
            .filter(|_| matches!(class, Class::Compile | Class::Link)),
        path: printable(path.as_bytes())
            .chars()
            .take(PATH_CHARACTERS)
            .collect(),
        class,
        variant: variant(argv, environment, is_trimmed),
        generated: if class == Class::Cgo {
            cgo_files(argv)
        } else {
            Vec::new()
        },
        call: if class == Class::Compile {
            of_compiler(argv)
        } else {
            CompilerCall::default()
        },
    })
}

/// The word after `name`, or what follows `name=`.
fn flag<'a>(argv: &'a [String], name: &str) -> Option<&'a str> {
    let mut words = argv.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if word == name {
            return words.next();
        }
        if let Some(value) = word
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='))
        {
            return Some(value);
        }
    }
    None
}

fn variant(argv: &[String], environment: &Variables, is_trimmed: bool) -> String {
    let value = |name| environment.get(name).map_or("", String::as_str);
    let version = match value("GOVERSION") {
        "" => flag(argv, "-goversion").unwrap_or_default(),
        version => version,
    };
    let platform = format!("{}/{}", value("GOOS"), value("GOARCH"));
    let has = |name: &str| argv.iter().any(|word| word.starts_with(name));
    let flags = [
        ("race", has("-race")),
        ("cover", has("-coveragecfg")),
        ("trimpath", is_trimmed),
    ];
    let flags = flags.iter().filter(|(_, is_set)| *is_set);
    let words = [version, if platform == "/" { "" } else { &platform }];
    let words = words.into_iter().filter(|word| !word.is_empty());
    let words: Vec<_> = words.chain(flags.map(|(name, _)| *name)).collect();
    printable(words.join(" ").as_bytes())
}

/// Files that cgo makes of `x.go` and once for the package.
fn cgo_files(argv: &[String]) -> Vec<String> {
    let once = [
        "_cgo_gotypes.go",
        "_cgo_export.c",
        "_cgo_export.h",
        "_cgo_main.c",
        "_cgo_flags",
        "_cgo_import.go",
    ];
    let base = |word: &String| word.rsplit('/').next().map(str::to_owned);
    let sources = argv.iter().skip(1).filter(|word| !word.starts_with('-'));
    let stems = sources
        .filter_map(base)
        .filter_map(|name| name.strip_suffix(".go").map(str::to_owned));
    let pairs = stems.flat_map(|stem| [format!("{stem}.cgo1.go"), format!("{stem}.cgo2.c")]);
    once.into_iter().map(str::to_owned).chain(pairs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_compiler_names_package_and_action() {
        let argv = words(
            "/g/compile -o x -trimpath y -p strings -race -buildid ASNFZ4mrze8BI0VniavN/ASNFZ4mrze8BI0VniavN -pack a.go",
        );
        let environment = Variables::from([
            ("GOARCH", "amd64".to_owned()),
            ("GOOS", "linux".to_owned()),
            ("GOVERSION", "go1.27.3".to_owned()),
        ]);
        let built = of_child("compile", &argv, &environment, true).unwrap();
        assert_eq!(built.path, "strings");
        assert_eq!(built.variant, "go1.27.3 linux/amd64 race trimpath");
        assert!(built.action.is_some());
    }

    #[test]
    fn the_environment_names_test_variants() {
        let environment =
            Variables::from([("TOOLEXEC_IMPORTPATH", "strings [strings.test]".to_owned())]);
        let argv = words("compile -p strings -buildid=ASNFZ4mrze8BI0VniavN/x");
        let built = of_child("compile", &argv, &environment, false).unwrap();
        assert_eq!(built.path, "strings [strings.test]");
        assert!(built.action.is_some());
    }

    #[test]
    fn probes_and_strangers_say_nothing() {
        for line in ["compile -V=full", "gcc -c x.c"] {
            let argv = words(line);
            assert_eq!(of_child(&argv[0], &argv, &Variables::new(), false), None);
        }
    }

    #[test]
    fn cgo_names_what_it_generates() {
        let argv = words("cgo -objdir x -- -I . net.go /s/cgo_linux.go");
        let built = of_child("cgo", &argv, &Variables::new(), false).unwrap();
        assert!(built.generated.contains(&"cgo_linux.cgo1.go".to_owned()));
        assert!(built.action.is_none());
    }
}
