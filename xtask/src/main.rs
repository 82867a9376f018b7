//! `cargo xtask TASK`: set-up, build, tests, checks and benchmarks of the cache agent.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{
    build, check,
    command::{self, cargo, exec},
    docs, run, setup, test, tidy, vm,
};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about,
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what building and testing need, below target/ where possible
    Setup(setup::Options),
    /// Build target/release/cache-agent with the kernel object inside
    Build(build::Options),
    /// Set up, build and become the agent
    Run(run::Options),
    /// Set up, check, build and run every test
    Test(test::Options),
    /// Formatting, lints, project rules, reference pages and dependency policy
    Check(check::Options),
    /// Write what of the reference pages is made from the code
    Docs(docs::Options),
    /// Project rules only (see xtask/src/tidy.rs)
    Tidy(tidy::Options),
    /// What the agent costs a cold `go build std`, and how fast it walks
    #[command(disable_help_flag = true)]
    Bench {
        /// The benchmarks' own (see `cargo xtask bench --help`)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// The system tests on every supported kernel, in virtual machines
    Vm(vm::Options),
}

fn main() -> ExitCode {
    command::exit_code(match Arguments::parse().task {
        Task::Setup(options) => setup::run(&options),
        Task::Build(options) => build::run(&options),
        Task::Run(options) => run::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Check(options) => check::run(&options),
        Task::Docs(options) => docs::run(&options),
        Task::Tidy(options) => tidy::run(&options),
        Task::Bench { arguments } => bench(&arguments),
        Task::Vm(options) => vm::run(&options),
    })
}

/// Becomes the benchmarks: what only they need is compiled for them only.
fn bench(arguments: &[OsString]) -> Result<()> {
    let mut command = cargo();
    command
        // The files that the arguments name are relative to where the user is.
        .current_dir(".")
        .args(["run", "--package", "xtask-bench", "--"])
        .args(arguments);
    match exec(&mut command)? {}
}
