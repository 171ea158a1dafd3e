//! A purpose → everything it needs on this machine, each thing announced before it is installed.

mod apt;
mod backports;
pub(crate) mod compiler;
mod guest_kernel;
mod linker;
mod mermaid;
mod packages;
pub(crate) mod toolchain;

use std::process::ExitCode;

use anyhow::{Result, bail};

pub(crate) use toolchain::{Choice, Toolchain};

/// What to set up for.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also what the tests and the lab start: dockerd, iperf3, Prometheus and their like
    #[arg(long)]
    test: bool,
}

/// What is to be possible afterwards.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building the kernel side and the agent.
    Build,
    /// Also running the lab and every test.
    Test,
}

/// The verb.
pub(crate) fn run(args: &Args, choice: &Choice) -> Result<ExitCode> {
    let toolchain = prepare(if args.test { Purpose::Test } else { Purpose::Build }, choice)?;
    println!("netobs: nothing is missing; the kernel side is built by {toolchain}");
    Ok(ExitCode::SUCCESS)
}

/// Makes `purpose` possible, and says by which compiler and linker. Quick and silent where nothing is missing.
pub(crate) fn prepare(purpose: Purpose, choice: &Choice) -> Result<Toolchain> {
    let ready = toolchain::ready(choice)?;
    let mut missing = if ready.is_some() { Vec::new() } else { toolchain::missing_packages(choice)? };
    if purpose == Purpose::Test {
        missing.extend(packages::missing().into_iter().map(str::to_owned));
    }
    if !missing.is_empty() {
        if !apt::available() {
            return elsewhere(ready.is_some(), &missing);
        }
        apt::require(&missing, "which are missing")?;
    }
    let toolchain = match ready {
        Some(ready) => ready,
        None => toolchain::install(choice)?,
    };
    if purpose == Purpose::Test {
        packages::install()?;
        guest_kernel::prepare()?;
        mermaid::prepare()?;
    }
    Ok(toolchain)
}

/// Not Debian or Ubuntu: what to run there.
fn elsewhere(toolchain_is_ready: bool, missing: &[String]) -> Result<Toolchain> {
    if !toolchain_is_ready {
        println!("netobs: no apt-get here, so these are yours to run:");
        println!("    rustup toolchain install nightly --profile minimal --component rust-src");
        println!("    {}", linker::command(toolchain::UPSTREAM_LLVM));
        println!(
            "  where the LLVM number is that of `rustc +nightly -vV`, with its development files, zlib and zstd"
        );
    }
    bail!(
        "missing (by Debian's names): {}; install them with your package manager, then run this again",
        missing.join(" ")
    )
}
