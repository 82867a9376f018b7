//! One boot of one virtual machine, with a bound on its time.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::protocol::Message;
use crate::{command::program, setup::Disk};

/// Time between two looks at the guest's messages.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// A panic ends the machine at once. Stall warnings say something about the host: time in the
/// guest stands still when the host has none to give. Grace periods are as short as can be: nothing
/// the tests compare depends on them.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 loglevel=5 panic=-1 oops=panic nowatchdog \
    rcupdate.rcu_cpu_stall_suppress=1 rcupdate.rcu_expedited=1 mitigations=off \
    lsm=bpf random.trust_cpu=on clearcpuid=112";
/// Everything the emulator has but a few features. Its `cmpxchg16b` of QEMU 7.2 spoils the flags when it
/// has no lock prefix, which is how newer kernels' allocator uses it: every third boot of 6.12 died.
/// Page tables of five levels make each miss dearer. And string instructions are emulated element by element,
/// so that clearing a page by them was most of what loading the agent took: without these two features and
/// `X86_FEATURE_REP_GOOD`, which the kernel sets itself (112, above), the kernel has loops of its own.
const PROCESSOR: &str = "max,cx16=off,la57=off,erms=off,fsrm=off";
/// The emulator's threads, one for all processors: QEMU before 8.1 translates code without a lock, so that of
/// two at once, one may keep for ever what another patches meanwhile. Hooks patch; `Oops: int3` is what
/// a breakpoint meets that is no longer there.
const EMULATED: &str = "tcg,thread=single";
/// The guest's memory: the initramfs, the page cache, and a tmpfs per test.
const MEMORY: &str = "2048M";

/// A machine about to be started.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) qemu: &'a Path,
    pub(super) image: &'a Path,
    pub(super) initramfs: &'a Path,
    pub(super) disks: &'a [Disk],
    /// `kvm` or `tcg`.
    pub(super) accelerator: &'a str,
    /// One processor whose clock advances by a nanosecond per instruction; idle time is skipped.
    pub(super) counts_instructions: bool,
    /// For the logs, and for what the guest writes to its disks.
    pub(super) folder: &'a Path,
    /// The machine is killed after this.
    pub(super) limit: Duration,
}

impl Machine<'_> {
    /// What the kernel said.
    pub(super) fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    /// Boots, passes on every message as it comes, and returns when the machine has ended.
    pub(super) fn run(&self, mut hear: impl FnMut(Message)) -> Result<()> {
        let results = self.folder.join("results.jsonl");
        for file in [&results, &self.console()] {
            File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
        }
        let mut running = Running(
            self.command(&results)?
                .spawn()
                .with_context(|| format!("cannot start {}", self.qemu.display()))?,
        );
        let mut messages = BufReader::new(File::open(&results)?);
        let mut line = String::new();
        let deadline = Instant::now() + self.limit;
        loop {
            // Looked at before the last messages are read: none is missed.
            let ended = running.0.try_wait()?;
            while messages.read_line(&mut line)? > 0 {
                if !line.ends_with('\n') {
                    // The rest is still on its way.
                    break;
                }
                let message = serde_json::from_str(line.trim())
                    .with_context(|| format!("the guest said {line}"))?;
                hear(message);
                line.clear();
            }
            if let Some(status) = ended {
                if status.success() {
                    return Ok(());
                }
                let complaint = fs::read_to_string(self.folder.join("qemu.log"))?;
                bail!("the emulator ended with {status}: {}", complaint.trim());
            }
            if Instant::now() > deadline {
                bail!("it hangs: killed after {} s", self.limit.as_secs());
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn command(&self, results: &Path) -> Result<Command> {
        let log = File::create(self.folder.join("qemu.log"))?;
        let mut command = program(self.qemu);
        let accelerator = match self.accelerator {
            "tcg" => EMULATED,
            other => other,
        };
        command
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-cpu", PROCESSOR])
            .args(["-m", MEMORY, "-accel", accelerator])
            .arg("-kernel")
            .arg(self.image)
            .arg("-initrd")
            .arg(self.initramfs)
            .args(["-append", KERNEL_ARGUMENTS])
            .args(["-serial", &format!("file:{}", self.console().display())])
            .args(["-serial", &format!("file:{}", results.display())])
            // Where snapshots of the disks go.
            .env("TMPDIR", self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        if self.counts_instructions {
            command.args(["-smp", "1", "-icount", "shift=0,sleep=off"]);
        } else {
            command.args(["-smp", "2"]);
        }
        for Disk { serial, image, .. } in self.disks {
            let image = image.display();
            command.args([
                "-drive".to_owned(),
                format!("file={image},format=raw,if=none,id={serial},snapshot=on,cache=unsafe"),
                "-device".to_owned(),
                format!("virtio-blk-pci,drive={serial},serial={serial}"),
            ]);
        }
        Ok(command)
    }
}

/// Killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
