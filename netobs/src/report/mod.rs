//! What one tick knows, as one immutable value: metrics, JSON, `top` and the page read this and nothing else.

mod drops;
mod endpoints;
mod events;
mod explain;
mod flows;
mod health;
mod histogram;
mod links;
mod map;
mod names;
mod pairs;
mod probe;
mod status;
mod totals;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use drops::{DROP_REASONS, DropClass, DropHop, DropRow, DropsDocument, OTHER_REASON};
pub use endpoints::{ContainerRow, EndpointRow, InterfaceRow};
pub use events::{EventKind, EventRow, EventsDocument};
pub use explain::{AskedSide, Cause, CauseName, Confidence, Explanation};
pub use flows::{
    Amounts, Evidence, FlowRow, HopDirection, HopRow, OriginalDestination, Overlay, Party, SocketProcess,
    Tcp, TcpState,
};
pub use health::{ConntrackUse, Health, InterfaceCounts, InterfaceState, MapUse, SourceState, Unseen};
pub use histogram::{BOUNDS, Histogram};
pub use links::LinkRow;
pub use map::{EdgeRole, NodeKind};
pub use names::{
    Close, Direction, EvidenceKind, HookName, HopName, InitiatorBy, KindName, Nat, Outcome, Path,
    ProtocolName, Reporter, RoleName, Verdict, Via,
};
pub use pairs::{PairDrops, PairRow};
pub use probe::{ProbeOutcome, ProbeRow};
pub use status::{InterfaceStates, NotFound, SkippedAt, SourceStatus, StatusDocument, TableUse};
pub use totals::{
    DropLabels, HopLabels, PairLabels, PathFlowLabels, PathLabels, TcpTotals, Totals, WorkloadAmounts,
    WorkloadLabels,
};

/// The journal as it is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// In order of time.
    pub events: Vec<EventRow>,
    /// Events that had no room, by kind.
    pub forgotten: std::collections::BTreeMap<EventKind, u64>,
}

/// The schema every JSON document names.
pub const SCHEMA: &str = "netobs/v1";

/// One tick's knowledge.
#[derive(Clone, Debug)]
pub struct Report {
    /// Wall clock at publication.
    pub time: Timestamp,
    /// The host's name.
    pub node: Arc<str>,
    /// Length of the tick rates are computed over.
    pub interval: Duration,
    /// Everybody on this host, by id.
    pub endpoints: Vec<EndpointRow>,
    /// The host's interfaces, by index.
    pub links: Vec<LinkRow>,
    /// Whether it lists conversations: nobody may have looked at them.
    pub lists_flows: bool,
    /// Conversations alive, or ended less than 30 s ago; the busiest first.
    pub flows: Vec<Arc<FlowRow>>,
    /// Pairs of endpoints, in no order; listed where conversations are.
    pub pairs: Vec<PairRow>,
    /// What the kernel dropped in the last ten minutes, the most packets first.
    pub drops: Vec<DropRow>,
    /// What changed lately.
    pub journal: Arc<Shown>,
    /// Counters and gauges for the metrics, since the agent's start.
    pub totals: Totals,
    /// The agent about itself.
    pub health: Health,
}

impl Report {
    /// A report of nothing, before the first tick.
    #[must_use]
    pub fn empty(node: Arc<str>, time: Timestamp) -> Self {
        Self {
            time,
            node,
            interval: Duration::from_secs(1),
            endpoints: Vec::new(),
            links: Vec::new(),
            lists_flows: true,
            flows: Vec::new(),
            pairs: Vec::new(),
            drops: Vec::new(),
            journal: Arc::default(),
            totals: Totals::default(),
            health: Health::default(),
        }
    }

    /// The head every document starts with.
    #[must_use]
    pub fn head(&self) -> Head {
        Head {
            schema: SCHEMA.into(),
            time: self.time,
            node: Arc::clone(&self.node),
            interval_seconds: self.interval.as_secs_f64(),
        }
    }

    /// `netobs endpoints -o json`.
    #[must_use]
    pub fn endpoints_document(&self) -> EndpointsDocument {
        EndpointsDocument { head: self.head(), endpoints: self.endpoints.clone() }
    }

    /// `netobs flows -o json`, and `netobs top --once -o json`: the same rows in the order shown.
    #[must_use]
    pub fn flows_document(&self, keep: impl Fn(&FlowRow) -> bool) -> FlowsDocument {
        FlowsDocument {
            head: self.head(),
            flows: self.flows.iter().filter(|flow| keep(flow)).map(|flow| FlowRow::clone(flow)).collect(),
        }
    }

    /// `netobs drops -o json`.
    #[must_use]
    pub fn drops_document(&self) -> DropsDocument {
        DropsDocument { head: self.head(), drops: self.drops.clone() }
    }

    /// `netobs events -o json`: what changed since a moment.
    #[must_use]
    pub fn events_document(&self, since: Option<Timestamp>) -> EventsDocument {
        let events = self.journal.events.iter().filter(|one| since.is_none_or(|since| one.time >= since));
        EventsDocument {
            head: self.head(),
            events: events.cloned().collect(),
            forgotten: self.journal.forgotten.clone(),
        }
    }

    /// `/api/v1/status`: what the agent sees and what it does not.
    #[must_use]
    pub fn status_document(&self) -> StatusDocument {
        StatusDocument::of(self)
    }
}

/// The fields every document starts with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Head {
    /// Always `netobs/v1`.
    pub schema: Arc<str>,
    /// When the report was made, RFC 3339 in UTC.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The host's name.
    pub node: Arc<str>,
    /// Length of the tick rates are computed over, seconds.
    pub interval_seconds: f64,
}

/// Everybody on this host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointsDocument {
    /// The common head.
    #[serde(flatten)]
    pub head: Head,
    /// Sorted by id.
    pub endpoints: Vec<EndpointRow>,
}

/// Conversations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlowsDocument {
    /// The common head.
    #[serde(flatten)]
    pub head: Head,
    /// The busiest first.
    pub flows: Vec<FlowRow>,
}
