//! `netobs explain`: why A does or does not reach B, and the exit status that says so.

use std::process::ExitCode;

use super::{
    Engine,
    args::{Cli, ExplainArgs, PageOutput},
    output, settings, wait,
};
use crate::{
    api::ExplainQuery,
    client::{Client, connect_or_start},
    doctor::may_observe,
    failure::Status,
    host::environment,
    report::{Explanation, Verdict},
    shutdown::Shutdown,
    table::{self, Look},
};

pub(super) fn run(engine: Engine, cli: &Cli, arguments: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let question =
        ExplainQuery { source: arguments.source.clone(), destination: arguments.destination.clone() };
    let path = format!("/api/v1/explain{}", question.query());
    answer(engine, cli, arguments.output, async |client| client.document(&path).await)
}

/// Asks, prints the answer, and says by the exit status what it comes to.
pub(super) fn answer(
    engine: Engine,
    cli: &Cli,
    format: PageOutput,
    ask: impl AsyncFnOnce(&Client) -> anyhow::Result<Explanation>,
) -> anyhow::Result<ExitCode> {
    let settings = settings(cli)?;
    let shutdown = Shutdown::default();
    shutdown.on_signals()?;
    let answer = wait(async {
        let may_start = may_observe(environment::read().capabilities);
        let mut connected = tokio::select! {
            connected = connect_or_start(engine.readers, &settings, may_start, output::note) => connected?,
            () = shutdown.wait() => return Ok(None),
        };
        let answer = tokio::select! {
            answer = ask(&connected.client) => answer.map(Some),
            () = shutdown.wait() => Ok(None),
        };
        if let Some(inside) = &mut connected.inside {
            inside.stop().await?;
        }
        answer
    })?;
    let Some(answer) = answer else { return Ok(ExitCode::from(Status::Unknown.code())) };
    match format {
        PageOutput::Json => output::print_json(&answer)?,
        PageOutput::Table => output::print(&table::explain(&answer, Look::stdout()))?,
        PageOutput::Markdown => output::print(&table::ticket(&answer))?,
    };
    Ok(ExitCode::from(status(answer.verdict)))
}

/// 0 where both directions are proven, 1 where something is wrong, 4 where nothing can be said.
fn status(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Reachable => 0,
        Verdict::Unknown => Status::Unknown.code(),
        _ => Status::Negative.code(),
    }
}
