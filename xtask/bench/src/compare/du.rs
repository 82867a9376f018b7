//! `du` every 10 seconds: who asks for the size now and then.

use std::path::Path;

use anyhow::{Context as _, Result};
use xtask::command::program;

use super::{
    observer::{Claim, Usage, Watch},
    watcher::{Said, Watcher},
};
use crate::workload::Workload;

pub(super) struct Du(Watcher);

pub(super) fn start(workload: &Workload) -> Result<Du> {
    const LOOP: &str = "while :; do du -s --apparent-size --block-size=1 . && sleep 10; done";
    let mut command = program("sh");
    command.args(["-c", LOOP]).current_dir(workload.cache());
    Watcher::start(command, None, workload).map(Du)
}

impl Watch for Du {
    fn usage(&mut self) -> Result<Usage> {
        Ok(Usage {
            max_rss_bytes: None,
            ..self.0.usage()?
        })
    }

    fn stop(self: Box<Self>, _cache: &Path) -> Result<Claim> {
        let said = self.0.stop("TERM")?;
        Ok(Claim {
            bytes: Some(growth(&said).context("du printed no sizes")?),
            lost: None,
        })
    }
}

/// From the first size it printed to the last. Directories count for it too.
fn growth(said: &Said) -> Option<u64> {
    let mut sizes = said
        .output
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let first = sizes.next()?;
    Some(sizes.next_back().unwrap_or(first).saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_from_the_first_to_the_last_look() {
        let said = |output: &str| Said {
            output: output.to_owned(),
            errors: String::new(),
        };
        assert_eq!(growth(&said("4096\t.\n5000\t.\n9096\t.\n")), Some(5000));
        assert_eq!(growth(&said("")), None);
    }
}
