//! What can be typed: commands, flags, filters. Checked in `settings`, reduced to one line in `usage`.

use std::path::PathBuf;

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use clap_complete::Shell;

use crate::{
    api::{AddressFilter, Condition, Conditions, FlowFilter, PairFilter},
    report::{KindName, Path, Verdict},
    settings::Layer,
};

/// Who talks to whom on this host, by which way, how much, and why A does not reach B.
#[derive(Parser, Debug)]
#[command(name = "netobs", version, propagate_version = true, subcommand_required = true)]
pub struct Cli {
    /// The agent to ask [default: the socket of the settings]
    #[arg(long, global = true, env = "NETOBS_AGENT", value_name = "unix:///PATH")]
    pub agent: Option<String>,

    /// Configuration file [default: /etc/netobs/netobs.toml if it exists]
    #[arg(long, global = true, env = "NETOBS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Observe this host until told to stop
    Agent(Box<AgentArgs>),
    /// Show live flows: sort, filter, pause, drill down to hops
    Top(TopArgs),
    /// Show who is on this host, with mode, addresses, interface and provenance
    Endpoints(EndpointsArgs),
    /// Show flows now, or as they change
    Flows(FlowsArgs),
    /// Show the matrix of kinds: for each two of them and each way how many pairs are in which verdict, and why
    Matrix(MatrixArgs),
    /// Show packets the kernel dropped: who to whom, why, and where they were seen last
    Drops(DropsArgs),
    /// Show what changed: verdicts, bursts of drops, and links, addresses, routes and kernel settings beside them
    Events(EventsArgs),
    /// Say why A does or does not reach B: verdict, evidence, last hop, causes, what to do
    Explain(ExplainArgs),
    /// Open a connection from inside A's network stack, and explain what became of it
    Probe(ProbeArgs),
    /// Draw this host: who hangs where, and what flows between them
    Map(MapArgs),
    /// Say what this kernel, these privileges and these sockets allow, what is missing, and what to do
    Doctor(DoctorArgs),
    /// Remove everything on this host that is netobs's; may be repeated
    Cleanup,
    /// Print a completion script
    Completions {
        /// The shell it is for
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the documents that are generated from the code
    #[command(hide = true)]
    Docs(DocsArgs),
}

/// `netobs agent`.
#[derive(Args, Debug)]
pub struct AgentArgs {
    /// Check the settings, print them as a configuration file, and stop
    #[arg(long)]
    pub check: bool,

    /// What it runs with.
    #[command(flatten)]
    pub layer: Layer,
}

/// `netobs top`.
#[derive(Args, Debug)]
pub struct TopArgs {
    /// Print one table and stop
    #[arg(long)]
    pub once: bool,

    /// How it is printed; json implies --once
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// `netobs endpoints`.
#[derive(Args, Debug)]
pub struct EndpointsArgs {
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// `netobs flows`.
#[derive(Args, Debug)]
pub struct FlowsArgs {
    /// How it is printed; jsonl has one flow a line [default: table, with --follow jsonl, with --hops table]
    #[arg(short, long, value_enum)]
    pub output: Option<StreamOutput>,

    /// Go on, and print a flow each time it changes
    #[arg(short, long)]
    pub follow: bool,

    /// Below each flow its hops in the order of travel: the tuple seen there, how much, what was lost after it; JSON
    /// has them in any case
    #[arg(long)]
    pub hops: bool,

    /// Ask DNS for the names of addresses outside; this command asks, the agent never does
    #[arg(long, conflicts_with = "follow")]
    pub resolve: bool,

    /// Which flows.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// The filters that flows and pairs of endpoints have.
#[derive(Args, Debug, Default)]
pub struct PairFilterArgs {
    /// Either side is this endpoint: host, container/NAME or an id's beginning, pod/NAMESPACE/NAME, vm/NAME, node/NAME,
    /// external/NAME, an address; or service/NAMESPACE/NAME was addressed
    #[arg(long, value_name = "SELECTOR")]
    pub endpoint: Option<String>,

