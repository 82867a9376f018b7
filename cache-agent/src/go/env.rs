//! Where a go command keeps its caches, by the go command's own rules.
//!
//! For each variable: the process's environment if not empty, else the user's `go env -w` file, else
//! `$GOROOT/go.env`, else the default (cmd/go/internal/cfg, cmd/go/internal/cache, os.UserCacheDir).

pub mod saved;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::variables::{Variables, settings};
use crate::{model::root::RootKind, sys::files::Files};

/// Environment of a process.
pub type Environment = HashMap<OsString, OsString>;

/// A cache root that exists or may appear.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FoundRoot {
    /// Absolute path, cleaned as the go command cleans it.
    pub path: PathBuf,
    /// What a go command uses it for.
    pub kind: RootKind,
}

/// Why a variable of the go command names no root.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoRoot {
    /// `GOCACHE=off`, or no home to put the default into.
    #[error("{variable} is off")]
    Off {
        /// `GOCACHE` or `GOMODCACHE`.
        variable: &'static str,
    },
    /// A path that depends on the working directory: the go command refuses it.
    #[error("{variable} is not an absolute path: {}", path.display())]
    Relative {
        /// `GOCACHE` or `GOMODCACHE`.
        variable: &'static str,
        /// As it would be used.
        path: PathBuf,
    },
    /// Neither the variable nor what its default depends on is set.
    #[error("{variable} is not set and has no default without {needs}")]
    NoDefault {
        /// `GOCACHE` or `GOMODCACHE`.
        variable: &'static str,
        /// The variables that would give a default.
        needs: &'static str,
    },
}

/// The roots of one go command, and why others are not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommandRoots {
    /// At most one build cache and one module cache.
    pub roots: Vec<FoundRoot>,
    /// What there is instead.
    pub missing: Vec<NoRoot>,
}

/// The caches that a `go` command with this environment would use; nothing is executed.
///
/// Files are read as this process may read them.
pub fn for_command(environment: &Environment) -> CommandRoots {
    let files = Files::default();
    Settings::new(environment, &files, &|path| files.read(path)).roots()
}

/// The caches that a command with these variables would use as far as they tell; no file is read.
pub(crate) fn of_variables(variables: &Variables) -> CommandRoots {
    let variables = variables.iter();
    let environment = variables.map(|(name, value)| (name.into(), value.into()));
    let settings = Settings {
        environment: &environment.collect(),
        saved: Environment::new(),
        goroot: None,
    };
    settings.roots()
}

/// Reads a file that the settings point to.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&Path) -> Option<Vec<u8>>;

/// All that a go command looks at.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    environment: &'a Environment,
    /// Keys of both files, the user's winning even when empty.
    saved: Environment,
    goroot: Option<PathBuf>,
}

impl<'a> Settings<'a> {
    /// `read_user_file` reads the file of `GOENV`, which belongs to the user of the environment.
    pub(crate) fn new(
        environment: &'a Environment,
        files: &Files,
        read_user_file: ReadFile<'_>,
    ) -> Self {
        let mut settings = Self {
            environment,
            saved: Environment::new(),
            goroot: None,
        };
        if let Some(text) =
            user_file(|key| settings.process(key)).and_then(|path| read_user_file(&path))
        {
            settings.saved = parse_file(&text);
        }
        settings.goroot = settings.find_goroot(files);
        let toolchain_file = settings
            .goroot
            .as_ref()
            .and_then(|goroot| files.read(&goroot.join("go.env")));
        for (key, value) in parse_file(&toolchain_file.unwrap_or_default()) {
            settings.saved.entry(key).or_insert(value);
        }
        settings
    }

    /// Both caches.
    pub(crate) fn roots(&self) -> CommandRoots {
        let mut found = CommandRoots::default();
        for (kind, result) in [
            (RootKind::GoBuild, self.build_cache()),
            (RootKind::GoMod, self.module_cache()),
        ] {
            match result {
                Ok(path) => found.roots.push(FoundRoot { path, kind }),
                Err(reason) => found.missing.push(reason),
            }
        }
        found
    }

