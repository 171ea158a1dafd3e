//! The map as it is published: nodes that hang in one another, and edges between neighbours.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::{EdgeRole, Head, NodeKind, Verdict};

/// A host, as it is and as it flows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MapDocument {
    /// The common head.
    #[serde(flatten)]
    pub head: Head,
    /// Sorted by id.
    pub nodes: Vec<MapNode>,
    /// Sorted by both ends; at most one for each pair of nodes.
    pub edges: Vec<MapEdge>,
}

/// Something on the map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MapNode {
    /// An endpoint's or party's id (`host`, `container/web`, `node/b`, `external`), `bridge/NAME`, `uplink/NAME`,
    /// `overlay/NAME`, `device/NAME`, `nat`; `group/…` for several nodes drawn as one.
    pub id: Arc<str>,
    /// What it is.
    pub kind: NodeKind,
    /// Its name.
    pub name: Arc<str>,
    /// The node it hangs in: an endpoint's bridge or parent device, else the host; `null` for the host and for
    /// whoever is elsewhere.
    pub parent: Option<Arc<str>>,
    /// Its namespace, as in the list of endpoints.
    pub namespace: Option<Arc<str>>,
    /// What it is an instance of, as in the list of endpoints.
    pub workload: Option<Arc<str>>,
    /// The ids of what is drawn as this one node; empty but for groups.
    pub members: Vec<Arc<str>>,
}

/// Two neighbours, and what passes between them in both directions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MapEdge {
    /// The one nearer to the endpoints of this host.
    pub from: Arc<str>,
    /// The one nearer to the outside; the same node for what stays in the host's own stack.
    pub to: Arc<str>,
    /// By what they are connected.
    pub role: EdgeRole,
    /// Over the last tick, both directions, of all flows that pass here.
    pub bits_per_second: f64,
    /// The worst one of the flows that pass here; `unknown` where there are none.
    pub verdict: Verdict,
    /// How many flows pass here: alive, or ended less than 30 s ago.
    pub flows: u64,
    /// The host's interface that connects the two, where it is no node itself: a veth, a tap.
    pub interface: Option<Arc<str>>,
}
