//! `netobs flows`: conversations now, or as they change.

use anyhow::Context as _;

use super::{
    Engine,
    args::{Cli, FlowsArgs, StreamOutput},
    logging,
    output::{self, Reader},
    settings, wait,
};
use crate::{
    client::{Client, Connected, connect_or_start, resolve},
    doctor::may_observe,
    failure::Failure,
    host::environment,
    report::{FlowRow, FlowsDocument},
    settings::{LogFormat, LogLevel},
    shutdown::Shutdown,
    table,
};

pub(super) fn run(engine: Engine, cli: &Cli, arguments: &FlowsArgs) -> anyhow::Result<()> {
    let settings = settings(cli)?;
    let query = arguments.filter.filter().query();
    if !arguments.follow {
        let client = Client::new(settings.socket);
        let text = wait(now(&client, &query, arguments))?;
        return output::print(&text).map(drop);
    }
    let lines = match (arguments.output, arguments.hops) {
        (Some(StreamOutput::Jsonl), _) | (None, false) => Followed::Json,
        (Some(StreamOutput::Table) | None, true) => Followed::Hops,
        (Some(StreamOutput::Table), false) => {
            let what = "--follow has no table: leave --output out for one flow a line, or add --hops";
            return Err(Failure::usage(what).into());
        }
        (Some(StreamOutput::Json), _) => {
            return Err(Failure::usage(
                "--follow prints one flow a line: leave --output out, or say -o jsonl",
            )
            .into());
        }
    };
    logging::start(LogLevel::Warn, LogFormat::Text);
    let shutdown = Shutdown::default();
    shutdown.on_signals()?;
    wait(async {
        let may_start = may_observe(environment::read().capabilities);
        let mut connected = tokio::select! {
            connected = connect_or_start(engine.readers, &settings, may_start, output::note) => connected?,
            () = shutdown.wait() => return Ok(()),
        };
        let followed = follow(&connected, &query, lines, &shutdown).await;
        if let Some(inside) = &mut connected.inside {
            inside.stop().await?;
        }
        followed
    })
}

async fn now(client: &Client, query: &str, arguments: &FlowsArgs) -> anyhow::Result<String> {
    let output = arguments.output.unwrap_or_default();
    let path = format!("/api/v1/flows{query}");
    if output == StreamOutput::Json && !arguments.resolve {
        return Ok(String::from_utf8(client.body(&path).await?.into())?);
    }
    let mut document: FlowsDocument = client.document(&path).await?;
    if arguments.resolve {
        document = tokio::task::spawn_blocking(move || {
            resolve(&mut document);
            document
        })
        .await?;
    }
    if output == StreamOutput::Json {
        return Ok(serde_json::to_string(&document)? + "\n");
    }
    if output == StreamOutput::Table {
        let look = table::Look::stdout();
        return Ok(if arguments.hops {
            table::flows_and_hops(&document, look)
        } else {
            table::flows(&document, look)
        });
    }
    let mut lines = String::new();
    for flow in &document.flows {
        lines.push_str(&serde_json::to_string(flow)?);
        lines.push('\n');
    }
    Ok(lines)
}

/// How flows are printed as they change.
#[derive(Clone, Copy)]
enum Followed {
    /// As the agent writes them, one a line.
    Json,
    /// For people, each with its hops.
    Hops,
}

impl Followed {
    /// Whole lines of the agent's → what is printed.
    fn print(self, lines: &[u8]) -> anyhow::Result<Reader> {
        let look = match self {
            Self::Json => return output::print_bytes(lines),
            // A terminal may have got another size meanwhile.
            Self::Hops => table::Look::stdout(),
        };
        let mut text = String::new();
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let flow: FlowRow = serde_json::from_slice(line).context(
                "the agent's answer is not understood: agent and command may be of different versions",
            )?;
            text.push_str(&table::flow_and_hops(&flow, jiff::Timestamp::now(), look));
            text.push('\n');
        }
        output::print(&text)
    }
}

/// Until the agent stops, the reader goes, or a signal comes. That the agent stopped is an error: the caller
/// asked for what has no end.
async fn follow(
    connected: &Connected,
    query: &str,
    followed: Followed,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let mut lines = connected.client.lines(&format!("/api/v1/flows/follow{query}")).await?;
    loop {
        let some = tokio::select! {
            some = lines.next() => some?,
            () = shutdown.wait() => return Ok(()),
        };
        let Some(some) = some else { return Err(Failure::access("the agent has stopped").into()) };
        if followed.print(&some)? == Reader::Gone {
            return Ok(());
        }
    }
}
