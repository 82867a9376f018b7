//! A reader for the kernel's type information: just enough to find where members of structures lie.
//!
//! aya exposes names to ids only, so offsets need a reader of our own. Format:
//! <https://docs.kernel.org/6.12/bpf/btf.html>.

use std::collections::HashMap;

use thiserror::Error;

/// Why an offset could not be resolved.
#[derive(Debug, Error, Eq, PartialEq)]
pub enum BtfError {
    /// The blob is not BTF, or cut short.
    #[error("kernel type information is malformed ({0})")]
    Malformed(&'static str),
    /// No such structure.
    #[error("kernel structure {0} is missing from BTF")]
    NoStructure(String),
    /// The structure lacks the member.
    #[error("kernel structure {structure} has no member {member} in BTF")]
    NoMember {
        /// Structure looked at.
        structure: String,
        /// Member path looked for.
        member: String,
    },
    /// Structures of one name disagree (aya#1727).
    #[error("kernel BTF has several structures {structure} that disagree on {member}")]
    Ambiguous {
        /// Structure looked at.
        structure: String,
        /// Member path looked for.
        member: String,
    },
}

const MAGIC: u16 = 0xeb9f;
const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;
/// Anonymous structures nest a few levels at most; the bound stops malformed loops.
const NESTING_MAX: u32 = 16;

/// A parsed blob.
#[derive(Debug)]
pub struct Btf<'a> {
    blob: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins, by id; id 0 is void.
    types: Vec<u32>,
    /// Structures by name.
    structures: HashMap<&'a str, Vec<u32>>,
}

/// A function of the kernel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its type id, which is how programs attach to it.
    pub id: u32,
    /// Structures that its parameters point to; empty for a parameter that points to none.
    pub parameters: Vec<String>,
}

/// Header of a type: `btf_type`.
struct Type {
    name: u32,
    kind: u32,
    vlen: u32,
    /// Kind flag: member offsets carry bit-field sizes.
    flag: bool,
    /// `size` or `type`.
    target: u32,
    /// Where what follows the header begins.
    body: usize,
}

impl<'a> Btf<'a> {
    /// Indexes a blob such as `/sys/kernel/btf/vmlinux`.
    pub fn parse(blob: &'a [u8]) -> Result<Self, BtfError> {
        let header = |at| word(blob, at).ok_or(BtfError::Malformed("header"));
        if header(0)? & 0xffff != u32::from(MAGIC) {
            return Err(BtfError::Malformed("magic"));
        }
        let start = header(4)? as usize;
        let (type_at, type_len) = (start + header(8)? as usize, header(12)? as usize);
        let (string_at, string_len) = (start + header(16)? as usize, header(20)? as usize);
        let strings = blob
            .get(string_at..string_at + string_len)
            .ok_or(BtfError::Malformed("strings"))?;
        let mut btf = Self {
            blob,
            strings,
            types: vec![0],
            structures: HashMap::new(),
        };
        btf.index(type_at, type_at + type_len)?;
        Ok(btf)
    }

    fn index(&mut self, mut at: usize, end: usize) -> Result<(), BtfError> {
        while at < end {
            let start = u32::try_from(at).map_err(|_| BtfError::Malformed("size"))?;
            let header = self.header(at)?;
            if header.kind == KIND_STRUCT && header.name != 0 {
                let id =
                    u32::try_from(self.types.len()).map_err(|_| BtfError::Malformed("types"))?;
                let name = self.string(header.name)?;
                self.structures.entry(name).or_default().push(id);
            }
            self.types.push(start);
            at = header.body + body_size(&header);
        }
        Ok(())
    }

    fn header(&self, at: usize) -> Result<Type, BtfError> {
        let read = |offset| word(self.blob, at + offset).ok_or(BtfError::Malformed("types"));
        let info = read(4)?;
        Ok(Type {
            name: read(0)?,
            kind: info >> 24 & 0x1f,
            vlen: info & 0xffff,
            flag: info >> 31 == 1,
            target: read(8)?,
            body: at + 12,
        })
    }

