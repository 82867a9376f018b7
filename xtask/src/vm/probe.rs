//! Which accelerator works: found out by booting, since a `/dev/kvm` that can be opened may still
//! not run every kernel.

use std::{
    fs::{self, OpenOptions},
    path::Path,
    time::Duration,
};

use anyhow::Result;

use super::{
    machine::Machine,
    matrix::{self, Run},
    protocol::{Message, Work},
};
use crate::paths;

/// An accelerated machine boots in two or three.
const LIMIT: Duration = Duration::from_secs(20);

/// `kvm` if it runs this kernel, else `tcg`; asked once per boot of the host.
pub(super) fn accelerator(run: &Run<'_>, folder: &Path) -> Result<&'static str> {
    let usable = OpenOptions::new().read(true).write(true).open("/dev/kvm");
    if usable.is_err() {
        return Ok("tcg");
    }
    let host = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let notes = paths::target().join("vm/accelerators");
    fs::create_dir_all(&notes)?;
    let note = notes.join(run.kernel.version);
    let known = fs::read_to_string(&note).unwrap_or_default();
    if let Some(accelerator) = known.strip_prefix(host.trim()) {
        return Ok(if accelerator.trim() == "kvm" {
            "kvm"
        } else {
            "tcg"
        });
    }
    let found = if boots(run, folder) { "kvm" } else { "tcg" };
    fs::write(note, format!("{} {found}", host.trim()))?;
    eprintln!("kernel {}: runs under {found} here", run.kernel.version);
    Ok(found)
}

fn boots(run: &Run<'_>, folder: &Path) -> bool {
    let mut done = false;
    let tried =
        matrix::initramfs(run, &Work::Command("true".to_owned()), folder).and_then(|archive| {
            Machine {
                qemu: &run.tools.qemu,
                image: &run.kernel.image,
                initramfs: &archive,
                disks: &run.tools.disks,
                accelerator: "kvm",
                counts_instructions: false,
                folder,
                limit: LIMIT,
            }
            .run(|message| done |= matches!(message, Message::Done { failures: 0 }))
        });
    tried.is_ok() && done
}
