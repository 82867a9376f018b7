//! Indexes of package directories: each tells its directory below the module
//! (cmd/go/internal/modindex/write.go).

use std::collections::HashSet;

use crate::model::printable::printable;

/// What an index begins with.
pub(crate) const MAGIC: &[u8] = b"go index v2\n";
/// Longest directory told, in bytes.
const DIRECTORY_BYTES: usize = 300;

/// First components of the standard library's directories. A module's own may be called the same.
const STANDARD: [&str; 52] = [
    "archive",
    "arena",
    "bufio",
    "builtin",
    "bytes",
    "cmd",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "index",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "structs",
    "sync",
    "syscall",
    "testing",
    "text",
    "time",
    "unicode",
    "unique",
    "unsafe",
    "vendor",
];

/// Import path of the one package an index is of, if it is certain. The directory is relative to a module that
/// is not named: what was built in the same invocation decides, or a name that the standard library has not.
pub(crate) fn package(index: &[u8], module: &str, built: &HashSet<&str>) -> Option<String> {
    let directory = directory(index)?;
    let path = match (module, directory.as_str()) {
        ("" | "std", _) => directory.clone(),
        (module, "") => module.to_owned(),
        (module, inner) => {
            let own = format!("{module}/{inner}");
            let first = inner.split('/').next().unwrap_or_default();
            match (built.contains(own.as_str()), built.contains(inner)) {
                (true, false) => own,
                (false, true) => directory.clone(),
                (false, false) if !STANDARD.contains(&first) => own,
                _ => return None,
            }
        }
    };
    (!path.is_empty()).then_some(path)
}

/// `offset of strings, number of packages, (string of directory, offset)..`, each of 32 bits.
fn directory(index: &[u8]) -> Option<String> {
    let numbers = index.strip_prefix(MAGIC)?;
    let number = |at: usize| -> Option<usize> {
        let bytes = numbers.get(at * 4..at * 4 + 4)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    if number(1)? != 1 {
        return None;
    }
    let string = index.get(number(0)?.checked_add(number(2)?)?..)?;
    let (length, rest) = match string {
        [length, rest @ ..] if *length < 0x80 => (usize::from(*length), rest),
        [low, high, rest @ ..] if *high < 0x80 => {
            (usize::from(low & 0x7f) | usize::from(*high) << 7, rest)
        }
        _ => return None,
    };
    let directory = rest.get(..length.min(DIRECTORY_BYTES + 1))?;
    (directory.len() <= DIRECTORY_BYTES).then(|| printable(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(directory: &str) -> Vec<u8> {
        let mut index = MAGIC.to_vec();
        for number in [40u32, 1, 1, 24] {
            index.extend(number.to_le_bytes());
        }
        index.resize(41, 0);
        index.push(u8::try_from(directory.len()).unwrap());
        index.extend(directory.as_bytes());
        index
    }

    #[test]
    fn an_index_names_its_package() {
        let built = HashSet::from(["strings", "example.com/m/a"]);
        for (directory, module, expected) in [
            ("strings", "std", Some("strings")),
            ("strings", "example.com/m", Some("strings")),
            ("a", "example.com/m", Some("example.com/m/a")),
            ("", "example.com/m", Some("example.com/m")),
            ("other", "example.com/m", Some("example.com/m/other")),
            ("internal/x", "example.com/m", None),
            ("errors", "example.com/m", None),
            ("", "", None),
        ] {
            let found = package(&index(directory), module, &built);
            assert_eq!(found.as_deref(), expected, "{directory} in {module}");
        }
    }

    #[test]
    fn what_is_cut_or_hostile_names_nothing() {
        let whole = index("strings");
        for length in 0..whole.len() {
            assert_eq!(directory(&whole[..length]), None, "{length}");
        }
        let mut far = whole;
        far[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(directory(&far), None);
    }
}
