//! What a compiled package says of itself: which packages it was compiled against
//! (cmd/internal/archive, cmd/internal/goobj).

use crate::model::{compiled::Import, printable::printable};

/// Begins an archive.
const ARCHIVE: &[u8] = b"!<arch>\n";
/// Bytes of a member's header, and where in it the size is.
const HEADER_BYTES: usize = 60;
const SIZE: std::ops::Range<usize> = 48..58;
/// Begins an object, since Go 1.20; before, `\x00go1NNld` of the same form.
const OBJECT: &[u8] = b"\x00go1";
const OBJECT_MAGIC_BYTES: usize = 8;
/// Bytes between magic and offsets: fingerprint and flags.
const BEFORE_OFFSETS: usize = 12;
/// Bytes of one import: length and offset of its name, and a fingerprint.
const IMPORT_BYTES: usize = 16;
/// At most so many.
const IMPORTS_MAX: usize = 4_096;

/// Packages that the object in this archive was compiled against; `None` where its beginning does not tell.
pub fn imports(archive: &[u8]) -> Option<Vec<Import>> {
    let object = object(archive)?;
    let number = |at: usize| -> Option<usize> {
        let bytes = object.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let offsets = OBJECT_MAGIC_BYTES + BEFORE_OFFSETS;
    let (begin, end) = (number(offsets)?, number(offsets + 4)?);
    let count = end.checked_sub(begin)? / IMPORT_BYTES;
    if count > IMPORTS_MAX {
        return None;
    }
    let import = |index: usize| -> Option<Import> {
        let at = begin.checked_add(index * IMPORT_BYTES)?;
        let (length, offset) = (number(at)?, number(at + 4)?);
        let path = object.get(offset..offset.checked_add(length)?)?;
        let fingerprint = object.get(at + 8..at + IMPORT_BYTES)?;
        Some(Import {
            path: printable(path),
            fingerprint: fingerprint.try_into().ok()?,
        })
    };
    (0..count).map(import).collect()
}

/// The compiler's own object, from its magic on.
fn object(archive: &[u8]) -> Option<&[u8]> {
    let mut rest = archive.strip_prefix(ARCHIVE)?;
    loop {
        let (header, content) = rest.split_at_checked(HEADER_BYTES)?;
        let size = std::str::from_utf8(header.get(SIZE)?)
            .ok()?
            .trim()
            .parse::<usize>()
            .ok()?;
        if header.starts_with(b"_go_.o") {
            let content = content.get(..size.min(content.len()))?;
            let at = content
                .windows(OBJECT.len())
                .position(|window| window == OBJECT)?;
            return content.get(at..);
        }
        // Members begin at even offsets.
        rest = content.get(size.checked_add(size % 2)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            0,
            0,
            0,
            644,
            content.len()
        )
        .into_bytes();
        bytes.extend(content);
        if content.len() % 2 == 1 {
            bytes.push(0);
        }
        bytes
    }

    fn archive(names: &[&str]) -> Vec<u8> {
        let begin = OBJECT_MAGIC_BYTES + BEFORE_OFFSETS + 8;
        let mut texts = begin + names.len() * IMPORT_BYTES;
        let mut object = b"\x00go120ld".to_vec();
        object.extend([0; BEFORE_OFFSETS]);
        for offset in [begin, texts] {
            object.extend(u32::try_from(offset).unwrap().to_le_bytes());
        }
        for name in names {
            for number in [name.len(), texts] {
                object.extend(u32::try_from(number).unwrap().to_le_bytes());
            }
            object.extend([7; 8]);
            texts += name.len();
        }
        for name in names {
            object.extend(name.as_bytes());
        }
        let code = [
            b"go object linux amd64 go1.27.3\nbuild id \"x/y\"\n\n!\n".as_slice(),
            &object,
        ]
        .concat();
        [
            ARCHIVE.to_vec(),
            member("__.PKGDEF", b"go object\n"),
            member("_go_.o", &code),
        ]
        .concat()
    }

    #[test]
    fn an_archive_names_what_it_imports() {
        for names in [&[][..], &["fmt"], &["example.com/c/p", "strings"]] {
            let found = imports(&archive(names)).unwrap();
            let paths: Vec<_> = found.iter().map(|import| &import.path).collect();
            assert_eq!(paths, names);
            assert!(found.iter().all(|import| import.fingerprint == [7; 8]));
        }
    }

    #[test]
    fn what_is_cut_or_hostile_names_nothing() {
        let whole = archive(&["example.com/c/p"]);
        for length in 0..whole.len() {
            assert_eq!(imports(&whole[..length]), None, "{length}");
        }
        let at = whole
            .windows(4)
            .position(|window| window == OBJECT)
            .unwrap();
        let mut far = whole;
        far[at + 24..at + 28].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(imports(&far), None);
    }
}
