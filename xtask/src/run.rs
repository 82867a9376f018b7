//! Sets up, builds and becomes the agent: signals and exit status are the agent's own.

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    build::{self, Profile},
    command::{as_root, exec, program},
    setup,
};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// What the agent is to do; the daemon with built-in defaults when nothing is said
    #[arg(last = true, default_value = "run", value_name = "ARGS")]
    arguments: Vec<OsString>,
}

pub fn run(Options { arguments }: &Options) -> Result<()> {
    let built = build::agent(&setup::for_build()?, Profile::Release)?;
    let mut agent = program(built.agent);
    agent.args(arguments);
    match exec(&mut as_root(agent)?)? {}
}
