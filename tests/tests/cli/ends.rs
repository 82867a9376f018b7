//! The end of a trace: nobody waits for the kernel to let go of the hooks.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result};
use cache_tests::{env, wait};

use super::{bench, script, text};

/// Name of the agent's processes in these tests, and in no other.
const NAME: &str = "ends-unseen";
/// The kernel needs about 2 s.
const LETS_GO: Duration = Duration::from_secs(30);
/// Once is enough: on a busy machine the kernel may have finished before the test looks.
const TRACES: usize = 5;

#[test]
fn status_and_the_end_of_the_output_come_before_the_end_of_the_hooks() -> Result<()> {
    let bench = bench("ends")?;
    let agent = bench.aside(NAME);
    symlink(env::agent()?, &agent)?;
    let mut was_ahead = false;
    for _ in 0..TRACES {
        let output = traced(&agent, &bench.root())?;
        was_ahead |= is_running()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{said}");
        wait::until("end of the hooks", LETS_GO, || {
            Ok((!is_running()?).then_some(()))
        })?;
    }
    assert!(was_ahead, "each trace ended after its hooks");
    Ok(())
}

/// A trace whose output, and a third descriptor that it was not told of, lead to one pipe that is read to its end.
fn traced(agent: &Path, root: &Path) -> Result<Output> {
    let command =
        "exec \"$0\" trace --no-store --backend tracepoint --root \"$1\" -- sh -c 'exit 7' 3>&1";
    let arguments = ["-c", command, text(agent)?, text(root)?];
    Ok(Command::new("sh").args(arguments).output()?)
}

/// A process of that name is there: one that only closes its files has a name still, though no program.
fn is_running() -> Result<bool> {
    for process in fs::read_dir("/proc").context("no /proc")? {
        let name = fs::read_to_string(process?.path().join("comm"));
        if name.is_ok_and(|name| name.trim_end() == NAME) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn traces_one_right_after_the_other_are_exact() -> Result<()> {
    let bench = bench("ends-repeated")?;
    let root = bench.root();
    for size in [1_000, 20_000, 300, 4_000_000] {
        let command = format!("head -c {size} /dev/zero > \"$1/file\"");
        let traced = bench.trace()?.run("sh", script(&command, &root))?;
        let report = traced.exact()?;
        let processes = &report.processes;
        assert!(
            processes.iter().all(|process| process.in_command),
            "{processes:?}"
        );
        fs::remove_file(root.join("file"))?;
    }
    Ok(())
}
