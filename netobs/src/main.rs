//! Command line → exit status.

use std::process::ExitCode;

use netobs::{cli, failure::Failure, kernel};

fn main() -> ExitCode {
    cli::main(cli::Engine {
        // The observer is not part of this build yet: every command that needs one says so.
        observe: |_, _, _| Box::pin(async { Err(Failure::access("this build cannot observe yet").into()) }),
        cleanup: kernel::cleanup,
    })
}
