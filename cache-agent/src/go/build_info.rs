//! Version of a Go program, from what the linker left in it (debug/buildinfo). The file is an observed user's:
//! of whatever size and content, only its first pages and the first megabyte of its data are read.

use std::{fs::File, os::unix::fs::FileExt as _};

use object::{
    Endianness,
    elf::{FileHeader64, PF_W, PT_LOAD},
    read::elf::{FileHeader as _, ProgramHeader as _},
};

/// Room of the file and program headers.
const HEAD_BYTES: usize = 4096;
/// How much of the data segment may stand before the information, which a Go linker puts first.
const DATA_BYTES: usize = 1 << 20;
/// What it begins with, at a multiple of [`ALIGNMENT`].
const MAGIC: &[u8] = b"\xff Go buildinf:";
const ALIGNMENT: usize = 16;
/// Flag: both strings follow, each after its length. So since Go 1.18.
const INLINE_STRINGS: u8 = 2;
/// Bytes before the strings.
const HEADER_BYTES: usize = 32;
/// What stands around the module information.
const MARK_BYTES: usize = 16;
/// Longest version told.
const VERSION_BYTES: usize = 64;

/// What is known of a program.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct BuildInfo {
    /// Go version it was built with.
    pub go: String,
    /// Version of its main module; empty for go's own programs.
    pub module: String,
    /// Import path of its main package.
    pub path: String,
}

impl BuildInfo {
    /// Version of a tool: its own, or of the go distribution it belongs to.
    pub fn version(&self) -> &str {
        if self.module.is_empty() || self.module == "(devel)" {
            &self.go
        } else {
            &self.module
        }
    }
}

/// Reads it; `None` for any other sort of file.
pub fn read(file: &File) -> Option<BuildInfo> {
    let head = read_at(file, 0, HEAD_BYTES);
    let header = FileHeader64::<Endianness>::parse(head.as_slice()).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, head.as_slice()).ok()?;
    let data = segments
        .iter()
        .find(|segment| segment.p_type(endian) == PT_LOAD && segment.p_flags(endian) & PF_W != 0)?;
    let size = usize::try_from(data.p_filesz(endian)).ok()?.min(DATA_BYTES);
    parse(&read_at(file, data.p_offset(endian), size))
}

fn read_at(file: &File, offset: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(filled as u64)) {
            Ok(0) | Err(_) => break,
            Ok(read) => filled += read,
        }
    }
    bytes.truncate(filled);
    bytes
}

/// Finds the information in a data segment.
fn parse(data: &[u8]) -> Option<BuildInfo> {
    let at = (0..data.len())
        .step_by(ALIGNMENT)
        .find(|at| data.get(*at..).is_some_and(|rest| rest.starts_with(MAGIC)))?;
    let information = data.get(at..)?;
    if information.get(MAGIC.len() + 1)? & INLINE_STRINGS == 0 {
        return None;
    }
    let (go, rest) = string(information.get(HEADER_BYTES..)?)?;
    let modules = string(rest).map(|(modules, _)| modules).unwrap_or_default();
    Some(BuildInfo {
        go: plain(go)?,
        module: main_module(modules).unwrap_or_default(),
        path: main_package(modules).unwrap_or_default(),
    })
}

/// A string after its length, a varint.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0usize;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return bytes.get(at + 1..)?.split_at_checked(length);
        }
    }
    None
}

/// The line `mod <path> <version> ..` of the module information.
fn main_module(modules: &[u8]) -> Option<String> {
    let mut lines = modules.split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(b"mod\t"))?;
    plain(line.split(|byte| *byte == b'\t').nth(1)?)
}

/// The line `path <import path>`, the first one.
fn main_package(modules: &[u8]) -> Option<String> {
    let mut lines = modules.split(|byte| *byte == b'\n');
    // The linker puts 16 bytes around the lines, by which the running program finds them.
    let found = lines.find_map(|line| {
        let at = line.len().min(MARK_BYTES);
        line.strip_prefix(b"path\t")
            .or_else(|| line.get(at..)?.strip_prefix(b"path\t"))
    });
    plain(found?)
}

fn plain(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes.get(..bytes.len().min(VERSION_BYTES))?).ok()?;
    let is_plain = text
        .chars()
        .all(|character| character.is_ascii_graphic() || character == ' ');
    is_plain.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn information(go: &str, modules: &str) -> Vec<u8> {
        let mut bytes = vec![0; 48];
        bytes.extend_from_slice(MAGIC);
        bytes.extend([8, INLINE_STRINGS]);
        bytes.resize(48 + HEADER_BYTES, 0);
        for text in [go, modules] {
            let length = u16::try_from(text.len()).unwrap();
            bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            bytes.push(u8::try_from(length >> 7).unwrap());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    #[test]
    fn versions_of_go_and_of_the_program_are_told() {
        for (modules, version) in [
            ("", "go1.27.3"),
            (
                "0123456789abcdefpath\tx\nmod\tgolang.org/x/tools/gopls\tv0.16.1\th1:=\n",
                "v0.16.1",
            ),
            ("mod\texample.com/x\t(devel)\t\n", "go1.27.3"),
        ] {
            let found = parse(&information("go1.27.3", modules)).unwrap();
            assert_eq!(found.version(), version);
            assert_eq!(found.path.is_empty(), !modules.contains("path"));
        }
    }

    #[test]
    fn hostile_files_say_nothing() {
        let whole = information("go1.27.3", "mod\tx\tv1\n");
        for length in 0..whole.len() {
            // Must not panic; what is cut says nothing or less.
            parse(&whole[..length]);
        }
        assert_eq!(parse(&information("go\x1b[31m", "")), None);
        assert_eq!(parse(&[0xff; 4096]), None);
    }

    #[test]
    fn files_of_other_sorts_say_nothing() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(read(&file), None);
        file.write_at(b"\x7fELF\x02\x01\x01", 0).unwrap();
        assert_eq!(read(&file), None);
        let own = File::open("/proc/self/exe").unwrap();
        assert_eq!(read(&own), None);
    }
}
