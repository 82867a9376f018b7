//! The machines side by side, and the verdict over all.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZero,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    Options,
    binaries::{Binaries, mebibytes},
    initramfs::Archive,
    machine::Machine,
    probe,
    protocol::{DISKS, Disk, MODULES, PLAN, Plan, Suite, Work},
    results,
    tell::Heard,
};
use crate::{
    paths,
    setup::{self, GO_DISK, Kernel, NEWEST_GO, VmTools},
    test::suites,
};

/// A suite, its backend, and parts of test names, one of which must be in the name (none for all tests).
type Pass = (&'static str, &'static str, &'static [&'static str]);
/// What runs in the guests: each kernel has two machines that take about as long, so that no processor is idle
/// at the end. The table that `conformance` has natively and on tmpfs, `filesystems` has on each file system, with
/// fewer agents to load. The other suites need more of a userland than there is, and the fallback backend is one
/// that other machines run natively: here it is proven on one file system.
const MACHINES: [&[Pass]; 2] = [
    &[("filesystems", "fentry", &[])],
    &[
        ("conformance", "fentry", &["ring::", "single::"]),
        ("sequences", "fentry", &["four_processes"]),
        ("builds", "auto", &["a_few_packages"]),
        ("filesystems", "tracepoint", &["ext4::table"]),
        ("conformance", "tracepoint", &["ring::"]),
    ],
];
/// One test; the slowest needs a quarter of it under emulation.
const TEST_LIMIT_S: u64 = 240;
/// One machine; a fifth of it on a quiet host.
const MACHINE_LIMIT: Duration = Duration::from_mins(40);
/// How much slower an emulated machine may be than what the tests' limits are made for.
const PATIENCE: &str = "6";

/// One machine's part.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) options: &'a Options,
    pub(super) tools: &'a VmTools,
    pub(super) binaries: &'a Binaries,
    pub(super) kernel: &'a Kernel,
    /// Which of [`MACHINES`].
    machine: usize,
}

/// A machine that has ended.
#[derive(Debug)]
struct Ended<'a> {
    kernel: &'a Kernel,
    duration: Duration,
    heard: Result<Heard>,
}

/// Runs the matrix.
pub(super) fn run(options: &Options, tools: &VmTools, binaries: &Binaries) -> Result<()> {
    let mut ended = boot_all(options, tools, binaries);
    let mut failed = Vec::new();
    for kernel in &tools.kernels {
        let (mut all, mut duration) = (Heard::default(), Duration::ZERO);
        for machine in ended.extract_if(.., |it| it.kernel.version == kernel.version) {
            let heard = machine.heard;
            all.add(heard.with_context(|| format!("kernel {}", kernel.version))?);
            duration += machine.duration;
        }
        let verdicts = all.tests.iter().flat_map(|tested| &tested.verdicts);
        results::add(kernel.version, verdicts.map(String::as_str))?;
        if options.command.is_none() && all.tests.is_empty() {
            all.failures.push("no test has such a name".to_owned());
        }
        let is_right = all.failures.is_empty();
        if options.command.is_none() {
            eprintln!(
                "kernel {:<5} {:>5} tests {:>7.1} s  {}",
                kernel.version,
                all.tests.len(),
                duration.as_secs_f64(),
                if is_right { "ok" } else { "FAILED" }
            );
            for failure in all.failures {
                eprintln!("    {failure}");
            }
        }
        if !is_right {
            failed.push(kernel.version);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("failures on kernel {}", failed.join(", "))
}

/// Boots every machine, as many at a time as there are processors.
fn boot_all<'a>(
    options: &'a Options,
    tools: &'a VmTools,
    binaries: &'a Binaries,
) -> Vec<Ended<'a>> {
    // Outputs of commands must not mingle.
    let parallel = if options.command.is_some() {
        1
    } else {
        thread::available_parallelism().map_or(1, NonZero::get)
    };
    let machines = (0..MACHINES.len()).flat_map(|machine| {
        let kernels = tools.kernels.iter();
        kernels.map(move |kernel| Run {
            options,
            tools,
            binaries,
            kernel,
            machine,
        })
    });
    let machines: Vec<Run<'_>> = machines.filter(Run::is_wanted).collect();
    let waiting = Mutex::new(machines.into_iter());
    let next = || waiting.lock().ok().and_then(|mut machines| machines.next());
    let work = || {
        let mut done = Vec::new();
        while let Some(run) = next() {
            let started = Instant::now();
            let heard = run.boot();
            done.push(Ended {
                kernel: run.kernel,
                duration: started.elapsed(),
                heard,
            });
        }
        done
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..parallel).map(|_| scope.spawn(work)).collect();
        let done = workers.into_iter().map(thread::ScopedJoinHandle::join);
        done.flat_map(|done| done.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

impl Run<'_> {
    /// A command runs once per kernel, tests where there are any.
    fn is_wanted(&self) -> bool {
        if self.options.command.is_some() {
            self.machine == 0
        } else {
            self.passes().next().is_some()
        }
    }

    /// What is to be run of its passes.
    fn passes(&self) -> impl Iterator<Item = &'static Pass> {
        let passes = MACHINES.get(self.machine).copied().unwrap_or_default();
        let wanted = |(_, backend, _): &&Pass| self.options.wants(backend);
        passes.iter().filter(wanted)
    }

    fn boot(&self) -> Result<Heard> {
        let name = format!("{}-{}", self.kernel.version, self.machine);
        let folder = paths::target().join("vm/run").join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // Only the emulator can count.
        let accelerator = if self.options.count_instructions {
            "tcg"
        } else {
            probe::accelerator(self, &folder)?
        };
        let initramfs = initramfs(self, &self.work(), &folder)?;
        eprintln!(
            "kernel {}: booting under {accelerator}, initramfs {} MiB",
            self.kernel.version,
            mebibytes(&initramfs)
        );
        let machine = Machine {
            qemu: &self.tools.qemu,
            image: &self.kernel.image,
            initramfs: &initramfs,
            disks: &self.tools.disks,
            accelerator,
            counts_instructions: self.options.count_instructions,
            folder: &folder,
            limit: MACHINE_LIMIT,
        };
        let mut heard = Heard::default();
        let ended = machine.run(|message| heard.take(self.kernel.version, message));
        heard.conclude(ended, &machine.console())?;
        if self.options.keep || !heard.failures.is_empty() {
            eprintln!("kernel {}: see {}", self.kernel.version, folder.display());
        } else {
            fs::remove_dir_all(&folder)?;
        }
        Ok(heard)
    }

    fn work(&self) -> Work {
        if let Some(command) = &self.options.command {
            return Work::Command(command.clone());
        }
        let suites = self.passes().map(|(name, backend, parts)| Suite {
            name: (*name).to_owned(),
            executable: guest_suite(name),
            backend: (*backend).to_owned(),
            filters: vec![
                parts.iter().map(|part| (*part).to_owned()).collect(),
                self.options.filters.clone(),
            ],
        });
        Work::Tests {
            suites: suites.collect(),
            limit_s: TEST_LIMIT_S,
        }
    }
}

