//! inotifywait and fatrace: each names the files that were written, and whoever wants bytes asks for
//! their sizes. That is done here after the build, which spares them the cost of doing it on the way.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use xtask::{command::program, setup};

use super::{
    observer::{Claim, Usage, Watch},
    watcher::{Said, Watcher},
};
use crate::workload::Workload;

pub(super) struct Notified {
    watcher: Watcher,
    read: fn(&Said, &Path) -> Seen,
}

/// What the output names.
#[derive(Debug, PartialEq)]
struct Seen {
    written: BTreeSet<PathBuf>,
    lost: Option<u64>,
}

pub(super) fn start_inotifywait(workload: &Workload) -> Result<Notified> {
    let mut command = program(setup::observer("inotifywait", "inotify-tools")?);
    command
        .args(["-m", "-r", "-e", "close_write", "--format", "%e %w%f"])
        .arg(workload.cache());
    Ok(Notified {
        watcher: Watcher::start(command, Some("Watches established"), workload)?,
        read: read_inotifywait,
    })
}

/// It watches a whole mount; below the cache is for the reader of its output to pick.
pub(super) fn start_fatrace(workload: &Workload) -> Result<Notified> {
    let mut command = program(setup::observer("fatrace", "fatrace")?);
    command
        .args(["--current-mount", "--filter=W"])
        .current_dir(workload.cache());
    Ok(Notified {
        watcher: Watcher::start(command, None, workload)?,
        read: read_fatrace,
    })
}

impl Watch for Notified {
    fn usage(&mut self) -> Result<Usage> {
        self.watcher.usage()
    }

    fn stop(self: Box<Self>, cache: &Path) -> Result<Claim> {
        let Seen { written, lost } = (self.read)(&self.watcher.stop("INT")?, cache);
        // What is gone by now adds nothing to the cache.
        let sizes = written
            .iter()
            .filter_map(|path| Some(fs::symlink_metadata(path).ok()?.len()));
        Ok(Claim {
            bytes: Some(sizes.sum()),
            lost,
        })
    }
}

/// `CLOSE_WRITE,CLOSE /path`. An overflow is told as an event too, but not how many it cost.
fn read_inotifywait(said: &Said, cache: &Path) -> Seen {
    let lines = || said.output.lines().chain(said.errors.lines());
    let written = lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(events, _)| events.contains("CLOSE_WRITE"))
        .map(|(_, path)| PathBuf::from(path))
        .filter(|path| path.starts_with(cache))
        .collect();
    let overflows = lines().filter(|line| line.to_ascii_uppercase().contains("OVERFLOW"));
    Seen {
        written,
        lost: Some(overflows.count() as u64),
    }
}

/// `go(4711): CWO /path`. Of an overflow it says nothing.
fn read_fatrace(said: &Said, cache: &Path) -> Seen {
    let written = said
        .output
        .lines()
        .filter_map(|line| {
            let (types, path) = line.split_once("): ")?.1.split_once(' ')?;
            types
                .contains('W')
                .then(|| PathBuf::from(path.trim_start()))
        })
        .filter(|path| path.starts_with(cache))
        .collect();
    Seen {
        written,
        lost: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(output: &str) -> Said {
        Said {
            output: output.to_owned(),
            errors: "Setting up watches.\nWatches established.\n".to_owned(),
        }
    }

    fn paths(paths: &[&str]) -> BTreeSet<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn inotifywait_names_files_and_tells_of_overflows() {
        let output = "CLOSE_WRITE,CLOSE /c/a b\nCLOSE_WRITE,CLOSE /c/a b\nQ_OVERFLOW \n\
            CREATE,ISDIR /c/dir\nCLOSE_WRITE,CLOSE /elsewhere\n";
        let seen = read_inotifywait(&said(output), Path::new("/c"));
        let expected = Seen {
            written: paths(&["/c/a b"]),
            lost: Some(1),
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn fatrace_names_files_with_their_writers() {
        let output = "go(12): CW  /c/x\nsh (a)(13): W   /c/y\ngo(12): RC  /c/z\ngo(12): CWO /d/x\n";
        let seen = read_fatrace(&said(output), Path::new("/c"));
        let expected = Seen {
            written: paths(&["/c/x", "/c/y"]),
            lost: None,
        };
        assert_eq!(seen, expected);
    }
}