    /// Either side is of this kind
    #[arg(long, value_parser = words(KindName::ALL.iter().map(|one| one.name()).collect()).try_map(|word| word.parse::<KindName>()))]
    pub kind: Option<KindName>,

    /// It travels this way
    #[arg(long, value_parser = words(Path::ALL.iter().map(|one| one.name()).collect()).try_map(|word| word.parse::<Path>()))]
    pub path: Option<Path>,

    /// This is said about it
    #[arg(long, value_parser = words(Verdict::ALL.iter().map(|one| one.name()).collect()).try_map(|word| word.parse::<Verdict>()))]
    pub verdict: Option<Verdict>,
}

/// The filters of `netobs flows`. A flow must pass all of them.
#[derive(Args, Debug, Default)]
pub struct FilterArgs {
    /// Those that pairs have too.
    #[command(flatten)]
    pub pair: PairFilterArgs,

    /// Some hop saw it with this address and, if given, port: before or after translation, or around it
    #[arg(long, value_name = "ADDR[:PORT]")]
    pub address: Option<AddressFilter>,

    /// Some hop saw it with this port
    #[arg(long)]
    pub port: Option<u16>,

    /// This holds of a field of its JSON, as in tcp.state=established, forward.bytes>1000000, overlay.vni=100,
    /// hops.interface!=eth0; may be repeated, and all must hold
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    pub conditions: Vec<Condition>,

    /// At most so many, the busiest first
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

impl FilterArgs {
    /// The filter the API understands.
    #[must_use]
    pub fn filter(&self) -> FlowFilter {
        FlowFilter {
            endpoint: self.pair.endpoint.clone(),
            kind: self.pair.kind,
            path: self.pair.path,
            verdict: self.pair.verdict,
            address: self.address,
            port: self.port,
            conditions: Conditions(self.conditions.clone()),
            limit: self.limit,
        }
    }
}

impl PairFilterArgs {
    /// The filter the API understands.
    #[must_use]
    pub fn filter(&self) -> PairFilter {
        PairFilter {
            endpoint: self.endpoint.clone(),
            kind: self.kind,
            path: self.path,
            verdict: self.verdict,
        }
    }
}

/// `netobs matrix`.
#[derive(Args, Debug)]
pub struct MatrixArgs {
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub output: PageOutput,

    /// Which pairs.
    #[command(flatten)]
    pub filter: PairFilterArgs,
}

/// `netobs drops`.
#[derive(Args, Debug)]
pub struct DropsArgs {
    /// How it is printed; jsonl has one row a line [default: table, with --follow jsonl]
    #[arg(short, long, value_enum)]
    pub output: Option<StreamOutput>,

    /// Go on, and print a row each time more is dropped
    #[arg(short, long)]
    pub follow: bool,
}

/// `netobs events`.
#[derive(Args, Debug)]
pub struct EventsArgs {
    /// How far back, as in 90s, 5m, 6h or 2d, or a moment, as in 2026-01-02T03:04:05Z [default: all that is kept]
    #[arg(long, value_name = "AGO", value_parser = since)]
    pub since: Option<Since>,

    /// How it is printed; jsonl has one event a line [default: table, with --follow jsonl]
    #[arg(short, long, value_enum)]
    pub output: Option<StreamOutput>,

    /// Go on, and print an event each time something changes
    #[arg(short, long)]
    pub follow: bool,
}

/// Since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(jiff::SignedDuration),
    /// That moment.
    At(jiff::Timestamp),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(Since::At(moment));
    }
    // A day is 24 hours, whatever the calendar says.
    let days = text.strip_suffix('d').and_then(|days| days.trim().parse::<i64>().ok());
    let ago = match days {
        Some(days) => days.checked_mul(24).and_then(jiff::SignedDuration::try_from_hours),
        None => text.parse().ok(),
    };
    ago.filter(|ago| !ago.is_negative()).map(Since::Ago).ok_or_else(|| {
        "give how long ago, as in 90s, 5m, 6h or 2d, or a moment, as in 2026-01-02T03:04:05Z".to_owned()
    })
}

/// `netobs explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// Who wants to reach somebody: host, container/NAME or an id's beginning, pod/NAMESPACE/NAME, vm/NAME, an address
    #[arg(value_name = "A")]
    pub source: String,

