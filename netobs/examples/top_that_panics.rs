//! `netobs top` waiting for an agent, in a process one of whose threads panics a second later: what a person finds
//! on the terminal afterwards is looked at by `tests/tests/terminal.rs`.
#![allow(clippy::panic, reason = "it is what this is for")]

use std::{io, process::ExitCode, thread, time::Duration};

use netobs::top::{Update, run};

fn main() -> io::Result<ExitCode> {
    let (_feed, updates) = tokio::sync::watch::channel(Update::Waiting("an agent".into()));
    let failing = thread::spawn(|| {
        thread::sleep(Duration::from_secs(1));
        panic!("a fault made on purpose");
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shown = runtime.block_on(run(updates));
    if let Err(error) = shown {
        eprintln!("netobs: {error:#}");
    }
    Ok(if failing.join().is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
