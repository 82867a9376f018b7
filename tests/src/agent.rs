//! `cache-agent trace`: started as a user would, its report read and compared with the disk.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::Read,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::{
    env,
    report::{Process, Report, Root, signed},
    tree::{self, Tree},
    wait,
};

/// A trace that takes longer hangs; builds set their own.
const LIMIT: Duration = Duration::from_mins(2);

/// A trace about to start.
#[derive(Debug)]
pub struct Trace {
    command: Command,
    roots: Vec<PathBuf>,
    json: PathBuf,
    limit: Duration,
}

impl Trace {
    /// The given agent, whose report goes to `json`.
    pub fn new(agent: PathBuf, json: PathBuf) -> Result<Self> {
        let mut command = Command::new(agent);
        command
            .arg("trace")
            .arg("--json")
            .arg(&json)
            .arg("--state-dir")
            .arg(json.with_extension("state"))
            .args(env::backend())
            .stdin(Stdio::null());
        Ok(Self {
            command,
            roots: Vec::new(),
            json,
            limit: LIMIT,
        })
    }

    /// Watches `root` too.
    #[must_use]
    pub fn root(mut self, root: PathBuf) -> Self {
        self.command.arg("--root").arg(&root);
        self.roots.push(root);
        self
    }

    /// Adds an option of the agent.
    #[must_use]
    pub fn option(mut self, option: impl AsRef<OsStr>) -> Self {
        self.command.arg(option);
        self
    }