    fn by_id(&self, id: u32) -> Result<Type, BtfError> {
        let at = self
            .types
            .get(id as usize)
            .filter(|at| **at != 0)
            .ok_or(BtfError::Malformed("type id"))?;
        self.header(*at as usize)
    }

    fn string(&self, at: u32) -> Result<&'a str, BtfError> {
        let bytes = self
            .strings
            .get(at as usize..)
            .ok_or(BtfError::Malformed("strings"))?;
        let end = bytes
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(BtfError::Malformed("strings"))?;
        std::str::from_utf8(&bytes[..end]).map_err(|_| BtfError::Malformed("strings"))
    }

    /// Byte offset of `member` (components joined by dots) in `structure`.
    ///
    /// Structures of the same name must agree on it.
    pub fn offset(&self, structure: &str, member: &str) -> Result<u64, BtfError> {
        let ids = self
            .structures
            .get(structure)
            .ok_or_else(|| BtfError::NoStructure(structure.to_owned()))?;
        let named = || (structure.to_owned(), member.to_owned());
        let mut found = None;
        for id in ids {
            let Some(offset) = self.path(*id, member)? else {
                continue;
            };
            if found.is_some_and(|other| other != offset) {
                let (structure, member) = named();
                return Err(BtfError::Ambiguous { structure, member });
            }
            found = Some(offset);
        }
        found.ok_or_else(|| {
            let (structure, member) = named();
            BtfError::NoMember { structure, member }
        })
    }

    fn path(&self, id: u32, path: &str) -> Result<Option<u64>, BtfError> {
        let (mut id, mut offset) = (id, 0);
        for component in path.split('.') {
            let Some((at, target)) = self.member(id, component, 0)? else {
                return Ok(None);
            };
            offset += at;
            id = target;
        }
        Ok(Some(offset / 8))
    }

    /// Bit offset and type of a member, looked for in anonymous members too.
    fn member(&self, id: u32, name: &str, depth: u32) -> Result<Option<(u64, u32)>, BtfError> {
        let structure = self.resolved(id)?;
        if depth > NESTING_MAX || !matches!(structure.kind, KIND_STRUCT | KIND_UNION) {
            return Ok(None);
        }
        for index in 0..structure.vlen as usize {
            let read = |offset| {
                word(self.blob, structure.body + index * 12 + offset)
                    .ok_or(BtfError::Malformed("member"))
            };
            let (member, target, position) = (self.string(read(0)?)?, read(4)?, read(8)?);
            let bits = u64::from(if structure.flag {
                position & 0x00ff_ffff
            } else {
                position
            });
            if member == name {
                return Ok(Some((bits, target)));
            }
            if member.is_empty()
                && let Some((inner, target)) = self.member(target, name, depth + 1)?
            {
                return Ok(Some((bits + inner, target)));
            }
        }
        Ok(None)
    }

    /// Functions of these names, with what their parameters point to. Several of one name are none: which of
    /// them a program would attach to is not told.
    pub fn functions(&self, names: &[&str]) -> Result<Vec<Function>, BtfError> {
        let mut found: Vec<Function> = Vec::new();
        let mut several = Vec::new();
        for id in 1..u32::try_from(self.types.len()).map_err(|_| BtfError::Malformed("types"))? {
            let header = self.by_id(id)?;
            if header.kind != KIND_FUNC {
                continue;
            }
            let name = self.string(header.name)?;
            if !names.contains(&name) {
                continue;
            }
            if found.iter().any(|function| function.name == name) {
                several.push(name);
            }
            found.push(Function {
                name: name.to_owned(),
                id,
                parameters: self.parameters(header.target)?,
            });
        }
        found.retain(|function| !several.contains(&function.name.as_str()));
        Ok(found)
    }

    /// Structures that the parameters of a prototype point to; empty for those that point to none.
    fn parameters(&self, prototype: u32) -> Result<Vec<String>, BtfError> {
        let prototype = self.by_id(prototype)?;
        if prototype.kind != KIND_FUNC_PROTO {
            return Err(BtfError::Malformed("prototype"));
        }
        (0..prototype.vlen as usize)
            .map(|index| {
                let id = word(self.blob, prototype.body + index * 8 + 4)
                    .ok_or(BtfError::Malformed("parameter"))?;
                Ok(self.pointee(id)?.unwrap_or_default().to_owned())
            })
            .collect()
    }

    fn pointee(&self, id: u32) -> Result<Option<&'a str>, BtfError> {
        // 0 is void, and closes the parameters of a variadic function.
        if id == 0 {
            return Ok(None);
        }
        let pointer = self.resolved(id)?;
        if pointer.kind != KIND_PTR || pointer.target == 0 {
            return Ok(None);
        }
        let target = self.resolved(pointer.target)?;
        Ok(if target.kind == KIND_STRUCT {
            Some(self.string(target.name)?)
        } else {
            None
        })
    }

    /// The type behind typedefs and qualifiers.
    fn resolved(&self, mut id: u32) -> Result<Type, BtfError> {
        for _ in 0..NESTING_MAX {
            let found = self.by_id(id)?;
            match found.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    id = found.target;
                }
                _ => return Ok(found),
            }
        }
        Err(BtfError::Malformed("typedef loop"))
    }
}

