//! The first process of a virtual machine: mounts what the tests need, loads modules, runs the
//! plan, and tells the host how it went.
//!
//! Takes the plan from the initramfs, gives messages on the second serial port. Process 1 only
//! mounts and reaps; the work is done by a child, so that its end, however it comes, ends the
//! machine.

mod mounts;
mod work;

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::Write as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::vm::{Message, PLAN, Plan};
use rustix::{
    process::{Pid, WaitOptions, wait},
    system::{RebootCommand, reboot},
};

/// The host writes what comes here to a file.
const PORT: &str = "/dev/ttyS1";

fn main() -> ExitCode {
    if env::args().nth(1).is_some() {
        return match tell_work() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_port_is_gone) => ExitCode::FAILURE,
        };
    }
    if let Err(error) = first_process() {
        eprintln!("vm_init: {error:#}");
    }
    // The emulator is told not to start the machine again, and ends.
    match reboot(RebootCommand::Restart) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_not_process_one) => ExitCode::FAILURE,
    }
}

fn first_process() -> Result<()> {
    ensure!(
        std::process::id() == 1,
        "this is the init of a virtual machine"
    );
    mounts::kernel_file_systems()?;
    let worker = Command::new("/init").arg("work").spawn()?;
    let worker = i32::try_from(worker.id()).ok().and_then(Pid::from_raw);
    // Orphans of the tests end here too.
    while let Some((ended, status)) = wait(WaitOptions::empty())? {
        if Some(ended) == worker {
            ensure!(status.exit_status() == Some(0), "the worker: {status:?}");
            return Ok(());
        }
    }
    Ok(())
}

/// Does the work; what stands in its way is a message as well.
fn tell_work() -> Result<()> {
    let mut host = Host::connect()?;
    match prepare().and_then(|plan| work::all(&plan, &mut host)) {
        Ok(failures) => host.tell(&Message::Done { failures }),
        Err(error) => host.tell(&Message::Broken(format!("{error:#}"))),
    }
}

fn prepare() -> Result<Plan> {
    let text = fs::read(PLAN).with_context(|| format!("cannot read {PLAN}"))?;
    let plan: Plan = serde_json::from_slice(&text).context("the plan is not understood")?;
    mounts::load_modules()?;
    mounts::disks(&plan.disks)?;
    mounts::long_slices();
    busybox(&["ip", "link", "set", "lo", "up"])?;
    Ok(plan)
}

fn busybox(words: &[&str]) -> Result<()> {
    let status = Command::new("/bin/busybox").args(words).status()?;
    ensure!(status.success(), "busybox {}: {status}", words.join(" "));
    Ok(())
}

/// The way to the host.
struct Host(File);

impl Host {
    fn connect() -> Result<Self> {
        busybox(&["stty", "-F", PORT, "raw", "-echo"])?;
        Ok(Self(OpenOptions::new().write(true).open(PORT)?))
    }

    fn tell(&mut self, message: &Message) -> Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        Ok(self.0.write_all(&line)?)
    }
}
