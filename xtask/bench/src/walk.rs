//! The agent's walk of a large root against `find`.

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use xtask::command::{ask, describe, program};

use super::statistics::median;

/// As many as a build cache has.
const FOLDERS: u32 = 256;
const ROUNDS: usize = 3;
/// Sizes differ, so that a wrong sum is seen. The files are sparse: a million blocks are not needed.
const SIZES: u32 = 4093;

#[derive(Debug, Serialize)]
pub(super) struct Walk {
    pub(super) files: u32,
    pub(super) find_s: f64,
    pub(super) agent_s: f64,
}

/// What `cache-agent walk --json` prints.
#[derive(Deserialize)]
struct Walked {
    files: u64,
    bytes: u64,
    seconds: f64,
}

pub(super) fn measure(files: u32, agent: &Path, tree: &Path) -> Result<Walk> {
    eprintln!("bench: making {files} files to walk");
    let bytes = make_tree(files, tree)?;
    find(tree)?;
    let (mut find_s, mut agent_s) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        eprintln!("bench: walk {round} of {ROUNDS}");
        find_s.push(find(tree)?);
        let walked = walk(agent, tree)?;
        ensure!(
            (walked.files, walked.bytes) == (u64::from(files), bytes),
            "the walk found {} files of {} bytes, there are {files} of {bytes}",
            walked.files,
            walked.bytes
        );
        agent_s.push(walked.seconds);
    }
    fs::remove_dir_all(tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    Ok(Walk {
        files,
        find_s: median(find_s),
        agent_s: median(agent_s),
    })
}

/// Gives the sum of the sizes.
fn make_tree(files: u32, tree: &Path) -> Result<u64> {
    for folder in 0..FOLDERS {
        fs::create_dir_all(tree.join(format!("{folder:02x}")))?;
    }
    let mut bytes = 0;
    for file in 0..files {
        let size = u64::from(file % SIZES);
        let path = tree.join(format!("{:02x}/{file:064x}-d", file % FOLDERS));
        File::create(&path)
            .and_then(|created| created.set_len(size))
            .with_context(|| format!("cannot make {}", path.display()))?;
        bytes += size;
    }
    Ok(bytes)
}

fn find(tree: &Path) -> Result<f64> {
    let mut command = program("find");
    command
        .arg(tree)
        .args(["-printf", r"%s\n"])
        .stdout(Stdio::null());
    let started = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", describe(&command)))?;
    ensure!(
        status.success(),
        "`{}` failed with {status}",
        describe(&command)
    );
    Ok(started.elapsed().as_secs_f64())
}

fn walk(agent: &Path, tree: &Path) -> Result<Walked> {
    let text = ask(program(agent).arg("walk").arg(tree).arg("--json"))?;
    serde_json::from_str(&text).with_context(|| format!("the agent's walk printed {text}"))
}
