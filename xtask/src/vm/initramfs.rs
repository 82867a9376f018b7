//! The guest's first file system: an archive that the boot loader puts into memory.
//!
//! Uncompressed: an emulated processor takes longer to unpack it than the emulator to copy it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use cpio::newc::{Builder, ModeFileType, trailer};

/// An archive being written.
pub(super) struct Archive {
    output: BufWriter<File>,
    folders: BTreeSet<String>,
    entries: u32,
}

impl Archive {
    /// Begins the archive `path`.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let output =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            output: BufWriter::new(output),
            folders: BTreeSet::new(),
            entries: 0,
        })
    }

    /// Puts the file `source` there; it belongs to root.
    pub(super) fn copy(&mut self, source: &Path, guest: &str) -> Result<()> {
        let content =
            fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
        let mode = fs::metadata(source)?.permissions().mode() & 0o777;
        self.file(guest, &content, mode)
    }

    /// Puts `content` there.
    pub(super) fn text(&mut self, content: &[u8], guest: &str) -> Result<()> {
        self.file(guest, content, 0o644)
    }

    /// A directory, with those above it.
    pub(super) fn folder(&mut self, guest: &str) -> Result<()> {
        let name = guest.trim_matches('/').to_owned();
        if name.is_empty() || self.folders.contains(&name) {
            return Ok(());
        }
        if let Some((above, _)) = name.rsplit_once('/') {
            self.folder(above)?;
        }
        self.entry(&name, &[], 0o755, ModeFileType::Directory)?;
        self.folders.insert(name);
        Ok(())
    }

    /// Ends the archive.
    pub(super) fn finish(self) -> Result<()> {
        let mut output = trailer(self.output)?;
        Ok(output.flush()?)
    }

    fn file(&mut self, guest: &str, content: &[u8], mode: u32) -> Result<()> {
        let name = guest.trim_start_matches('/');
        if let Some((above, _)) = name.rsplit_once('/') {
            self.folder(above)?;
        }
        self.entry(name, content, mode, ModeFileType::Regular)
    }

    fn entry(&mut self, name: &str, content: &[u8], mode: u32, kind: ModeFileType) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(content.len()).with_context(|| format!("{name} is too large"))?;
        let mut writer = Builder::new(name)
            .ino(self.entries)
            .nlink(1)
            .mode(mode)
            .set_mode_file_type(kind)
            .write(&mut self.output, size);
        io::copy(&mut &*content, &mut writer)?;
        writer.finish()?;
        Ok(())
    }
}
