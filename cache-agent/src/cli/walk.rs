//! `walk`: measures one tree as the agent does.

use std::{collections::HashSet, io::Write, path::PathBuf, time::Instant};

use anyhow::{Context as _, Result};
use clap::{Args, ValueHint};
use serde_json::json;

use crate::{
    ledger::{root::open_directory, walk::Walk},
    sys::arguments::absolute_path,
};

/// `walk`
#[derive(Args, Debug)]
pub struct WalkArgs {
    /// Directory
    #[arg(value_name = "ROOT", value_hint = ValueHint::DirPath, value_parser = absolute_path())]
    pub root: PathBuf,
    /// As JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// Walks and prints the figures.
pub fn run(args: &WalkArgs, out: &mut impl Write) -> Result<()> {
    let directory = open_directory(&args.root)?;
    let started = Instant::now();
    let walk = Walk::of(&directory, &HashSet::new())
        .with_context(|| format!("cannot walk {}", args.root.display()))?;
    let (files, bytes, seconds) = (
        walk.files.len(),
        walk.bytes(),
        started.elapsed().as_secs_f64(),
    );
    if args.json {
        writeln!(
            out,
            "{}",
            json!({"files": files, "bytes": bytes, "disk_bytes": walk.disk_bytes, "unreadable": walk.unreadable, "seconds": seconds})
        )?;
    } else {
        writeln!(
            out,
            "{files} files, {bytes} bytes, {} bytes on disk, {seconds:.3} s",
            walk.disk_bytes
        )?;
    }
    Ok(())
}
