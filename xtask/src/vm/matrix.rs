//! The kernels one after the other, and the verdict over all.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZero,
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

/// What runs in the guest: suite, backend, and parts of test names, one of which must be in the name
/// (none for all tests). What `conformance` does on tmpfs, `filesystems` does too. The other suites need
/// more of a userland than it has, and the fallback backend is one that other machines run natively: here it
/// is proven on one file system.
const PASSES: [(&str, &str, &[&str]); 4] = [
    ("conformance", "fentry", &["native::", "ring::", "single::"]),
    ("filesystems", "fentry", &[]),
    ("builds", "auto", &["a_few_packages"]),
    ("conformance", "tracepoint", &["native::", "ring::"]),
];
/// One test; the slowest needs a quarter of it under emulation.
const TEST_LIMIT_S: u64 = 240;
/// One machine.
const MACHINE_LIMIT: Duration = Duration::from_mins(20);
/// How much slower an emulated machine may be than what the tests' limits are made for.
const PATIENCE: &str = "6";

/// One kernel's part.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) options: &'a Options,
    pub(super) tools: &'a VmTools,
    pub(super) binaries: &'a Binaries,
    pub(super) kernel: &'a Kernel,
}

/// Runs the matrix.
pub(super) fn run(options: &Options, tools: &VmTools, binaries: &Binaries) -> Result<()> {
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    for (kernel, duration, heard) in boot_all(options, tools, binaries) {
        let heard = heard.with_context(|| format!("kernel {}", kernel.version))?;
        let verdicts = heard.tests.iter().flat_map(|tested| &tested.verdicts);
        results::add(kernel.version, verdicts.map(String::as_str))?;
        let verdict = if heard.failures.is_empty() {
            "ok"
        } else {
            "FAILED"
        };
        lines.push(format!(
            "kernel {:<5} {:>5} tests {:>7.1} s  {verdict}",
            kernel.version,
            heard.tests.len(),
            duration.as_secs_f64()
        ));
        for failure in heard.failures {
            lines.push(format!("    {failure}"));
            failed.push(kernel.version);
        }
    }
    failed.dedup();
    if options.command.is_none() {
        for line in &lines {
            eprintln!("{line}");
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("failures on kernel {}", failed.join(", "))
}

/// Boots every kernel, as many at a time as there are processors; gives what each said and how long
/// it took.
fn boot_all<'a>(
    options: &'a Options,
    tools: &'a VmTools,
    binaries: &'a Binaries,
) -> Vec<(&'a Kernel, Duration, Result<Heard>)> {
    // Outputs of commands must not mingle.
    let parallel = if options.command.is_some() {
        1
    } else {
        thread::available_parallelism().map_or(1, NonZero::get)
    };
    let waiting = Mutex::new(tools.kernels.iter());
    let next = || waiting.lock().ok().and_then(|mut kernels| kernels.next());
    let work = || {
        let mut done = Vec::new();
        while let Some(kernel) = next() {
            let run = Run {
                options,
                tools,
                binaries,
                kernel,
            };
            let started = Instant::now();
            let heard = run.boot();
            done.push((kernel, started.elapsed(), heard));
        }
        done
    };
    let mut all: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..parallel).map(|_| scope.spawn(work)).collect();
        let done = workers.into_iter().filter_map(|worker| worker.join().ok());
        done.flatten().collect()
    });
    let position = |version| tools.kernels.iter().position(|it| it.version == version);
    all.sort_by_key(|(kernel, ..)| position(kernel.version));
    all
}

impl Run<'_> {
    fn boot(&self) -> Result<Heard> {
        let folder = paths::target().join("vm/run").join(self.kernel.version);
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
        let passes = PASSES.iter();
        let passes = passes.filter(|(_, backend, _)| self.options.wants(backend));
        let suites = passes.map(|(name, backend, parts)| Suite {
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
    archive.copy(&run.binaries.kernel_object, "/vm/cache-ebpf.o")?;
    archive.copy(run.binaries.program("hooks")?, "/bin/hooks")?;
    archive.copy(&run.binaries.empty_programs, "/vm/cache-ebpf-empty.o")?;
    for module in &run.kernel.modules {
        let name = module.file_name().context("a module without a name")?;
        archive.copy(module, &format!("{MODULES}/{}", name.to_string_lossy()))?;
    }
    let guests = |suite: &&suites::Suite| PASSES.iter().any(|(name, ..)| *name == suite.name);
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
        ("CACHE_TEST_KERNEL_OBJECT", "/vm/cache-ebpf.o".to_owned()),
    ];
    variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
