//! Starting other programs: shown before they run, named in the error when they fail.

use std::{
    convert::Infallible,
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, IsTerminal as _},
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::Path,
    process::{Command, ExitCode, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::paths;

/// A command without the variables that cargo sets for xtask itself: they would end in the agent's
/// environment, and make nested cargo runs rebuild.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    for (variable, _) in env::vars_os() {
        let text = variable.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "RUST_RECURSION_COUNT"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
            || text == "CARGO"
        {
            command.env_remove(&variable);
        }
    }
    match library_path() {
        Some(kept) => command.env("LD_LIBRARY_PATH", kept),
        None => command.env_remove("LD_LIBRARY_PATH"),
    };
    command
}

/// What a task comes to, for the caller of the process; an error is told here.
pub fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The cargo that runs us, in the workspace.
pub fn cargo() -> Command {
    let mut command = program(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths::root());
    command
}

/// What the user had in `LD_LIBRARY_PATH` before cargo put its own folders in front.
fn library_path() -> Option<std::ffi::OsString> {
    let value = env::var_os("LD_LIBRARY_PATH")?;
    let sysroot_lib = env::var_os("CARGO")
        .and_then(|cargo| Some(Path::new(&cargo).parent()?.parent()?.join("lib")));
    let kept: Vec<_> = env::split_paths(&value)
        .filter(|entry| {
            !entry.starts_with(paths::target())
                && !entry.to_string_lossy().contains("/lib/rustlib/")
                && Some(entry) != sysroot_lib.as_ref()
        })
        .collect();
    if kept.is_empty() {
        return None;
    }
    env::join_paths(kept).ok()
}

/// Shows the command, runs it to its end with our stdin, stdout and stderr.
pub fn run(command: &mut Command) -> Result<()> {
    show(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", describe(command)))?;
    succeeded(command, status)
}

/// Shows the command, runs it to its end and gives its stdout; its stderr is ours.
pub fn output(command: &mut Command) -> Result<String> {
    show(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", describe(command)))?;
    succeeded(command, output.status)?;
    text(command, output.stdout)
}

/// Runs the command unseen and gives its stdout; for questions, not for work.
pub fn ask(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("cannot start `{}`", describe(command)))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        let reason = reason.trim().lines().last().unwrap_or_default().to_owned();
        return succeeded(command, output.status)
            .context(reason)
            .map(|()| String::new());
    }
    text(command, output.stdout)
}

fn text(command: &Command, printed: Vec<u8>) -> Result<String> {
    String::from_utf8(printed)
        .with_context(|| format!("`{}` printed something that is not text", describe(command)))
}

/// Runs the command with its output in `log`, and kills it when it takes longer than `limit`.
pub fn run_limited(command: &mut Command, limit: Duration, log: &Path) -> Result<()> {
    show(command);
    let output =
        File::create(log).with_context(|| format!("cannot write the log {}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start `{}`", describe(command)))?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(
                status.success(),
                "`{}` failed with {status}, its output is in {}",
                describe(command),
                log.display()
            );
            return Ok(());
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!(
                "`{}` took longer than {} s",
                describe(command),
                limit.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Shows the command and becomes it.
pub fn exec(command: &mut Command) -> Result<Infallible> {
    show(command);
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start `{}`", describe(command)))
}

/// The same command with root's rights: itself for root, otherwise through sudo.
pub fn as_root(command: Command) -> Result<Command> {
    if is_root() {
        return Ok(command);
    }
    ensure!(
        paths::find_program("sudo").is_some(),
        "`{}` needs root, and there is no sudo: run as root",
        describe(&command)
    );
    // Through env, since sudo replaces PATH and may drop the rest. sudo sets SUDO_UID and SUDO_GID,
    // by which the agent knows the invoking user.
    let mut elevated = program("sudo");
    elevated.args(["-E", "env"]);
    if let Some(path) = env::var_os("PATH") {
        let mut assignment = std::ffi::OsString::from("PATH=");
        assignment.push(path);
        elevated.arg(assignment);
    }
    for (variable, value) in command.get_envs() {
        if let Some(value) = value {
            let mut assignment = variable.to_owned();
            assignment.push("=");
            assignment.push(value);
            elevated.arg(assignment);
        }
    }
    elevated.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        elevated.current_dir(folder);
    }
    Ok(elevated)
}

/// /proc/self belongs to the effective user: no system call wrapper needed.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    ensure!(
        status.success(),
        "`{}` failed with {status}",
        describe(command)
    );
    Ok(())
}

fn show(command: &Command) {
    let line = describe(command);
    if io::stderr().is_terminal() {
        eprintln!("\x1b[2m$ {line}\x1b[0m");
    } else {
        eprintln!("$ {line}");
    }
}

/// The command as one would type it, with the variables set for it.
pub fn describe(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter(|(name, _)| *name != "LD_LIBRARY_PATH")
        .filter_map(|(name, value)| Some(format!("{}={}", name.display(), quote(value?))));
    let words = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(quote);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

/// Quotes for a shell where needed.
fn quote(word: &OsStr) -> String {
    let text = word.to_string_lossy().replace('\x1f', " ");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_described_as_typed() {
        let mut command = Command::new("go");
        command
            .args(["build", "a b", "it's", ""])
            .env("FLAGS", "-C x")
            .env_remove("GONE")
            .env("LD_LIBRARY_PATH", "/nowhere");
        assert_eq!(
            describe(&command),
            r"FLAGS='-C x' go build 'a b' 'it'\''s' ''"
        );
    }

    #[test]
    fn a_failure_names_command_and_reason() {
        let error = ask(Command::new("sh").args(["-c", "echo no such luck >&2; exit 3"]))
            .expect_err("exit status 3");
        let text = format!("{error:#}");
        assert!(text.contains("no such luck"), "{text}");
        assert!(text.contains("sh -c"), "{text}");
        assert!(text.contains("exit status: 3"), "{text}");
    }

    #[test]
    fn a_slow_command_is_ended() {
        let log = env::temp_dir().join(format!("xtask-slow-{}", std::process::id()));
        let started = Instant::now();
        let error = run_limited(
            Command::new("sleep").arg("60"),
            Duration::from_millis(100),
            &log,
        )
        .expect_err("too slow");
        fs::remove_file(&log).expect("the log exists");
        assert!(error.to_string().contains("took longer"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
