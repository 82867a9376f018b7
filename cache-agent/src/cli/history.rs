//! Where the history is, for the verbs that read it.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};

use crate::{config, store::Store, sys::arguments::absolute_path};

/// Options of every verb that reads the history.
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// Configuration that says where the history is [default: /etc/cache-agent/cache-agent.toml if it exists]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// The history is in this directory instead of the configured one
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = absolute_path())]
    pub state_dir: Option<PathBuf>,
}

impl HistoryArgs {
    /// Opens it, to read.
    pub(super) fn open(&self) -> Result<Store> {
        let directory = match &self.state_dir {
            Some(directory) => directory.clone(),
            None => config::load(self.config.as_deref())?.state.directory,
        };
        Ok(Store::read(&directory)?)
    }
}
