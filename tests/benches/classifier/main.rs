//! The classifier as the agent loads it → nanoseconds a packet by test run, beside an empty program of the same
//! round. Nothing is attached; no packet is sent.

mod measure;
mod table;
mod workload;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

/// What `cargo xtask bench` passes on.
#[derive(Parser)]
#[command(about = "Nanoseconds a packet in the classifier, by test run")]
struct Arguments {
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Rounds, of which the medians are shown
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Also write the table as a document
    #[arg(long, value_name = "FILE")]
    document: Option<std::path::PathBuf>,
    /// `cargo bench` says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// A stalled machine ends the bench instead of holding it.
const LIMIT: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "root is needed to load the classifier: run this as root");
    let bench = measure::all(arguments.rounds, LIMIT)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&bench)?);
    } else {
        print!("{}", table::text(&bench));
    }
    if let Some(file) = &arguments.document {
        std::fs::write(file, table::document(&bench))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}
