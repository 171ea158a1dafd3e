//! Command line → one verb. What a developer runs here is what CI runs.

mod bench;
mod build_ebpf;
mod check;
mod lab;
mod privilege;
mod run;
mod setup;
mod shell;
mod test;
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Set up, build, run, test and check netobs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    toolchain: setup::toolchain::Choice,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what is missing to build, and with --test to test; each package is announced first
    Setup(setup::Args),
    /// Build the kernel side into target/bpf/netobs
    BuildEbpf(build_ebpf::Args),
    /// Set up, build, start the agent on this host and show `netobs top`
    Run(run::Args),
    /// Build a small network with traffic to look at, or remove it
    Lab(lab::Args),
    /// Set up, build and run every test
    Test(test::Args),
    /// Measure the classifier beside an empty program, and write docs/performance.md
    Bench(bench::Args),
    /// Everything that can be said about the source without running it
    Check(check::Args),
}

fn main() -> ExitCode {
    let Cli { toolchain, verb } = Cli::parse();
    let done = match verb {
        Verb::Setup(args) => setup::run(&args, &toolchain),
        Verb::BuildEbpf(args) => build_ebpf::run(&args, &toolchain),
        Verb::Run(args) => run::run(&args, &toolchain),
        Verb::Lab(args) => lab::run(&args, &toolchain),
        Verb::Test(args) => test::run(&args, &toolchain),
        Verb::Bench(args) => bench::run(&args, &toolchain),
        Verb::Check(args) => check::run(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
