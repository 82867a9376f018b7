//! What is remembered of each compile action: under which keys it is found again, and by whom it was made.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest as _, Sha256};

use super::{
    built::How,
    invocation::{Finished, Invocation},
};

/// A package that another one was compiled against.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Import {
    /// Its path.
    pub path: String,
    /// Fingerprint of what it exports (cmd/internal/goobj, `FingerprintType`).
    pub fingerprint: [u8; 8],
}

/// A package that an invocation compiled.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of one action that do not depend on each other"
)]
pub struct Compiled {
    /// Import path with its test variant.
    pub path: String,
    /// Where its sources are; empty where that is not known.
    pub directory: String,
    /// It is of the standard library, wherever that is.
    pub is_standard: bool,
    /// It has sources in C.
    pub is_cgo: bool,
    /// A program is linked of it.
    pub is_main: bool,
    /// Version and platform.
    pub variant: String,
    /// What the compiler was told.
    pub flags: BTreeMap<String, String>,
    /// Packages it was compiled against; `None` where that is not known.
    pub imports: Option<Vec<Import>>,
    /// Device and inode of the cache.
    pub cache: (u64, u64),
    /// First bytes of the action's id.
    pub action: [u8; 15],
    /// The cache took its output.
    pub is_kept: bool,
    /// The cache had an entry of it, which could not be used.
    pub is_rewritten: bool,
    /// CPU time of the compiler, in seconds.
    pub cpu_s: f64,
}

/// Key of one fact.
pub type Key = i64;

impl Compiled {
    /// What decides which settings are its inputs.
    pub fn how(&self) -> How {
        How {
            is_standard: self.is_standard,
            is_cgo: self.is_cgo,
            is_main: self.is_main,
            is_pinned: self.directory.contains("@v"),
            flags: self.flags.keys().cloned().collect(),
        }
    }

    /// This very action, in this cache.
    pub fn action_key(&self) -> Key {
        key(self.cache, &[b"action", &self.action])
    }

    /// This package from this directory.
    pub fn place_key(&self) -> Key {
        key(
            self.cache,
            &[b"place", self.path.as_bytes(), self.place().as_bytes()],
        )
    }

    /// The same, compiled against packages that export the same.
    pub fn interfaces_key(&self) -> Option<Key> {
        let imports = self.imports.as_ref()?.iter();
        let imports = imports.flat_map(|import| [import.path.as_bytes(), &import.fingerprint]);
        let own: [&[u8]; 3] = [b"interfaces", self.path.as_bytes(), self.place().as_bytes()];
        let parts: Vec<_> = own.into_iter().chain(imports).collect();
        Some(key(self.cache, &parts))
    }

    /// The same, where what it was compiled against is known at all.
    pub fn known_interfaces_key(&self) -> Key {
        let place = self.place().as_bytes();
        key(
            self.cache,
            &[b"known interfaces", self.path.as_bytes(), place],
        )
    }

    /// The same, compiled in the same way.
    pub fn variant_key(&self) -> Key {
        let flags: Vec<_> = self
            .flags
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let how = flags.join(" ");
        let parts = [
            b"variant",
            self.path.as_bytes(),
            self.place().as_bytes(),
            self.variant.as_bytes(),
            how.as_bytes(),
        ];
        key(self.cache, &parts)
    }

    fn place(&self) -> &str {
        if self.is_standard {
            ""
        } else {
            &self.directory
        }
    }

    /// This package, from wherever.
    pub fn path_key(&self) -> Key {
        path_key(self.cache, &self.path)
    }

    /// Keys under which it is remembered: an action that the cache did not take can be found by nobody, and the
    /// standard library is in one place.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let action = self.is_kept.then(|| self.action_key());
        let path = (!self.is_standard).then(|| self.path_key());
        let always = [self.variant_key(), self.place_key()];
        let interfaces = self.interfaces_key().filter(|_| !self.is_standard);
        let known = interfaces.map(|_| self.known_interfaces_key());
        let interfaces = interfaces.into_iter().chain(known);
        always
            .into_iter()
            .chain(path)
            .chain(action)
            .chain(interfaces)
    }

    /// Keys of what would explain it.
    pub fn wanted(&self) -> impl Iterator<Item = Key> {
        let imports = self.imports.iter().flatten();
        let imports = imports.map(|import| path_key(self.cache, &import.path));
        let own = [
            self.action_key(),
            self.variant_key(),
            self.place_key(),
            self.path_key(),
            self.known_interfaces_key(),
        ];
        own.into_iter().chain(self.interfaces_key()).chain(imports)
    }
}

