//! `netobs events`: what changed, summed up or as it comes.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    args::{Cli, EventsArgs, Since, StreamOutput},
    output::{self, Reader},
    settings, wait,
};
use crate::{
    client::Client,
    failure::Failure,
    report::{EventRow, EventsDocument},
    shutdown::Shutdown,
    table,
};

/// How often the agent is asked for more: it has news once a second.
const LOOK: Duration = Duration::from_millis(500);

pub(super) fn run(cli: &Cli, arguments: &EventsArgs) -> anyhow::Result<()> {
    let client = Client::new(settings(cli)?.socket);
    let since = match arguments.since {
        None => None,
        Some(Since::At(moment)) => Some(moment),
        Some(Since::Ago(ago)) => Some(Timestamp::now().saturating_sub(ago)?),
    };
    if arguments.follow {
        if !matches!(arguments.output, None | Some(StreamOutput::Jsonl)) {
            return Err(Failure::usage(
                "--follow prints one event a line: leave --output out, or say -o jsonl",
            )
            .into());
        }
        let shutdown = Shutdown::default();
        shutdown.on_signals()?;
        return wait(follow(&client, &shutdown, since));
    }
    let text = wait(async {
        let path = path(since);
        match arguments.output.unwrap_or_default() {
            StreamOutput::Json => Ok(String::from_utf8(client.body(&path).await?.into())?),
            StreamOutput::Table => Ok(table::events(&client.document(&path).await?, table::Look::stdout())),
            StreamOutput::Jsonl => lines(&client.document::<EventsDocument>(&path).await?.events),
        }
    })?;
    output::print(&text).map(drop)
}

fn path(since: Option<Timestamp>) -> String {
    match since {
        Some(since) => format!("/api/v1/events?since={since}"),
        None => "/api/v1/events".to_owned(),
    }
}

/// Until the agent stops, the reader goes, or a signal comes.
async fn follow(client: &Client, shutdown: &Shutdown, since: Option<Timestamp>) -> anyhow::Result<()> {
    let mut since = since.unwrap_or_else(Timestamp::now);
    // Those of the latest moment, of which more may have come.
    let mut told: Vec<EventRow> = Vec::new();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.wait() => return Ok(()),
        }
        let document: EventsDocument = client.document(&path(Some(since))).await?;
        let news: Vec<EventRow> = document.events.into_iter().filter(|one| !told.contains(one)).collect();
        let Some(latest) = news.last() else { continue };
        if latest.time > since {
            since = latest.time;
            told.clear();
        }
        told.extend(news.iter().filter(|one| one.time == since).cloned());
        if output::print(&lines(&news)?)? == Reader::Gone {
            return Ok(());
        }
    }
}

fn lines(rows: &[EventRow]) -> anyhow::Result<String> {
    let mut lines = String::new();
    for row in rows {
        lines.push_str(&serde_json::to_string(row)?);
        lines.push('\n');
    }
    Ok(lines)
}
