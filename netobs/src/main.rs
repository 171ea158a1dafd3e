//! Command line → exit status.

use std::process::ExitCode;

use netobs::{agent, cli, daemon, kernel};

fn main() -> ExitCode {
    cli::main(cli::Engine {
        readers: daemon::Readers { observe: agent::observe, configuration: agent::configuration },
        cleanup: kernel::cleanup,
    })
}