/// Writes the archive for that work.
pub(super) fn initramfs(run: &Run<'_>, work: &Work, folder: &Path) -> Result<PathBuf> {
    let path = folder.join("initramfs.cpio");
    let mut archive = Archive::create(&path)?;
    for folder in [
        "/proc", "/sys", "/dev", "/tmp", "/run", "/home", "/mnt", MODULES,
    ] {
        archive.folder(folder)?;
    }
    archive.copy(&run.tools.busybox, "/bin/busybox")?;
    archive.copy(run.binaries.program("vm_init")?, "/init")?;
    archive.copy(&run.binaries.agent, "/bin/cache-agent")?;
    archive.copy(run.binaries.program("hooks")?, "/bin/hooks")?;
    archive.copy(&run.binaries.empty_programs, "/vm/cache-ebpf-empty.o")?;
    for module in &run.kernel.modules {
        let name = module.file_name().context("a module without a name")?;
        archive.copy(module, &format!("{MODULES}/{}", name.to_string_lossy()))?;
    }
    let passes = || MACHINES.iter().copied().flatten();
    let guests = |suite: &&suites::Suite| passes().any(|(name, ..)| *name == suite.name);
    for suite in run.binaries.suites.iter().filter(guests) {
        archive.copy(&suite.executable, &guest_suite(&suite.name))?;
    }
    // The tests know the actor by the path it was built at.
    let actor = run.binaries.program("actor")?;
    archive.copy(actor, &actor.to_string_lossy())?;
    archive.text(b"root:x:0:0::/home:/bin/sh\n", "/etc/passwd")?;
    archive.text(b"root:x:0:\n", "/etc/group")?;
    let plan = Plan {
        disks: run.tools.disks.iter().map(planned).collect(),
        environment: environment(),
        work: work.clone(),
    };
    archive.text(&serde_json::to_vec(&plan)?, PLAN)?;
    archive.finish()?;
    Ok(path)
}

fn planned(disk: &setup::Disk) -> Disk {
    Disk {
        serial: disk.serial.to_owned(),
        kind: disk.kind.to_owned(),
        options: disk.options.to_owned(),
    }
}

fn guest_suite(name: &str) -> String {
    format!("/vm/suites/{name}")
}

fn environment() -> BTreeMap<String, String> {
    let variables = [
        ("PATH", "/bin".to_owned()),
        ("HOME", "/home".to_owned()),
        ("CACHE_AGENT", "/bin/cache-agent".to_owned()),
        ("CACHE_TEST_SCRATCH", format!("{DISKS}/scratch")),
        ("CACHE_TEST_DISKS", DISKS.to_owned()),
        ("CACHE_TEST_GO", format!("{NEWEST_GO}={DISKS}/{GO_DISK}")),
        ("CACHE_TEST_PATIENCE", PATIENCE.to_owned()),
    ];
    variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
