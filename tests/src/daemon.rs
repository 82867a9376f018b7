//! `cache-agent run`: started, asked over HTTP, stopped.

use std::{
    fs,
    fs::File,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    env::{self, Bench},
    scrape::{self, Exposition},
    unit, wait,
};

/// Attached and first walk done; generous, because the kernel checks the programs first.
const READY: Duration = Duration::from_secs(20);
/// What the contract allows from SIGTERM to exit.
const ENDS: Duration = Duration::from_secs(5);
/// What the contract allows until a change is in the metrics.
pub const SETTLES: Duration = Duration::from_secs(5);

/// The agent about to start.
#[derive(Debug)]
pub struct Run {
    command: Command,
    address: SocketAddr,
    log: PathBuf,
    state: PathBuf,
    is_limited: bool,
}

impl Run {
    /// The agent, with its log beside the bench's file systems.
    pub fn new(bench: &Bench, name: &str) -> Result<Self> {
        let mut command = Command::new(env::agent()?);
        command.arg("run").args(env::backend());
        Ok(Self {
            command,
            address: free_address()?,
            log: bench.aside(&format!("{name}.log")),
            state: bench.aside(&format!("{name}.state")),
            is_limited: false,
        })
    }

    /// Watches `root` too.
    #[must_use]
    pub fn root(mut self, root: impl AsRef<Path>) -> Self {
        self.command.arg("--root").arg(root.as_ref());
        self
    }

    /// Reads this configuration.
    #[must_use]
    pub fn config(mut self, file: &Path) -> Self {
        self.command.arg("--config").arg(file);
        self
    }

    /// Keeps its history there instead of in a directory of its own.
    #[must_use]
    pub fn state(mut self, directory: &Path) -> Self {
        directory.clone_into(&mut self.state);
        self
    }

    /// Serves there instead of on a free port.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Gives it no more capabilities and descriptors than the systemd unit does.
    #[must_use]
    pub fn as_unit(mut self) -> Self {
        self.is_limited = true;
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Result<Daemon> {
        self.command.arg("--listen").arg(self.address.to_string());
        self.command.arg("--state-dir").arg(&self.state);
        let mut command = if self.is_limited {
            unit::limited(&self.command)?
        } else {
            self.command
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&self.log)?);
        let child = command.spawn().context("cannot start the agent")?;
        Ok(Daemon {
            child,
            address: self.address,
            log: self.log,
        })
    }

    /// Starts it and waits until it says that it is ready.
    pub fn ready(self) -> Result<Daemon> {
        let mut daemon = self.start()?;
        daemon.wait_ready()?;
        Ok(daemon)
    }
}

/// A port that nobody uses now.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A running agent; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Daemon {
    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Waits for /readyz.
    pub fn wait_ready(&mut self) -> Result<()> {
        let address = self.address;
        wait::until("/readyz", READY, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent ended with {status}: {}", self.log()?);
            }
            // Refused connections are part of starting.
            let answer = scrape::get(address, "/readyz").ok();
            Ok(answer.filter(|answer| answer.status == 200).map(|_| ()))
        })
        .with_context(|| self.log().unwrap_or_default())
    }

    /// Scrapes.
    pub fn scrape(&self) -> Result<Exposition> {
        Exposition::fetch(self.address).with_context(|| self.log().unwrap_or_default())
    }

    /// Waits until the metrics say of `root` that it has `bytes` bytes.
    pub fn wait_size(&self, root: &str, bytes: u64) -> Result<Exposition> {
        self.wait_metric("go_cache_size_bytes", root, bytes)
    }

    /// Waits until the metric `name` of `root` has that value; the error tells the last one.
    pub fn wait_metric(&self, name: &str, root: &str, expected: u64) -> Result<Exposition> {
        let mut last = String::new();
        let waited = wait::until(name, SETTLES, || {
            let exposition = self.scrape()?;
            let found = exposition.of_root(name, root);
            last = found
                .as_ref()
                .map_or_else(|_| "absent".to_owned(), f64::to_string);
            Ok((last == expected.to_string()).then_some(exposition))
        });
        waited.with_context(|| format!("{name} of {root} is {last}, not {expected}"))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send(self.child.id(), signal)
    }

    /// SIGTERM, and the exit that must follow in time.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait_end()
    }

    /// Waits for its end.
    pub fn wait_end(&mut self) -> Result<ExitStatus> {
        wait::for_end(&mut self.child, ENDS).with_context(|| self.log().unwrap_or_default())
    }

    /// Waits for its end, which needs no reason, for as long as starting may take.
    pub fn wait_refusal(&mut self) -> Result<ExitStatus> {
        wait::for_end(&mut self.child, READY).with_context(|| self.log().unwrap_or_default())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // An error means that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends `signal` to the process `pid`.
pub fn send(pid: u32, signal: Signal) -> Result<()> {
    let process = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("no process number")?;
    kill_process(process, signal).with_context(|| format!("cannot signal process {pid}"))
}
