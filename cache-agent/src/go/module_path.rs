//! Names of modules: from paths in a module cache, and out of go.mod files.

/// `module@version` of a file below a module cache, as people write it; `None` for what belongs to no
/// version of a module (checksum database, repositories, locks).
pub fn of_path(path: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    match path.strip_prefix("cache/") {
        Some(inner) => of_download(inner.strip_prefix("download/")?),
        None => of_tree(path),
    }
}

/// `<escaped>/@v/<version>.zip`, temporary names included.
fn of_download(path: &str) -> Option<String> {
    let (module, file) = path.split_once("/@v/")?;
    let version = version(file)?;
    Some(format!("{}@{}", unescape(module)?, unescape(version)?))
}

fn version(file: &str) -> Option<&str> {
    let name = file.strip_suffix(".tmp").map_or(file, |name| {
        name.trim_end_matches(|character: char| character.is_ascii_digit())
    });
    let suffixes = [".ziphash", ".zip", ".mod", ".info", ".lock", ".partial"];
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix))
}

/// `<escaped>@<version>/..`.
fn of_tree(path: &str) -> Option<String> {
    let at = path.find('@')?;
    let (module, rest) = path.split_at(at);
    let version = rest.get(1..)?.split('/').next()?;
    // Go's own name of a tree that is on its way out.
    let version = version.split(".tmp-").next()?;
    (!module.is_empty() && !version.is_empty())
        .then(|| Some(format!("{}@{}", unescape(module)?, unescape(version)?)))
        .flatten()
}

/// `!x` stands for `X` (golang.org/x/mod/module, `EscapePath`).
fn unescape(escaped: &str) -> Option<String> {
    let mut out = String::with_capacity(escaped.len());
    let mut characters = escaped.chars();
    while let Some(character) = characters.next() {
        if character == '!' {
            out.push(characters.next()?.to_ascii_uppercase());
        } else {
            out.push(character);
        }
    }
    Some(out)
}

/// The other way round.
pub(crate) fn escape(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for character in path.chars() {
        if character.is_ascii_uppercase() {
            out.push('!');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}

/// Module and version whose tree in a module cache has this package in this directory; nothing of other directories.
pub(crate) fn of_directory<'a>(package: &'a str, directory: &str) -> Option<(&'a str, String)> {
    let above = |path: &&'a str| path.rsplit_once('/').map(|(above, _)| above);
    let mut modules = std::iter::successors(package.split(' ').next(), above);
    modules.find_map(|module| {
        let (_, rest) = directory.split_once(&format!("/{}@", escape(module)))?;
        let (version, inner) = rest.split_once('/').unwrap_or((rest, ""));
        let own = package.split(' ').next()?.strip_prefix(module)?;
        let is_it = own.trim_start_matches('/') == inner;
        Some((module, unescape(version)?)).filter(|_| is_it)
    })
}

/// The path that a go.mod file declares.
pub fn declared(go_mod: &str) -> Option<String> {
    let lines = go_mod.lines().map(str::trim);
    let mut declared = lines.filter_map(|line| line.strip_prefix("module"));
    let rest = declared.find(|rest| rest.starts_with([' ', '\t', '"', '`']))?;
    let word = rest.split("//").next()?.trim();
    let path = word.trim_matches(['"', '`']);
    let is_plain = !path.is_empty()
        && path.len() <= 255
        && !path.contains(|character: char| character.is_whitespace() || character.is_control());
    is_plain.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_module_cache_name_their_module() {
        for (path, expected) in [
            (
                "cache/download/github.com/!burnt!sushi/toml/@v/v1.2.0.zip",
                Some("github.com/BurntSushi/toml@v1.2.0"),
            ),
            (
                "cache/download/example.org/dep/@v/v1.0.0.zip123456.tmp",
                Some("example.org/dep@v1.0.0"),
            ),
            (
                "cache/download/example.org/dep/@v/v1.0.0.ziphash",
                Some("example.org/dep@v1.0.0"),
            ),
            (
                "cache/download/example.org/dep/@v/v0.0.0-2024-x.mod99.tmp",
                Some("example.org/dep@v0.0.0-2024-x"),
            ),
            ("cache/download/example.org/dep/@v/list", None),
            ("cache/download/sumdb/sum.golang.org/latest", None),
            ("cache/vcs/abc/HEAD", None),
            ("cache/lock", None),
            (
                "github.com/!a/b@v1.0.0/sub/x.go",
                Some("github.com/A/b@v1.0.0"),
            ),
            (
                "github.com/a/b@v1.0.0.tmp-123/x.go",
                Some("github.com/a/b@v1.0.0"),
            ),
            ("plain/file", None),
            ("@v1", None),
            ("a@", None),
            ("a!", None),
        ] {
            assert_eq!(of_path(path.as_bytes()).as_deref(), expected, "{path}");
        }
        assert_eq!(of_path(b"\xff@v1/x"), None);
    }

    #[test]
    fn directories_of_a_module_cache_name_module_and_version() {
        for (package, directory, expected) in [
            (
                "a.b/C/d",
                "/x/pkg/mod/a.b/!c@v1.0.0/d",
                Some("a.b/C v1.0.0"),
            ),
            (
                "a.b/C/d [a.b/C/d.test]",
                "/mod/a.b/!c@v1.0.0/d",
                Some("a.b/C v1.0.0"),
            ),
            ("a.b/c", "/mod/a.b/c@v1.0.0-!r!c1", Some("a.b/c v1.0.0-RC1")),
            ("a.b/c/d", "/mod/a.b/c/d@v2.0.0", Some("a.b/c/d v2.0.0")),
            ("a.b/c/d", "/mod/a.b/c@v1.0.0/e", None),
            ("a.b/c", "/src/c@v1.0.0", None),
            ("a.b/c", "/src/c", None),
            ("", "", None),
        ] {
            let found = of_directory(package, directory);
            let found = found.map(|(module, version)| format!("{module} {version}"));
            assert_eq!(found.as_deref(), expected, "{package} in {directory}");
        }
    }

    #[test]
    fn a_go_mod_declares_its_module() {
        for (text, expected) in [
            (
                "module example.com/shop\n\ngo 1.24\n",
                Some("example.com/shop"),
            ),
            (
                "// x\nmodule \"example.com/q\" // why\n",
                Some("example.com/q"),
            ),
            ("modules x\nmodule\texample.com/t", Some("example.com/t")),
            ("module a b\n", None),
            ("go 1.24\n", None),
            ("", None),
        ] {
            assert_eq!(declared(text).as_deref(), expected, "{text}");
        }
    }
}
