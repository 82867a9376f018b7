//! `go install PACKAGE@VERSION` and `go run PACKAGE@VERSION`: they work in the package's module, whatever go.mod the
//! directory has.

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use super::{
    env,
    module_path::{escape, of_directory},
    variables::Variables,
};
use crate::{
    model::{mask, root::RootKind, tool_group::verb},
    sys::{
        fs_rights::Rights,
        openat::{Links, place, read_regular_file},
    },
};

/// Longest path and version, in bytes.
const WORD_BYTES: usize = 300;
/// How much of a list of versions is read.
const LIST_BYTES: u64 = 64 * 1024;
/// Versions looked for in a module cache, the newest ones.
const VERSIONS_MAX: usize = 32;

/// A package at a version, as the command line has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pinned {
    /// Import path.
    path: String,
    /// Version, or what stands for one: `latest`, a branch.
    version: String,
}

impl Pinned {
    /// What this go command is to install or run; nothing where that is of the directory's module.
    pub fn asked(argv: &[String]) -> Option<Self> {
        let verb = verb(argv).filter(|verb| matches!(*verb, "install" | "run"))?;
        let mut words = argv.iter().map(String::as_str);
        words.find(|word| *word == verb)?;
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix('-') else {
                return Self::named(word);
            };
            if mask::takes_next_word(flag) {
                words.next();
            }
        }
        None
    }

    fn named(word: &str) -> Option<Self> {
        let (path, version) = word.split_once('@')?;
        let path = path.split("/...").next().unwrap_or_default();
        let is_plain = |text: &str, others: &[u8]| {
            let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
            (1..=WORD_BYTES).contains(&text.len()) && text.bytes().all(is_usual)
        };
        let is_local = path.starts_with(['.', '/']) || path.split('/').any(str::is_empty);
        let is_package =
            !is_local && is_plain(path, b"-._~/+!") && is_plain(version, b"-._~/+<>=^");
        is_package.then(|| Self {
            path: path.to_owned(),
            version: version.to_owned(),
        })
    }

    /// As the command line has it: all that is known where nothing tells the module.
    pub fn as_given(&self) -> String {
        mask::text(&format!("{}@{}", self.path, self.version))
    }

    /// The module, from the directory in which a package of this path was compiled.
    pub fn module_of(&self, package: &str, directory: &str) -> Option<String> {
        let rest = package.strip_prefix(&self.path)?;
        let is_it = rest.is_empty() || rest.starts_with('/');
        let (module, _) = of_directory(package, directory).filter(|_| is_it)?;
        Some(module.to_owned())
    }

    /// The module, from those of which versions came into a module cache (`module@version`).
    pub fn module_among<'a>(&self, downloaded: impl Iterator<Item = &'a str>) -> Option<String> {
        let modules: Vec<&str> = downloaded
            .filter_map(|module| Some(module.rsplit_once('@')?.0))
            .collect();
        let module = self.candidates().find(|module| modules.contains(module))?;
        Some(module.to_owned())
    }

    /// The module, from a module cache that has the package already.
    ///
    /// `root` is the process' own, `variables` say where its caches are. The calling thread gets the file system
    /// rights of this user for as long as it looks.
    pub fn module_in_cache(
        &self,
        root: BorrowedFd<'_>,
        variables: &Variables,
        [uid, gid]: [u32; 2],
    ) -> Option<String> {
        let roots = env::of_variables(variables).roots;
        let cache = roots.iter().find(|root| root.kind == RootKind::GoMod)?;
        let _rights = Rights::of(uid, gid)?;
        let cache = place(root, &cache.path, Links::InRoot)?;
        let module = self
            .candidates()
            .find(|module| self.is_in(module, cache.as_fd()))?;
        Some(module.to_owned())
    }

    /// The package is in a version of this module that the cache has: in the very one, if it is one.
    fn is_in(&self, module: &str, cache: BorrowedFd<'_>) -> bool {
        let (escaped, inner) = (escape(module), self.path.get(module.len()..));
        let inner = inner.unwrap_or_default().trim_start_matches('/');
        let has = |version: &str| {
            let tree = format!("{escaped}@{}", escape(version));
            place(cache, Path::new(&tree).join(inner), Links::Beneath).is_some()
        };
        if has(&self.version) {
            return true;
        }
        let list = format!("cache/download/{escaped}/@v/list");
        let list = read_regular_file(cache, list, Links::Beneath, LIST_BYTES).unwrap_or_default();
        let list = String::from_utf8_lossy(&list);
        let is_query = !self.version.starts_with('v') || self.version.split('.').count() < 3;
        let versions = list.lines().rev().take(VERSIONS_MAX);
        is_query && versions.into_iter().any(has)
    }

    /// Paths of which each may be the module's, the longest first, as go looks for it.
    fn candidates(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.path.as_str()), |path| {
            path.rsplit_once('/').map(|(above, _)| above)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, fs::File};

    use super::*;
    use crate::go::variables::allowed;

    fn asked(line: &str) -> Option<Pinned> {
        let argv: Vec<_> = line.split(' ').map(str::to_owned).collect();
        Pinned::asked(&argv)
    }

    #[test]
    fn a_package_at_a_version_is_asked_for() {
        for (line, expected) in [
            ("go install example.com/t@v1.0.0", "example.com/t@v1.0.0"),
            (
                "go run example.com/t/cmd/x@latest -v a@b",
                "example.com/t/cmd/x@latest",
            ),
            (
                "go -C /x run -race -tags a@b,c example.com/t@v1",
                "example.com/t@v1",
            ),
            (
                "go install -ldflags=-s=x@y --mod mod a.b/c/...@main",
                "a.b/c@main",
            ),
            ("go install -ldflags -X=m.v=a@b .", ""),
            ("go run . x@v1.0.0", ""),
            ("go run ./x@v1.0.0", ""),
            ("go run /x@v1.0.0", ""),
            ("go install u:p@example.com/t@v1", ""),
            ("go install example.com/t@", ""),
            ("go install example.com//t@v1", ""),
            ("go get example.com/t@v1.0.0", ""),
            ("go mod download example.com/t@v1.0.0", ""),
            ("go build example.com/t@v1.0.0", ""),
            ("go install", ""),
            ("go", ""),
        ] {
            let found = asked(line).map_or_else(String::new, |pinned| pinned.as_given());
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn what_was_compiled_or_downloaded_tells_the_module() {
        let pinned = asked("go install example.com/Tool/cmd/x@latest").unwrap();
        for (package, directory, expected) in [
            (
                "example.com/Tool/cmd/x",
                "/m/example.com/!tool@v1.0.0/cmd/x",
                Some("example.com/Tool"),
            ),
            (
                "example.com/Tool/cmd/x",
                "/m/example.com/!tool/cmd/x@v1.0.0",
                Some("example.com/Tool/cmd/x"),
            ),
            (
                "example.com/Tool/big",
                "/m/example.com/!tool@v1.0.0/big",
                None,
            ),
            ("example.com/Tool/cmd/x", "/src/tool/cmd/x", None),
        ] {
            let found = pinned.module_of(package, directory);
            assert_eq!(found.as_deref(), expected, "{package} in {directory}");
        }
        for (downloaded, expected) in [
            (
                &["example.com/Tool@v1.0.0", "example.com/dep@v1.0.0"][..],
                Some("example.com/Tool"),
            ),
            (
                &["example.com/Tool@v1.0.0", "example.com/Tool/cmd@v1.0.0"],
                Some("example.com/Tool/cmd"),
            ),
            (&["example.com/To@v1.0.0", ""], None),
        ] {
            let found = pinned.module_among(downloaded.iter().copied());
            assert_eq!(found.as_deref(), expected, "{downloaded:?}");
        }
    }

    #[test]
    fn a_module_cache_that_has_it_tells_the_module() {
        let top = tempfile::tempdir().unwrap();
        let cache = top.path().join("home/go/pkg/mod");
        for tree in [
            "example.com/!tool@v1.0.0/cmd/x",
            "example.com/!tool/cmd@v1.0.0/y",
            "cache/download/example.com/!tool/@v",
        ] {
            fs::create_dir_all(cache.join(tree)).unwrap();
        }
        let list = cache.join("cache/download/example.com/!tool/@v/list");
        fs::write(list, "v0.9.0\nv1.0.0\n").unwrap();
        let root = File::open(top.path()).unwrap();
        let own = [
            nix::unistd::getuid().as_raw(),
            nix::unistd::getgid().as_raw(),
        ];
        for (environment, package, expected) in [
            (
                "HOME=/home",
                "example.com/Tool/cmd/x@v1.0.0",
                Some("example.com/Tool"),
            ),
            (
                "HOME=/home",
                "example.com/Tool/cmd/y@v1.0.0",
                Some("example.com/Tool/cmd"),
            ),
            (
                "HOME=/home",
                "example.com/Tool/cmd/x@latest",
                Some("example.com/Tool"),
            ),
            (
                "GOMODCACHE=/home/go/pkg/mod",
                "example.com/Tool@v1",
                Some("example.com/Tool"),
            ),
            ("HOME=/home", "example.com/Tool/cmd/x@v1.1.0", None),
            ("HOME=/home", "example.com/Tool/cmd/z@latest", None),
            ("HOME=/other", "example.com/Tool/cmd/x@v1.0.0", None),
            ("GOMODCACHE=mod", "example.com/Tool/cmd/x@v1.0.0", None),
        ] {
            let pinned = asked(&format!("go run {package}")).unwrap();
            let found = pinned.module_in_cache(root.as_fd(), &allowed(environment.as_bytes()), own);
            assert_eq!(found.as_deref(), expected, "{environment} {package}");
        }
    }
}