    fn process(&self, key: &str) -> Option<&OsStr> {
        self.environment
            .get(OsStr::new(key))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    fn get(&self, key: &str) -> Option<&OsStr> {
        let saved = || {
            self.saved
                .get(OsStr::new(key))
                .map(OsString::as_os_str)
                .filter(|value| !value.is_empty())
        };
        self.process(key).or_else(saved)
    }

    fn build_cache(&self) -> Result<PathBuf, NoRoot> {
        const VARIABLE: &str = "GOCACHE";
        match self.get(VARIABLE) {
            Some(off) if off == "off" => Err(NoRoot::Off { variable: VARIABLE }),
            Some(path) => absolute(VARIABLE, Path::new(path)),
            None => match user_directory(|key| self.process(key), "XDG_CACHE_HOME", ".cache") {
                Ok(directory) => absolute(VARIABLE, &directory.join("go-build")),
                Err(Some(path)) => Err(NoRoot::Relative {
                    variable: VARIABLE,
                    path,
                }),
                Err(None) => Err(NoRoot::NoDefault {
                    variable: VARIABLE,
                    needs: "XDG_CACHE_HOME or HOME",
                }),
            },
        }
    }

    fn module_cache(&self) -> Result<PathBuf, NoRoot> {
        const VARIABLE: &str = "GOMODCACHE";
        if let Some(path) = self.get(VARIABLE) {
            return absolute(VARIABLE, Path::new(path));
        }
        let none = NoRoot::NoDefault {
            variable: VARIABLE,
            needs: "GOPATH or HOME",
        };
        let gopath = match self.get("GOPATH") {
            Some(list) => first_element(list),
            None => self.default_gopath(),
        };
        absolute(VARIABLE, &gopath.ok_or(none)?.join("pkg/mod"))
    }

    /// `$HOME/go`, unless Go itself is installed there.
    fn default_gopath(&self) -> Option<PathBuf> {
        let gopath = Path::new(self.process("HOME")?).join("go");
        (self.goroot.as_ref() != Some(&clean(&gopath))).then_some(gopath)
    }

    /// `$GOROOT`, else the tree that the `go` of `$PATH` belongs to.
    fn find_goroot(&self, files: &Files) -> Option<PathBuf> {
        let named = self
            .saved
            .get(OsStr::new("GOROOT"))
            .filter(|value| !value.is_empty());
        if let Some(goroot) = named
            .map(OsString::as_os_str)
            .or_else(|| self.process("GOROOT"))
        {
            return Some(clean(Path::new(goroot)));
        }
        let directories = std::env::split_paths(self.process("PATH")?);
        let go = directories
            .map(|directory| directory.join("go"))
            .find(|path| path.is_absolute() && files.exists(path))?;
        let is_goroot = |path: &PathBuf| files.directory_owner(&path.join("pkg/tool")).is_some();
        let above = |path: &Path| path.parent().and_then(Path::parent).map(Path::to_path_buf);
        above(&go)
            .filter(is_goroot)
            .or_else(|| above(&files.resolve(&go)?).filter(is_goroot))
    }
}

/// The file of `go env -w`: `$GOENV`, else `go/env` in the user's configuration directory.
///
/// What a relative one means depends on where the command was started: it is not read.
fn user_file<'a>(variable: impl Fn(&str) -> Option<&'a OsStr>) -> Option<PathBuf> {
    let path = match variable("GOENV") {
        Some(path) => PathBuf::from(path),
        None => user_directory(variable, "XDG_CONFIG_HOME", ".config")
            .ok()?
            .join("go/env"),
    };
    // `off` is relative too.
    path.is_absolute().then_some(path)
}

/// An XDG directory; the go command refuses a relative one, which is the error.
fn user_directory<'a>(
    variable: impl Fn(&str) -> Option<&'a OsStr>,
    xdg: &str,
    below_home: &str,
) -> Result<PathBuf, Option<PathBuf>> {
    match (variable(xdg), variable("HOME")) {
        (Some(path), _) if Path::new(path).is_absolute() => Ok(PathBuf::from(path)),
        (Some(path), _) => Err(Some(PathBuf::from(path))),
        (None, Some(home)) => Ok(Path::new(home).join(below_home)),
        (None, None) => Err(None),
    }
}

/// The go command passes over lines whose name has no capital at its beginning.
fn parse_file(text: &[u8]) -> Environment {
    let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    settings(text, b'\n')
        .filter(|(name, _)| name.first().is_some_and(u8::is_ascii_uppercase))
        .map(|(name, value)| (owned(name), owned(value)))
        .collect()
}

fn first_element(list: &OsStr) -> Option<PathBuf> {
    let first = list.as_bytes().split(|byte| *byte == b':').next()?;
    (!first.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(first)))
}

fn absolute(variable: &'static str, path: &Path) -> Result<PathBuf, NoRoot> {
    if path.is_absolute() {
        Ok(clean(path))
    } else {
        Err(NoRoot::Relative {
            variable,
            path: path.to_path_buf(),
        })
    }
}

/// What `filepath.Clean` does to an absolute path: by its text, without looking at links.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                cleaned.push(component);
            }
        }
    }
    cleaned
}

#[cfg(test)]
mod tests;
