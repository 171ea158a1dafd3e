//! Command line → exit status.

use std::process::ExitCode;

use netobs::{agent, cli, kernel};

fn main() -> ExitCode {
    cli::main(cli::Engine { observe: agent::observe, cleanup: kernel::cleanup })
}
