//! The agent, watching the workload's cache.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use xtask::command::program;

use super::{
    process::{cpu_of, peak_memory_of, signal},
    tree::Tree,
    workload::Workload,
};

/// Attaching and the first walk of an empty root take well under a second.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// The agent promises 5 s.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// What it promises until a change is in the metrics.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Agent {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

/// The agent's own costs, and whether it lost anything.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) cpu_s: f64,
    pub(super) max_rss_bytes: u64,
    pub(super) dropped: f64,
    pub(super) drift_bytes: f64,
}

impl Agent {
    /// Starts it on the workload's cache and waits until it is attached.
    pub(super) fn start(binary: &Path, workload: &Workload) -> Result<Self> {
        let mut root = OsString::from("--root=");
        root.push(workload.cache());
        Self::start_with(binary, &root, workload.folder())
    }

    /// The same with another argument than a root, `--config=FILE` perhaps. Its log and its state go to
    /// `folder`, so that this machine's stay as they are; what an earlier one kept there is forgotten.
    pub(super) fn start_with(binary: &Path, argument: &OsStr, folder: &Path) -> Result<Self> {
        let (log, state) = (folder.join("agent.log"), folder.join("state"));
        if state.exists() {
            fs::remove_dir_all(&state)
                .with_context(|| format!("cannot remove {}", state.display()))?;
        }
        let address = free_address()?;
        let child = program(binary)
            .arg("run")
            .arg(argument)
            .args(["--listen", &address.to_string()])
            .arg("--state-dir")
            .arg(state)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut agent = Self {
            child,
            address,
            log,
        };
        agent.wait_until_ready()?;
        Ok(agent)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent ended with {status}: {}", self.last_words());
            }
            if self.get("/readyz").is_ok() {
                return Ok(());
            }
            thread::sleep(POLL_INTERVAL);
        }
        bail!("the agent was not ready in time: {}", self.last_words())
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A metric, summed over all of its series.
    pub(super) fn metric(&self, name: &str) -> Result<f64> {
        sum_of(&self.get("/metrics")?, name)
    }

    /// What it says all roots hold.
    pub(super) fn claim(&self) -> Result<Tree> {
        let metrics = self.get("/metrics")?;
        Ok(Tree {
            bytes: whole(sum_of(&metrics, "go_cache_size_bytes")?),
            files: whole(sum_of(&metrics, "go_cache_files")?),
        })
    }

    /// What it says all roots hold, once that is `disk` or when it has had all the time it may take.
    pub(super) fn settled_claim(&self, disk: Tree) -> Result<Tree> {
        let deadline = Instant::now() + SETTLE_LIMIT;
        loop {
            let claim = self.claim()?;
            if claim == disk || Instant::now() > deadline {
                return Ok(claim);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Taken while it runs: start and attaching count, its end does not.
    pub(super) fn figures(&self) -> Result<Figures> {
        let metrics = self.get("/metrics")?;
        Ok(Figures {
            cpu_s: cpu_of(self.pid())?,
            max_rss_bytes: peak_memory_of(self.pid())?,
            dropped: sum_of(&metrics, "go_cache_agent_events_dropped_total")?,
            drift_bytes: sum_of(&metrics, "go_cache_drift_bytes")?,
        })
    }

    pub(super) fn stop(mut self) -> Result<()> {
        signal(self.pid(), "TERM")?;
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                ensure!(
                    status.success(),
                    "the agent ended with {status}: {}",
                    self.last_words()
                );
                return Ok(());
            }
            thread::sleep(POLL_INTERVAL);
        }
        bail!("the agent did not end in time: {}", self.last_words())
    }

    /// One request, answered with 200. HTTP/1.0, so the body ends with the connection.
    fn get(&self, path: &str) -> Result<String> {
        let mut connection = TcpStream::connect(self.address)?;
        connection.set_read_timeout(Some(READY_LIMIT))?;
        write!(
            connection,
            "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n",
            self.address
        )?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        let status = head.split_whitespace().nth(1);
        ensure!(status == Some("200"), "{path} answered {head}");
        Ok(body.to_owned())
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().last().unwrap_or("it said nothing").to_owned()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Only after a failure it still runs here, and then there is nobody to tell of a second.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One that nobody listens on just now.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot find a free port")?;
    Ok(listener.local_addr()?)
}

/// Counts and sizes are whole numbers from 0, far below 2^53.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as said above"
)]
pub(super) fn whole(value: f64) -> u64 {
    value as u64
}

/// All series of a metric, added up.
fn sum_of(metrics: &str, name: &str) -> Result<f64> {
    let mut series = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok())
        .peekable();
    ensure!(series.peek().is_some(), "the agent has no metric {name}");
    let sum: f64 = series.sum();
    ensure!(sum.is_finite(), "the agent's {name} is {sum}");
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_metric_are_summed() {
        let metrics = "# TYPE a counter\na{c=\"x y\"} 3\na{c=\"z\"} 4.5\na_total 100\nb 7\n";
        assert_eq!(sum_of(metrics, "a").ok(), Some(7.5));
        assert_eq!(sum_of(metrics, "b").ok(), Some(7.0));
        assert!(sum_of(metrics, "c").is_err());
        assert!(sum_of("d NaN\n", "d").is_err());
    }
}
