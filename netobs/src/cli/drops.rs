//! `netobs drops`: packets the kernel dropped, summed or as they come.

use std::{collections::HashMap, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{
    args::{Cli, DropsArgs, StreamOutput},
    output::{self, Reader},
    settings, wait,
};
use crate::{
    client::Client,
    failure::Failure,
    report::{DropRow, DropsDocument},
    shutdown::Shutdown,
    table,
};

const PATH: &str = "/api/v1/drops";
/// How often the agent is asked for more: it has news once a second.
const LOOK: Duration = Duration::from_millis(500);

pub(super) fn run(cli: &Cli, arguments: &DropsArgs) -> anyhow::Result<()> {
    let client = Client::new(settings(cli)?.socket);
    if arguments.follow {
        if !matches!(arguments.output, None | Some(StreamOutput::Jsonl)) {
            return Err(Failure::usage(
                "--follow prints one row a line: leave --output out, or say -o jsonl",
            )
            .into());
        }
        let shutdown = Shutdown::default();
        shutdown.on_signals()?;
        return wait(follow(&client, &shutdown));
    }
    let text = wait(async {
        match arguments.output.unwrap_or_default() {
            StreamOutput::Json => Ok(String::from_utf8(client.body(PATH).await?.into())?),
            StreamOutput::Table => Ok(table::drops(&client.document(PATH).await?, table::Look::stdout())),
            StreamOutput::Jsonl => lines(&client.document::<DropsDocument>(PATH).await?.drops),
        }
    })?;
    output::print(&text).map(drop)
}

/// Until the agent stops, the reader goes, or a signal comes.
async fn follow(client: &Client, shutdown: &Shutdown) -> anyhow::Result<()> {
    let mut told = HashMap::new();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.wait() => return Ok(()),
        }
        let document: DropsDocument = client.document(PATH).await?;
        let news = news(&mut told, document.drops);
        if !news.is_empty() && output::print(&lines(&news)?)? == Reader::Gone {
            return Ok(());
        }
    }
}

/// Rows that are new or have grown since they were told of.
fn news(told: &mut HashMap<String, u64>, rows: Vec<DropRow>) -> Vec<DropRow> {
    let before = std::mem::take(told);
    let is_news = |row: &DropRow| {
        // What a row is about, and not how much.
        let about = format!(
            "{:?}",
            (
                &row.source,
                &row.destination,
                row.protocol,
                &row.reason,
                &row.location,
                &row.inside,
                &row.last_hop
            )
        );
        let known = before.get(&about).copied();
        let packets = told.entry(about).or_default();
        *packets += row.packets;
        known != Some(*packets)
    };
    rows.into_iter().filter(is_news).collect()
}

fn lines(rows: &[DropRow]) -> anyhow::Result<String> {
    let mut lines = String::new();
    for row in rows {
        lines.push_str(&serde_json::to_string(row)?);
        lines.push('\n');
    }
    Ok(lines)
}
