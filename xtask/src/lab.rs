//! `lab up|down` → the lab of `tests`, built as the user and run as root.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;

use crate::{
    privilege,
    setup::{self, Choice, Purpose},
    shell, tree,
};

/// What to do with it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build it, or remove it without a trace
    action: Action,
    /// Words for the lab itself: --traffic, --with docker
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Action {
    Up,
    Down,
}

/// The verb.
pub(crate) fn run(args: &Args, choice: &Choice) -> Result<ExitCode> {
    privilege::require("for the lab's network namespaces", "run this as root")?;
    if args.action == Action::Up {
        setup::prepare(Purpose::Test, choice)?;
    }
    let lab = build()?;
    let action = if args.action == Action::Up { "up" } else { "down" };
    shell::replace(privilege::as_root(lab).arg(action).args(&args.words))
}

/// Builds the lab's program, and says where it is.
pub(crate) fn build() -> Result<PathBuf> {
    shell::run(tree::cargo()?.args(["build", "--quiet", "--locked", "--package", "netobs-tests", "--bins"]))?;
    Ok(tree::target()?.join("debug/lab"))
}
