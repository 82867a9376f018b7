//! What an unprivileged user of the host does to the agent under the capabilities and limits of its unit. Each test lets one do it, and finds the agent alive,
//! ready, and right about somebody else's root.

mod listener;
mod rights;
mod roots;

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    actor,
    daemon::{Daemon, Run},
    env::Bench,
    scrape, wait,
};
use rustix::process::{Pid, Signal, kill_process_group};

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");
/// `nobody`, wherever it is called so.
const ATTACKER: u32 = 65_534;
/// How long an attack lasts.
const ATTACK: Duration = Duration::from_secs(3);
/// Within which the agent is as it was, after one.
const RECOVERS: Duration = Duration::from_secs(5);

/// A root of somebody else, and a directory of the attacker's beside it, both watched.
struct Host {
    bench: Bench,
    daemon: Daemon,
}

impl Host {
    /// With these lines in front of the configuration.
    fn new(name: &str, lines: &str) -> Result<Self> {
        let bench = Bench::for_everyone(name)?;
        let attacked = attacked(&bench);
        fs::create_dir_all(&attacked)?;
        for directory in [attacked.as_path(), &bench.outside()] {
            chown(directory, Some(ATTACKER), Some(ATTACKER))?;
        }
        let (root, file) = (bench.root(), bench.aside("agent.toml"));
        let roots = [("root", &root), ("attacked", &attacked)];
        let roots = roots.map(|(name, path)| {
            format!(
                "[[root]]\nname = \"{name}\"\npath = \"{}\"\n",
                path.display()
            )
        });
        fs::write(&file, format!("{lines}\n{}", roots.concat()))?;
        let daemon = Run::new(&bench, "agent")?.config(&file).as_unit().ready()?;
        Ok(Self { bench, daemon })
    }

    fn attacked(&self) -> PathBuf {
        attacked(&self.bench)
    }

    /// Runs a script of the attacker's until the time is over.
    fn attack(&self, script: &str) -> Result<()> {
        let mut attacker = Attacker::start(script, &self.bench.outside())?;
        wait::pause(ATTACK);
        attacker.end()
    }

    /// The agent lives, is ready, and counts what somebody else writes, to the byte.
    fn is_unharmed(&mut self) -> Result<()> {
        self.daemon.wait_ready()?;
        let directory = self.bench.root().join("afterwards");
        fs::create_dir(&directory)?;
        actor::run(ACTOR, &["files", "20", "300"], &directory)?;
        self.daemon.wait_size("root", 20 * 300)?;
        let growth = "go_cache_growth_bytes_total";
        self.daemon.wait_metric(growth, "root", 20 * 300)?;
        Ok(())
    }

    /// Waits until /readyz says so of a root.
    fn wait_told(&self, sentence: &str) -> Result<()> {
        let mut last = String::new();
        wait::until(sentence, RECOVERS, || {
            last = scrape::get(self.daemon.address(), "/readyz")?.body;
            Ok(last.contains(sentence).then_some(()))
        })
        .with_context(|| last)
    }

    /// Lines of the log with these words.
    fn logged(&self, words: &str) -> Result<usize> {
        let log = self.daemon.log()?;
        Ok(log.lines().filter(|line| line.contains(words)).count())
    }
}

fn attacked(bench: &Bench) -> PathBuf {
    bench.outside().join("attacked")
}

/// A shell of the attacker, and whatever it started; killed when dropped.
struct Attacker(Child);

impl Attacker {
    fn start(script: &str, directory: &Path) -> Result<Self> {
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .current_dir(directory)
            .uid(ATTACKER)
            .gid(ATTACKER)
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        Ok(Self(command.spawn().context("cannot start a shell")?))
    }

    /// It must still have been at it.
    fn end(&mut self) -> Result<()> {
        ensure!(self.0.try_wait()?.is_none(), "the attack ended by itself");
        Ok(())
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let group = i32::try_from(self.0.id()).ok();
        if let Some(group) = group.and_then(Pid::from_raw) {
            // An error means that nobody of it is left.
            kill_process_group(group, Signal::KILL).unwrap_or_default();
        }
        drop(self.0.wait());
    }
}