    /// Whom: the same, or service/NAMESPACE/NAME, node/NAME; an IPv6 address with a port goes in square brackets
    #[arg(value_name = "B[:PORT]")]
    pub destination: String,

    /// How it is printed; markdown is ready for a ticket
    #[arg(short, long, value_enum, default_value_t)]
    pub output: PageOutput,
}

/// `netobs probe`.
#[derive(Args, Debug)]
pub struct ProbeArgs {
    /// From whose network stack: host, container/NAME or an id's beginning, pod/NAMESPACE/NAME
    #[arg(value_name = "A")]
    pub source: String,

    /// To whom: an address, container/NAME, pod/NAMESPACE/NAME, vm/NAME; nothing is sent to anybody else
    #[arg(value_name = "B:PORT")]
    pub destination: String,

    /// Send a datagram of one byte instead
    #[arg(long, conflicts_with = "icmp")]
    pub udp: bool,

    /// Send an echo request instead; B has no port then
    #[arg(long)]
    pub icmp: bool,

    /// How it is printed; markdown is ready for a ticket
    #[arg(short, long, value_enum, default_value_t)]
    pub output: PageOutput,
}

/// `netobs map`.
#[derive(Args, Debug)]
pub struct MapArgs {
    /// How it is drawn
    #[arg(short, long, value_enum, default_value_t)]
    pub output: MapOutput,

    /// Draw every endpoint, where there are many too; json always has them all
    #[arg(long)]
    pub all: bool,
}

/// `netobs doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// How it is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// `netobs docs`.
#[derive(Args, Debug)]
pub struct DocsArgs {
    /// Change nothing; fail if a document is not up to date
    #[arg(long)]
    pub check: bool,

    /// The directory they are in
    #[arg(long, default_value = "docs")]
    pub directory: PathBuf,
}

/// How a listing is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Table,
    /// One object, schema netobs/v1
    Json,
}

/// How rows that stream are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum StreamOutput {
    /// For people
    #[default]
    Table,
    /// One object, schema netobs/v1
    Json,
    /// One object a line for each row
    Jsonl,
}

/// How a page is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PageOutput {
    /// For people
    #[default]
    Table,
    /// One object, schema netobs/v1
    Json,
    /// For a ticket
    Markdown,
}

/// How the map is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum MapOutput {
    /// For any viewer of Markdown
    #[default]
    Mermaid,
    /// For Graphviz
    Dot,
    /// One object, schema netobs/v1
    Json,
}

/// A closed set of words, for the help text, completion and the error message.
fn words(all: Vec<&'static str>) -> PossibleValuesParser {
    PossibleValuesParser::new(all)
}

/// The address an agent is asked at, given as `unix:///path`.
///
/// # Errors
/// What would be right, if it is something else.
pub(super) fn agent_socket(agent: &str) -> Result<PathBuf, String> {
    match agent.strip_prefix("unix://") {
        Some(path) if path.starts_with('/') => Ok(PathBuf::from(path)),
        _ if agent.starts_with("https://") => {
            Err(format!("--agent {agent}: this version asks local agents only; give unix:///path"))
        }
        _ => Err(format!("--agent {agent}: give unix:///path")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_back_may_be_said_in_words_or_as_a_moment() {
        let ago = |text: &str| match since(text) {
            Ok(Since::Ago(ago)) => ago.as_secs(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!((ago("90s"), ago("5m"), ago("6h"), ago("2d")), (90, 300, 21_600, 172_800));
        assert!(matches!(since("2026-01-02T03:04:05Z"), Ok(Since::At(_))));
        for text in ["", "yesterday", "-5m", "5"] {
            assert!(since(text).is_err(), "{text}");
        }
    }
}
