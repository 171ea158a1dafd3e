//! Why A does or does not reach B, as it is published.

use std::{net::IpAddr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Head,
    drops::DropHop,
    flows::{Evidence, HopRow},
    names::{KindName, Path, ProtocolName, Verdict, words},
    probe::ProbeRow,
};

words! {
    /// Why A does not reach B; docs/runbooks has a page for each.
    CauseName {
        /// This host does not forward packets.
        ForwardingOff = "forwarding_off",
        /// The answer to the source would leave by another interface than the one it came in by.
        ReversePathFilter = "reverse_path_filter",
        /// Nobody knows the way to the destination.
        NoRoute = "no_route",
        /// Two interfaces claim the same addresses.
        OverlappingSubnets = "overlapping_subnets",
        /// The bridge lets nothing through at a port.
        BridgePortDown = "bridge_port_down",
        /// An interface on the way is down.
        LinkDown = "link_down",
        /// Nobody answers for the destination's address on its link.
        NeighborUnanswered = "neighbor_unanswered",
        /// A rule of this host's firewall drops it.
        FirewallDrop = "firewall_drop",
        /// A rule of this host's firewall rejects it.
        FirewallReject = "firewall_reject",
        /// A chain made for a NetworkPolicy drops or rejects it.
        NetworkPolicy = "network_policy",
        /// Frames within one bridge are given to the firewall for routed packets, which drops them.
        BridgeNetfilter = "bridge_netfilter",
        /// The Service has nobody behind it.
        ServiceWithoutEndpoints = "service_without_endpoints",
        /// A rule drops the packets that carry others to another node.
        UnderlayBlocked = "underlay_blocked",
        /// Nobody waits at the port.
        NoListener = "no_listener",
        /// Who waits at the port does so for other addresses.
        ListensElsewhere = "listens_elsewhere",
        /// A private address left this host as it was.
        MissingMasquerade = "missing_masquerade",
        /// Encapsulated packets do not fit the network below, and may not be cut.
        OverlayMtu = "overlay_mtu",
        /// It left this host, and nothing came back.
        BeyondThisHost = "beyond_this_host",
    }
}

words! {
    /// How far a cause is proven.
    Confidence {
        /// What was observed follows from what is configured, and from nothing else that is known.
        Certain = "certain",
        /// It would explain all that was observed.
        Likely = "likely",
        /// It is configured so, and nothing observed speaks against it.
        Possible = "possible",
    }
}

/// One end of the question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskedSide {
    /// As it was asked for.
    pub selector: Arc<str>,
    /// The endpoint's id; `unknown` where nobody on this host is meant.
    pub endpoint: Arc<str>,
    /// Its kind.
    pub kind: KindName,
    /// The address in question, if it is one.
    pub address: Option<IpAddr>,
    /// The port, if one was asked for or seen.
    pub port: Option<u16>,
}

/// One cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// What.
    pub cause: CauseName,
    /// How far it is proven.
    pub confidence: Confidence,
    /// What was seen.
    pub observed: Arc<str>,
    /// What is configured.
    pub configured: Arc<str>,
    /// What to change.
    pub advice: Arc<str>,
    /// A command that reads and changes nothing.
    pub check: Arc<str>,
}

/// The answer to `netobs explain A B`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The common head.
    #[serde(flatten)]
    pub head: Head,
    /// Who wants to reach somebody.
    pub source: AskedSide,
    /// Whom.
    pub destination: AskedSide,
    /// By which protocol, as far as packets were seen.
    pub protocol: Option<ProtocolName>,
    /// By which way, likewise.
    pub path: Option<Path>,
    /// What can be said about reachability.
    pub verdict: Verdict,
    /// Where packets were seen last; `null` where none was.
    pub last_hop: Option<DropHop>,
    /// Where they should have been seen next, if that is known.
    pub expected_next_hop: Option<DropHop>,
    /// What was observed, in order of time.
    pub evidence: Vec<Evidence>,
    /// Why, the best proven first; empty where nothing is wrong, or nothing was seen.
    pub causes: Vec<Cause>,
    /// The way of the conversation this is about.
    pub hops: Vec<HopRow>,
    /// What became of the connection that was opened; `null` where none was (`netobs explain`).
    pub probe: Option<ProbeRow>,
    /// What could not be read of the configuration.
    pub unread: Vec<String>,
}