    /// Sets a variable for the agent, and so for the command.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets several.
    #[must_use]
    pub fn envs<'a>(self, variables: impl IntoIterator<Item = (&'a str, OsString)>) -> Self {
        let set = |trace: Self, (name, value)| trace.env(name, value);
        variables.into_iter().fold(self, set)
    }

    /// Starts the agent, and so the command, there.
    #[must_use]
    pub fn directory(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Gives up later than usual.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Traces `program` with `arguments` to its end.
    pub fn run<A: Into<OsString>>(
        self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Traced> {
        self.start(program, arguments)?.finish()
    }

    /// Starts to trace `program` with `arguments`.
    pub fn start<A: Into<OsString>>(
        mut self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Tracing> {
        let before = self.walk()?;
        self.command.arg("--").arg(program);
        self.command.args(arguments.into_iter().map(Into::into));
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self
            .command
            .spawn()
            .with_context(|| format!("cannot start {}", self.command.get_program().display()))?;
        let stdout = child.stdout.take().map(Collector::of);
        let stderr = child.stderr.take().map(Collector::of);
        Ok(Tracing {
            trace: self,
            before,
            child,
            stdout,
            stderr,
        })
    }

    fn walk(&self) -> Result<Vec<Tree>> {
        self.roots
            .iter()
            .map(|root| tree::walk(root, &self.roots))
            .collect()
    }
}

/// What a program prints, read while it runs.
#[derive(Debug)]
struct Collector {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Collector {
    fn of(mut source: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            // What came before an error is what there is to look at.
            while let Ok(length @ 1..) = source.read(&mut chunk) {
                let mut text = shared.lock().unwrap_or_else(PoisonError::into_inner);
                text.extend_from_slice(chunk.get(..length).unwrap_or_default());
            }
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }

    fn whole(self) -> String {
        let Self { text, reader } = self;
        // A reader that panicked has left what it read.
        drop(reader.join());
        let text = text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// A running trace; dropped before its end, it is killed.
#[derive(Debug)]
pub struct Tracing {
    trace: Trace,
    before: Vec<Tree>,
    child: Child,
    stdout: Option<Collector>,
    stderr: Option<Collector>,
}

impl Tracing {
    /// Process number of the agent.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the agent, and the command, wrote to stderr so far.
    pub fn stderr_so_far(&self) -> String {
        self.stderr
            .as_ref()
            .map(Collector::so_far)
            .unwrap_or_default()
    }

    /// Waits for the end.
    pub fn finish(mut self) -> Result<Traced> {
        let status = wait::for_end(&mut self.child, self.trace.limit)
            .map_err(|error| anyhow!("the trace hangs: {error:#}"))?;
        let text =
            |collector: Option<Collector>| collector.map(Collector::whole).unwrap_or_default();
        let (stdout, stderr) = (text(self.stdout.take()), text(self.stderr.take()));
        let report = fs::read_to_string(&self.trace.json).ok();
        // It is there, and empty, when the agent gives up after it has been opened.
        let report = report
            .filter(|text| !text.is_empty())
            .map(|text| {
                serde_json::from_str(&text)
                    .with_context(|| format!("the report is not as documented: {text}"))
            })
            .transpose()?;
        let after = self.trace.walk()?;
        Ok(Traced {
            status,
            stdout,
            stderr,
            report,
            roots: self.trace.roots.clone(),
            before: self.before.clone(),
            after,
        })
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        // An error means that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A root, what the report says of it, and what the disk says before and after.
type Figures<'a> = (&'a Path, Option<&'a Root>, Tree, Tree);

/// A trace that ended.
#[derive(Debug)]
pub struct Traced {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    report: Option<Report>,
    roots: Vec<PathBuf>,
    before: Vec<Tree>,
    after: Vec<Tree>,
}

impl Traced {
    /// The report, which must be there.
    pub fn report(&self) -> Result<&Report> {
        self.report
            .as_ref()
            .with_context(|| format!("no report; {}, stderr: {}", self.status, self.stderr))
    }

    /// The exit status as a shell gives it.
    pub fn code(&self) -> i32 {
        let signal = || self.status.signal().map_or(-1, |signal| 128 + signal);
        self.status.code().unwrap_or_else(signal)
    }

    /// The command succeeded, and every figure agrees with every other and with the disk.
    pub fn exact(&self) -> Result<&Report> {
        let report = self.report()?;
        let mut found = self.differences()?;
        found.extend(self.corrections()?);
        if found.is_empty() {
            return Ok(report);
        }
        Err(anyhow!(
            "{}\nprocesses: {:#?}\nstderr: {}",
            found.join("\n"),
            report.processes,
            self.stderr
        ))
    }

    /// Every way in which the report contradicts itself or the disk's sizes, one sentence each.
    pub fn differences(&self) -> Result<Vec<String>> {
        let mut found = self.report()?.contradictions();
        if !self.status.success() {
            found.push(format!("the command: {}", self.status));
        }
        for (path, reported, before, after) in self.figures()? {
            let Some(reported) = reported else {
                found.push(format!("{} is not in the report", path.display()));
                continue;
            };
            if (reported.before_bytes, reported.after_bytes) != (before.bytes, after.bytes) {
                found.push(format!(
                    "{}: reported as {} -> {} B, on disk {} -> {} B",
                    path.display(),
                    reported.before_bytes,
                    reported.after_bytes,
                    before.bytes,
                    after.bytes
                ));
            }
        }
        Ok(found)
    }

    /// Every root in which a walk had to put the ledger right: there is none where all is observed.
    pub fn corrections(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for (path, reported, before, after) in self.figures()? {
            let Some(reported) = reported else { continue };
            let path = path.display();
            if reported.drift_bytes != 0 {
                found.push(format!("{path}: drift {} B", reported.drift_bytes));
            }
            let files = signed(after.files) - signed(before.files);
            let counted = signed(reported.files_created) - signed(reported.files_deleted);
            if files != counted {
                found.push(format!(
                    "{path}: {counted} files more by the report, {files} on disk"
                ));
            }
        }
        Ok(found)
    }

    /// The roots, what the report says of each, and what the disk says before and after.
    fn figures(&self) -> Result<Vec<Figures<'_>>> {
        let reported = &self.report()?.roots;
        let walked = self.before.iter().zip(&self.after);
        let roots = self.roots.iter().zip(walked);
        Ok(roots
            .map(|(path, (before, after))| {
                let found = reported.iter().find(|reported| reported.path == *path);
                (path.as_path(), found, *before, *after)
            })
            .collect())
    }

    /// The account of process `pid`, if it has one.
    pub fn account(&self, pid: u32) -> Result<Option<&Process>> {
        let mut found = self
            .report()?
            .processes
            .iter()
            .filter(|process| process.pid == pid);
        let account = found.next();
        ensure!(found.next().is_none(), "process {pid} has several accounts");
        Ok(account)
    }
}
