//! `netobs top`: the live view, or one table of it.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    Engine,
    args::{Cli, Output, TopArgs},
    output, settings, wait,
};
use crate::{
    client::{Client, connect_or_start, feed},
    doctor::may_observe,
    host::environment,
    shutdown::Shutdown,
    table::Look,
    top,
};

/// An agent that has just begun has no rates yet: they need two rounds.
const FIRST_RATES: Duration = Duration::from_millis(2_200);

pub(super) fn run(engine: Engine, cli: &Cli, arguments: &TopArgs) -> anyhow::Result<()> {
    let settings = settings(cli)?;
    let once = arguments.once || arguments.output == Output::Json;
    let shutdown = Shutdown::default();
    shutdown.on_signals()?;
    wait(async {
        let may_start = may_observe(environment::read().capabilities);
        let mut connected = tokio::select! {
            connected = connect_or_start(engine.readers, &settings, may_start, output::note) => connected?,
            () = shutdown.wait() => return Ok(()),
        };
        let shown = if once {
            let rates = if connected.inside.is_some() { FIRST_RATES } else { Duration::ZERO };
            tokio::select! {
                () = shutdown.wait() => Ok(()),
                () = sleep(rates) => print(&connected.client, arguments.output).await,
            }
        } else {
            // Nothing is logged: the terminal belongs to the view.
            top::run(feed(connected.client.clone())).await
        };
        if let Some(inside) = &mut connected.inside {
            inside.stop().await?;
        }
        shown
    })
}

async fn print(client: &Client, format: Output) -> anyhow::Result<()> {
    match format {
        Output::Table => output::print(&top::once(&client.top().await?, Look::stdout())).map(drop),
        Output::Json => output::print_json(&top::shown(client.document("/api/v1/flows").await?)).map(drop),
    }
}
