//! What entries of build caches are of, told by what they name.

use std::{cell::RefCell, collections::HashMap, os::fd::AsFd};

use rustix::fs::Dir;

use super::lookups::Kind;
use crate::{
    go::action_id::{self, Id, Prefix},
    model::invocation::Class,
    sys::openat::{Links, beginning, directory, place, read_regular_file, regular_file},
};

/// Kinds remembered: an id never changes its kind. Some 3 MiB; beyond it all are read anew.
const REMEMBERED_MAX: usize = 65_536;
/// Enough of an object to tell it by its look.
const LOOK_BYTES: u64 = 32;
/// How compiled packages begin.
const ARCHIVE: &[u8] = b"!<arch>\n";

/// Kinds of entries, read once each.
#[derive(Debug, Default)]
pub(super) struct Kinds(RefCell<HashMap<Prefix, Kind>>);

impl Kinds {
    /// What the entry of this action in this cache is of; `None` where it cannot be read.
    pub(super) fn of(&self, cache: impl AsFd, action: &Id) -> Option<Kind> {
        let prefix = action_id::prefix_of(action);
        let mut remembered = self.0.borrow_mut();
        if let Some(kind) = remembered.get(&prefix) {
            return Some(*kind);
        }
        let kind = read(cache, action)?;
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(prefix, kind);
        Some(kind)
    }
}

/// Names of one directory of a cache that are gone through.
const NAMES_MAX: usize = 16_384;

/// The action that begins like this and has an entry in this cache, and the id of its output.
pub(super) fn find(cache: impl AsFd, prefix: &Prefix) -> Option<(Id, Id)> {
    let first = format!("{:02x}", prefix[0]);
    let directory = directory(&cache, first, Links::Refused)?;
    let names = Dir::read_from(directory).ok()?;
    let ids = names.take(NAMES_MAX).filter_map(|name| {
        let name = name.ok()?;
        let digits = name.file_name().to_bytes().strip_suffix(b"-a")?;
        action_id::id(digits)
    });
    let mut ids = ids.filter(|id| action_id::prefix_of(id) == *prefix);
    let action = ids.next()?;
    Some((action, output(&cache, &action)?))
}

/// Id of the output that the entry of this action names.
fn output(cache: impl AsFd, action: &Id) -> Option<Id> {
    let path = action_id::entry_path(action);
    // One byte more than an entry has: what is longer is none.
    let limit = action_id::ENTRY_BYTES as u64 + 1;
    let entry = read_regular_file(cache, path, Links::Refused, limit)?;
    action_id::output(&entry)
}

fn read(cache: impl AsFd, action: &Id) -> Option<Kind> {
    let object = action_id::object_path(&output(&cache, action)?);
    let Some(file) = regular_file(&cache, &*object, Links::Refused) else {
        // A directory holds the program that was linked.
        let program = place(&cache, &*object, Links::Refused);
        return program.map(|_| Kind::Action);
    };
    let look = beginning(&file, LOOK_BYTES)?;
    if look.starts_with(ARCHIVE) {
        return Some(Kind::Action);
    }
    Some(match Class::by_look(&look, "") {
        Class::Index => Kind::Index,
        Class::Test => Kind::Test,
        _ => Kind::Other,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const DIGITS: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn kind(object: Option<&[u8]>) -> Option<Kind> {
        let cache = tempfile::tempdir().unwrap();
        let action = action_id::id(DIGITS.as_bytes()).unwrap();
        let folder = cache.path().join("01");
        fs::create_dir(&folder).unwrap();
        let entry = format!("v1 {DIGITS} {DIGITS} {:>20} {:>20}\n", 1, 2);
        fs::write(folder.join(format!("{DIGITS}-a")), entry).unwrap();
        let path = folder.join(format!("{DIGITS}-d"));
        match object {
            Some(content) => fs::write(path, content).unwrap(),
            None => fs::create_dir(path).unwrap(),
        }
        let directory = fs::File::open(cache.path()).unwrap();
        let kinds = Kinds::default();
        let first = kinds.of(&directory, &action);
        drop(cache);
        assert_eq!(kinds.of(&directory, &action), first, "remembered");
        first
    }

    #[test]
    fn an_object_tells_what_its_entry_is_of() {
        for (object, expected) in [
            (Some(&b"!<arch>\n__.PKGDEF"[..]), Kind::Action),
            (None, Kind::Action),
            (Some(b"go index v2\n"), Kind::Index),
            (Some(b"# test log\ngetenv HOME\n"), Kind::Test),
            (Some(b"ok  \texample.com/p\t0.01s\n"), Kind::Test),
            (Some(b""), Kind::Other),
            (Some(b"./a.go\n"), Kind::Other),
        ] {
            assert_eq!(kind(object), Some(expected), "{object:?}");
        }
    }

    #[test]
    fn an_entry_is_found_by_the_beginning_of_its_id() {
        let cache = tempfile::tempdir().unwrap();
        let action = action_id::id(DIGITS.as_bytes()).unwrap();
        fs::create_dir(cache.path().join("01")).unwrap();
        let directory = fs::File::open(cache.path()).unwrap();
        let prefix = action_id::prefix_of(&action);
        assert_eq!(find(&directory, &prefix), None);
        let entry = format!("v1 {DIGITS} {DIGITS} {:>20} {:>20}\n", 1, 2);
        fs::write(cache.path().join(format!("01/{DIGITS}-a")), entry).unwrap();
        assert_eq!(find(&directory, &prefix), Some((action, action)));
    }

    #[test]
    fn what_is_gone_has_no_kind() {
        let cache = tempfile::tempdir().unwrap();
        let directory = fs::File::open(cache.path()).unwrap();
        let action = action_id::id(DIGITS.as_bytes()).unwrap();
        assert_eq!(Kinds::default().of(&directory, &action), None);
    }
}
