//! Names of build actions: from a compiler's arguments to the entries of a build cache.
//!
//! `-buildid X/..`: X is base64url of the first 15 bytes of the action's id, whose hexadecimal form names the
//! `-a` entry (buildid.go of cmd/go's package work, cache.go of its package cache).

use sha2::{Digest as _, Sha256};

/// An action id, or the id of what it put out.
pub type Id = [u8; 32];
/// The part of an action id that a build id tells.
pub type Prefix = [u8; 15];

/// Characters of a build id's first part.
const BUILD_ID_CHARACTERS: usize = 20;
/// Bytes of an entry: `v1 <id> <output id> <size> <time>\n`.
pub const ENTRY_BYTES: usize = 175;

/// What of an action id a `-buildid` argument tells.
pub fn prefix(build_id: &str) -> Option<Prefix> {
    let first = build_id.split('/').next()?;
    if first.len() != BUILD_ID_CHARACTERS {
        return None;
    }
    let mut bytes = Prefix::default();
    for (group, target) in first.as_bytes().chunks(4).zip(bytes.chunks_mut(3)) {
        let mut bits = 0u32;
        for character in group {
            bits = bits << 6 | sextet(*character)?;
        }
        for (target, byte) in target
            .iter_mut()
            .zip(bits.to_be_bytes().into_iter().skip(1))
        {
            *target = byte;
        }
    }
    Some(bytes)
}

fn sextet(character: u8) -> Option<u32> {
    Some(u32::from(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    }))
}

/// First 15 bytes of an id.
pub fn prefix_of(id: &Id) -> Prefix {
    let mut prefix = Prefix::default();
    prefix.copy_from_slice(id.split_at(size_of::<Prefix>()).0);
    prefix
}

/// The id under which something more of an action is kept.
pub fn subkey(action: &Id, description: &str) -> Id {
    let hash = Sha256::new()
        .chain_update("subkey:")
        .chain_update(action)
        .chain_update(description);
    hash.finalize().into()
}

/// 64 hexadecimal digits, in lower case as Go writes them.
pub fn id(digits: &[u8]) -> Option<Id> {
    let mut id = Id::default();
    if digits.len() != id.len() * 2 {
        return None;
    }
    for (pair, byte) in digits.chunks(2).zip(&mut id) {
        let [high, low] = pair else { return None };
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(id)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Id of the output that an entry names.
pub fn output(entry: &[u8]) -> Option<Id> {
    if entry.len() != ENTRY_BYTES || !entry.starts_with(b"v1 ") {
        return None;
    }
    id(entry.split(|byte| *byte == b' ').nth(2)?)
}

/// Path of an entry below its cache, where the id of its action is given.
pub fn entry_path(action: &Id) -> Vec<u8> {
    path(action, "-a")
}

/// The same of an object: a file, or a directory with an executable.
pub fn object_path(output: &Id) -> Vec<u8> {
    path(output, "-d")
}

fn path(id: &Id, suffix: &str) -> Vec<u8> {
    let mut digits = String::with_capacity(2 * id.len());
    for byte in id {
        digits.extend(
            [byte >> 4, byte & 0xf].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('?')),
        );
    }
    let directory = digits.get(..2).unwrap_or_default();
    format!("{directory}/{digits}{suffix}").into_bytes()
}

/// A file of a build cache, by its path below the root.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Name {
    /// `<id>-a`.
    Entry(Id),
    /// `<id>-d`.
    Object(Id),
    /// `<id>-d/<program>`: a cached executable.
    Executable(Id),
}

/// What a path below a build cache names.
pub fn name(path: &[u8]) -> Option<Name> {
    let mut components = path.split(|byte| *byte == b'/');
    let (directory, file) = (components.next()?, components.next()?);
    let inner = components.next();
    if components.next().is_some() || file.get(..2) != Some(directory) {
        return None;
    }
    let (digits, suffix) = file.split_at_checked(file.len().checked_sub(2)?)?;
    let id = id(digits)?;
    match (suffix, inner) {
        (b"-a", None) => Some(Name::Entry(id)),
        (b"-d", None) => Some(Name::Object(id)),
        (b"-d", Some(_)) => Some(Name::Executable(id)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_build_id_tells_fifteen_bytes() {
        let id = id(DIGITS.as_bytes()).unwrap();
        // The same 15 bytes in base64url.
        for build_id in ["ASNFZ4mrze8BI0VniavN", "ASNFZ4mrze8BI0VniavN/x/y/z"] {
            assert_eq!(prefix(build_id), Some(prefix_of(&id)));
        }
        for wrong in ["", "ASNF", "ASNFZ4mrze8BI0VniavN=", "ASNFZ4mrze8BI0VniavÖ"] {
            assert_eq!(prefix(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_path_is_what_its_name_says() {
        let id = id(DIGITS.as_bytes()).unwrap();
        assert_eq!(name(&entry_path(&id)), Some(Name::Entry(id)));
        assert_eq!(name(&object_path(&id)), Some(Name::Object(id)));
    }

    #[test]
    fn paths_of_a_cache_are_told_apart() {
        let expected = id(DIGITS.as_bytes()).unwrap();
        for (path, name) in [
            (format!("01/{DIGITS}-a"), Some(Name::Entry(expected))),
            (format!("01/{DIGITS}-d"), Some(Name::Object(expected))),
            (format!("01/{DIGITS}-d/x"), Some(Name::Executable(expected))),
            (format!("02/{DIGITS}-d"), None),
            (format!("01/{DIGITS}-d/x/y"), None),
            (format!("01/{DIGITS}-a/x"), None),
            (format!("{DIGITS}-d"), None),
            ("trim.txt".to_owned(), None),
            ("01/x".to_owned(), None),
            ("01/é".to_owned(), None),
        ] {
            assert_eq!(super::name(path.as_bytes()), name, "{path}");
        }
    }

    #[test]
    fn an_entry_names_its_output() {
        let entry = format!("v1 {DIGITS} {DIGITS} {:20} {:20}\n", 5, 7);
        assert_eq!(output(entry.as_bytes()), id(DIGITS.as_bytes()));
        assert_eq!(output(&entry.as_bytes()[1..]), None);
        assert_eq!(output(b"v1 "), None);
    }

    #[test]
    fn subkeys_are_those_of_go() {
        // sha256 of "subkey:", 32 zero bytes and "stdout".
        let found = subkey(&Id::default(), "stdout");
        let again = Sha256::digest([b"subkey:".as_slice(), &[0; 32], b"stdout"].concat());
        assert_eq!(found, <Id>::from(again));
    }
}
