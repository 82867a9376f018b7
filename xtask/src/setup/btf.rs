//! The type information of a kernel that is not running: out of its compressed image.
//!
//! A bzImage says in its header where the compressed kernel lies
//! (<https://docs.kernel.org/6.12/arch/x86/boot.html>); unpacked, that is an ELF file with a section
//! `.BTF`.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use object::{Object as _, ObjectSection as _};

use crate::command::program;

/// Where the header counts its sectors of 512 bytes, beside the first.
const SETUP_SECTORS: usize = 0x1f1;
/// Where it has its magic number.
const MAGIC: usize = 0x202;
/// Where it says at which byte behind the sectors the payload begins, and then its length.
const PAYLOAD: usize = 0x248;

/// Writes the type information of the kernel `image` to `blob`.
pub(super) fn extract(image: &Path, blob: &Path) -> Result<()> {
    let packed = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let payload = payload(&packed).context("the image has no header, or one that lies")?;
    let kernel = unpacked(payload)?;
    let file = object::File::parse(kernel.as_slice()).context("the payload is no ELF file")?;
    let section = file
        .section_by_name(".BTF")
        .context("the kernel has no BTF")?;
    fs::write(blob, section.data()?).with_context(|| format!("cannot write {}", blob.display()))
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes = image.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    image.get(MAGIC..)?.strip_prefix(b"HdrS")?;
    let sectors = usize::from(*image.get(SETUP_SECTORS)?);
    let start = (sectors + 1) * 512 + word(PAYLOAD)?;
    image.get(start..start.checked_add(word(PAYLOAD + 4)?)?)
}

/// Debian's ways to pack a kernel.
fn unpacked(payload: &[u8]) -> Result<Vec<u8>> {
    let unpacker = match payload {
        [0x02, 0x21, 0x4c, 0x18, ..] => "lz4",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        _ => "xz",
    };
    let mut command = program(unpacker);
    // The payload's last four bytes are its unpacked length, which unpackers take for rubbish.
    let packed = payload
        .get(..payload.len().saturating_sub(4))
        .unwrap_or_default();
    through(command.args(["--decompress", "--stdout"]), packed)
}

/// Gives the bytes to the command's stdin and takes what comes out.
fn through(command: &mut Command, bytes: &[u8]) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let mut input = child.stdin.take().context("no stdin")?;
    let output = thread::scope(|scope| {
        // It may end before it has read everything: its status tells.
        scope.spawn(move || drop(input.write_all(bytes)));
        child.wait_with_output()
    })?;
    ensure!(
        output.status.success(),
        "{name} cannot unpack the kernel: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_where_the_header_says() {
        let mut image = vec![0; 4096];
        image[SETUP_SECTORS] = 1;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[PAYLOAD] = 16;
        image[PAYLOAD + 4] = 3;
        image[1040..1043].copy_from_slice(b"abc");
        assert_eq!(payload(&image), Some(b"abc".as_slice()));
        image[PAYLOAD + 7] = 0xff;
        assert_eq!(payload(&image), None);
        assert_eq!(payload(b"short"), None);
    }
}