/// How compilers were called, those of the own module before all others. Each module has its own language.
pub fn told(compiled: &[Compiled], module: &str) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    for one in compiled {
        let inner = one.path.strip_prefix(module).unwrap_or("-");
        let is_own = !module.is_empty() && (inner.is_empty() || inner.starts_with(['/', ' ', '.']));
        for (name, value) in &one.flags {
            if is_own {
                told.insert(name.clone(), value.clone());
            } else if name != "lang" {
                told.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    told
}

/// A package in a cache, from wherever.
pub fn path_key(cache: (u64, u64), path: &str) -> Key {
    key(cache, &[b"path", path.as_bytes()])
}

fn key((device, inode): (u64, u64), parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new();
    hash.update(device.to_le_bytes());
    hash.update(inode.to_le_bytes());
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(hash.finalize().split_at(8).0);
    i64::from_le_bytes(first)
}

/// What is known of the time before an invocation.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Earlier invocations of its module, and whoever freed much, earliest first.
    pub earlier: Vec<Finished>,
    /// The last one that made what a key stands for, by its id.
    pub seen: HashMap<Key, String>,
    /// Those, by id.
    pub makers: HashMap<String, Invocation>,
}

impl Past {
    /// Who made this last.
    pub fn maker(&self, key: Key) -> Option<&Invocation> {
        self.makers.get(self.seen.get(&key)?)
    }

    /// Remembers one more, which ended before all that is asked from now on.
    pub fn add(&mut self, one: &Finished) {
        for key in one.compiled.iter().flat_map(Compiled::keys) {
            self.seen.insert(key, one.record.id.clone());
        }
        if !one.compiled.is_empty() {
            self.makers
                .insert(one.record.id.clone(), one.record.clone());
        }
        self.earlier.push(one.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_module_says_how_compilers_were_called() {
        let one = |path: &str, value: &str| Compiled {
            path: path.to_owned(),
            flags: ["gcflags", "lang"]
                .map(|name| (name.to_owned(), value.to_owned()))
                .into(),
            ..Compiled::default()
        };
        let all = [
            one("example.com/c/p", "own"),
            one("example.com/cc", "other"),
            one("fmt", "std"),
        ];
        let value = |name: &str, module| told(&all, module).remove(name);
        assert_eq!(value("lang", "example.com/c").as_deref(), Some("own"));
        assert_eq!(value("gcflags", "example.com/c").as_deref(), Some("own"));
        assert_eq!(value("gcflags", "").as_deref(), Some("own"));
        assert_eq!(value("lang", ""), None);
    }

    #[test]
    fn keys_tell_caches_directories_and_actions_apart() {
        let one = Compiled {
            path: "example.com/c".to_owned(),
            directory: "/src".to_owned(),
            cache: (1, 2),
            is_kept: true,
            ..Compiled::default()
        };
        let moved = Compiled {
            directory: "/src2".to_owned(),
            ..one.clone()
        };
        let other = Compiled {
            cache: (1, 3),
            ..one.clone()
        };
        assert_ne!(one.place_key(), moved.place_key());
        assert_eq!(one.path_key(), moved.path_key());
        assert_ne!(one.path_key(), other.path_key());
        assert_ne!(one.action_key(), other.action_key());
        let standard = |directory: &str| Compiled {
            is_standard: true,
            directory: directory.to_owned(),
            ..one.clone()
        };
        assert_eq!(standard("/go").place_key(), standard("/go2").place_key());
        let mut race = one.clone();
        race.flags.insert("race".to_owned(), "true".to_owned());
        assert_eq!(one.place_key(), race.place_key());
        assert_ne!(one.variant_key(), race.variant_key());
        let unkept = Compiled {
            is_kept: false,
            ..one.clone()
        };
        assert_eq!((one.keys().count(), unkept.keys().count()), (4, 3));
    }
}