fn body_size(header: &Type) -> usize {
    let count = header.vlen as usize;
    match header.kind {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => count * 12,
        KIND_ENUM | KIND_FUNC_PROTO => count * 8,
        _ => 0,
    }
}

fn word(blob: &[u8], at: usize) -> Option<u32> {
    let bytes = blob.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word_list(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    /// `struct s { int a; union { int b; struct { int c; int d; }; }; }` and another `struct s { int a; }`.
    fn blob(second_offset: u32) -> Vec<u8> {
        let strings = b"\0s\0a\0b\0c\0d\0int\0";
        let kind = |kind: u32, vlen: u32| kind << 24 | vlen;
        let mut types = Vec::new();
        types.extend(word_list(&[11, kind(KIND_INT, 0), 4, 32]));
        types.extend(word_list(&[0, kind(KIND_STRUCT, 2), 8, 7, 1, 0, 9, 1, 32]));
        types.extend(word_list(&[0, kind(KIND_UNION, 2), 8, 5, 1, 0, 0, 2, 0]));
        types.extend(word_list(&[1, kind(KIND_STRUCT, 2), 12, 3, 1, 0, 0, 3, 32]));
        types.extend(word_list(&[
            1,
            kind(KIND_STRUCT, 1),
            4,
            3,
            1,
            second_offset,
        ]));
        let [types_len, strings_len] =
            [types.len(), strings.len()].map(|length| u32::try_from(length).unwrap());
        let mut blob = word_list(&[
            u32::from(MAGIC) | 1 << 16,
            24,
            0,
            types_len,
            types_len,
            strings_len,
        ]);
        blob.extend(types);
        blob.extend_from_slice(strings);
        blob
    }

    #[test]
    fn finds_members_in_anonymous_structures() {
        let blob = blob(0);
        let btf = Btf::parse(&blob).unwrap();
        for (member, offset) in [("a", 0), ("b", 4), ("c", 4), ("d", 8)] {
            assert_eq!(btf.offset("s", member), Ok(offset), "{member}");
        }
        assert!(matches!(
            btf.offset("s", "x"),
            Err(BtfError::NoMember { .. })
        ));
        assert!(matches!(
            btf.offset("t", "a"),
            Err(BtfError::NoStructure(_))
        ));
    }

    #[test]
    fn structures_of_one_name_must_agree() {
        let blob = blob(64);
        let btf = Btf::parse(&blob).unwrap();
        assert!(matches!(
            btf.offset("s", "a"),
            Err(BtfError::Ambiguous { .. })
        ));
        assert_eq!(btf.offset("s", "b"), Ok(4));
    }

    #[test]
    fn malformed_blobs_are_errors() {
        let whole = blob(0);
        for length in 0..whole.len() {
            if let Ok(btf) = Btf::parse(&whole[..length]) {
                // A cut in the strings may leave a readable part: whatever it says must not panic.
                drop(btf.offset("s", "d"));
            }
        }
        assert!(Btf::parse(&[0; 64]).is_err());
    }
}
