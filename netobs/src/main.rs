//! Command line → exit status.

use std::process::ExitCode;

use netobs::{agent, api, cli, daemon, kernel};

fn main() -> ExitCode {
    cli::main(cli::Engine {
        readers: daemon::Readers {
            observe: agent::observe,
            asked: api::AskedReaders { configuration: agent::configuration, probe: agent::probe },
        },
        cleanup: kernel::cleanup,
    })
}
