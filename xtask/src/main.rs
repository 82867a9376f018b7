//! `cargo xtask TASK`: set-up, build, tests, checks and benchmarks of the cache agent.

mod bench;
mod build;
mod check;
mod command;
mod docs;
mod paths;
mod run;
mod setup;
mod test;
mod tidy;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about, disable_help_subcommand = true)]
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
    Bench(bench::Options),
    /// The system tests on every supported kernel, in virtual machines
    Vm(vm::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Setup(options) => setup::run(&options),
        Task::Build(options) => build::run(&options),
        Task::Run(options) => run::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Check(options) => check::run(&options),
        Task::Docs(options) => docs::run(&options),
        Task::Tidy(options) => tidy::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Vm(options) => vm::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
