//! Command line → what it asks for, and the exit status.

mod agent;
mod args;
mod cleanup;
mod commands_document;
mod docs;
mod doctor;
mod drops;
mod endpoints;
mod events;
mod explain;
mod flows;
mod logging;
mod map;
mod matrix;
mod output;
mod probe;
mod top;
mod usage;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};

pub use args::{Cli, Command};

use self::args::agent_socket;
use crate::{
    daemon::Readers,
    failure::{Failure, Status, one_line, status},
    settings::{Layer, Settings},
    shutdown::Shutdown,
};

/// The parts of the agent the commands start but do not know.
#[derive(Clone, Copy)]
pub struct Engine {
    /// Read the world for an agent.
    pub readers: Readers,
    /// Removes what is netobs's on this host, and says what it was.
    pub cleanup: fn() -> anyhow::Result<Vec<String>>,
}

/// Runs what was typed.
#[must_use]
pub fn main(engine: Engine) -> ExitCode {
    let typed: Vec<String> =
        std::env::args_os().skip(1).map(|one| one.to_string_lossy().into_owned()).collect();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return match output::print(&error.render().to_string()) {
                Ok(_) => ExitCode::SUCCESS,
                Err(error) => failed(&error),
            };
        }
        Err(error) => {
            output::note(&usage::one_line(&error, &typed));
            return ExitCode::from(Status::Usage.code());
        }
    };
    match Shutdown::unblock().and_then(|()| run(engine, &cli)) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    output::note(&one_line(error));
    ExitCode::from(status(error).code())
}

fn run(engine: Engine, cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Agent(arguments) => agent::run(engine, cli, arguments)?,
        Command::Top(arguments) => top::run(engine, cli, arguments)?,
        Command::Endpoints(arguments) => endpoints::run(cli, arguments)?,
        Command::Flows(arguments) => flows::run(engine, cli, arguments)?,
        Command::Matrix(arguments) => matrix::run(cli, arguments)?,
        Command::Drops(arguments) => drops::run(cli, arguments)?,
        Command::Events(arguments) => events::run(cli, arguments)?,
        Command::Map(arguments) => map::run(cli, arguments)?,
        Command::Probe(arguments) => return probe::run(engine, cli, arguments),
        Command::Explain(arguments) => return explain::run(engine, cli, arguments),
        Command::Doctor(arguments) => return doctor::run(cli, arguments),
        Command::Cleanup => cleanup::run(engine, cli)?,
        Command::Completions { shell } => completions(*shell)?,
        Command::Docs(arguments) => docs::run(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The settings a command that asks an agent goes by: environment and file, and the socket of `--agent`.
fn settings(cli: &Cli) -> anyhow::Result<Settings> {
    let mut settings = Settings::resolve(from_environment()?, cli.config.as_deref())?;
    if let Some(agent) = &cli.agent {
        settings.socket = agent_socket(agent).map_err(Failure::usage)?;
    }
    Ok(settings)
}

/// The agent's flags as the environment has them, for a command that has no such flags itself.
fn from_environment() -> anyhow::Result<Layer> {
    #[derive(Parser)]
    struct Bare {
        #[command(flatten)]
        layer: Layer,
    }
    let bare =
        Bare::try_parse_from(["netobs"]).map_err(|error| Failure::usage(usage::one_line(&error, &[])))?;
    Ok(bare.layer)
}

/// One thread: a command asks, waits and prints.
fn wait<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "netobs", &mut script);
    output::print(&String::from_utf8_lossy(&script)).map(drop)
}
