//! The tree → everything that can be said about it without running it. What CI runs, word for word.

mod commands;
mod imports;
mod kernel_side;
mod links;
mod members;
mod shape;
mod shared_types;
mod source;

use std::process::ExitCode;

use anyhow::Result;
use source::{Finding, Source};

/// What to check: all of it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the rules of this tree, not the compiler's: takes no time
    #[arg(long)]
    quick: bool,
}

/// The whole tree → the places where a rule does not hold.
type Rule = fn(&[Source]) -> Vec<Finding>;

/// The rules of this tree that rustc, clippy and rustfmt do not know.
const RULES: &[(&str, Rule)] = &[
    ("shape of files", shape::check),
    ("members of the workspace", members::check),
    ("types on the kernel boundary", shared_types::check),
    ("kernel side", kernel_side::check),
    ("imports point to the pure middle", imports::check),
    ("links between documents", links::check),
];

/// The verb: runs all, then names what failed.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let sources = source::read_all()?;
    let mut failed = Vec::new();
    for (name, rule) in RULES {
        println!("netobs: checking {name}");
        let findings = rule(&sources);
        for finding in &findings {
            println!("  {finding}");
        }
        if !findings.is_empty() {
            failed.push((*name).to_owned());
        }
    }
    if !args.quick {
        failed.extend(commands::run()?);
    }
    if failed.is_empty() {
        println!("netobs: everything checked holds");
        return Ok(ExitCode::SUCCESS);
    }
    println!("netobs: does not hold: {}", failed.join("; "));
    Ok(ExitCode::FAILURE)
}
