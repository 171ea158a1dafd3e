//! Conversations as they are published.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use netobs_common::counters::Counters;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{
    EvidenceKind, HookName, InitiatorBy, KindName, Nat, Path, ProtocolName, Reporter, RoleName, Verdict, Via,
};

/// One conversation, both directions, whatever happens to its tuple on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlowRow {
    /// Stable for the flow's life, unique in the agent's.
    pub id: Arc<str>,
    /// The initiator.
    pub source: Party,
    /// The other side, after translation.
    pub destination: Party,
    /// How the initiator was told.
    pub initiator_by: InitiatorBy,
    /// What the source addressed, where it is not the destination itself.
    pub original_destination: Option<OriginalDestination>,
    /// Transport protocol.
    pub protocol: ProtocolName,
    /// How it travels.
    pub path: Path,
    /// Which addresses were translated on this host.
    pub nat: Nat,
    /// What the source addressed.
    pub via: Via,
    /// Where this host stands in the forward direction.
    pub reporter: Reporter,
    /// The encapsulation, if any.
    pub overlay: Option<Overlay>,
    /// The process that made this connection on behalf of another one (`docker-proxy`).
    pub proxied_by: Option<Arc<str>>,
    /// From source to destination, at the counting interface.
    pub forward: Amounts,
    /// From destination to source, at the counting interface.
    pub reply: Amounts,
    /// Where it was seen, in the order of travel: forward, then reply.
    pub hops: Vec<HopRow>,
    /// What only TCP has.
    pub tcp: Option<Tcp>,
    /// What can be said about reachability.
    pub verdict: Verdict,
    /// Why.
    pub evidence: Vec<Evidence>,
    /// First packet.
    #[schemars(with = "String")]
    pub first_seen: Timestamp,
    /// Latest packet.
    #[schemars(with = "String")]
    pub last_seen: Timestamp,
}

impl FlowRow {
    /// Bits per second of both directions.
    #[must_use]
    pub fn bits_per_second(&self) -> f64 {
        self.forward.bits_per_second + self.reply.bits_per_second
    }
}

/// One side of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Party {
    /// The endpoint's id (`container/web`, `host`, `external`), or `unknown`.
    pub endpoint: Arc<str>,
    /// Its kind.
    pub kind: KindName,
    /// Its address.
    pub address: IpAddr,
    /// Its port; the identifier of an ICMP echo; 0 where there are none.
    pub port: u16,
    /// The process whose socket it is, if that is one of the host's stack and was seen being opened or bound.
    pub process: Option<SocketProcess>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SocketProcess {
    /// Its number, as the host sees it.
    pub pid: u32,
    /// The name of the thread that opened the socket, at most 15 bytes of it.
    pub name: Arc<str>,
}

/// What the source addressed before translation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OriginalDestination {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// `NAMESPACE/NAME` of the Service, if one is known by that address.
    pub service: Option<Arc<str>>,
}

/// An encapsulation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Overlay {
    /// `vxlan`, `geneve`, `gre`, `ipip`, `wireguard`.
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// Virtual network identifier.
    pub vni: Option<u32>,
    /// Outer sender; `null` with `wireguard`, whose datagrams cannot be tied to what is in them.
    pub outer_source: Option<IpAddr>,
    /// Outer receiver, likewise.
    pub outer_destination: Option<IpAddr>,
}

/// Counters of one direction since the flow began, and its rate over the last tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Amounts {
    /// Socket buffers.
    pub packets: u64,
    /// Segments on a cable.
    pub segments: u64,
    /// Sum of `skb->len`.
    pub bytes: u64,
    /// Over the last tick.
    pub bits_per_second: f64,
}

impl Amounts {
    /// Counters with a rate.
    #[must_use]
    pub const fn new(counters: Counters, bits_per_second: f64) -> Self {
        Self {
            packets: counters.packets,
            segments: counters.segments,
            bytes: counters.bytes,
            bits_per_second,
        }
    }
}

impl FlowRow {
    /// Whether it is a question for a neighbour that stays without an answer: nothing for that one is ever sent.
    #[must_use]
    pub fn is_vain_question(&self) -> bool {
        matches!(self.protocol, ProtocolName::Arp | ProtocolName::Icmpv6)
            && self.destination.port == 0
            && self.verdict == Verdict::Unreachable
            && self.evidence.iter().any(|one| one.kind == EvidenceKind::NeighborUnanswered)
    }
}

/// Which direction a hop carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HopDirection {
    /// From source to destination.
    Forward,
    /// From destination to source.
    Reply,
}

impl HopDirection {
    /// Both, forward first.
    pub const BOTH: [Self; 2] = [Self::Forward, Self::Reply];

    /// The other one.
    #[must_use]
    pub const fn turned(self) -> Self {
        match self {
            Self::Forward => Self::Reply,
            Self::Reply => Self::Forward,
        }
    }
}

/// One tc hook of one interface that saw the flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HopRow {
    /// Direction of the packets counted here.
    pub direction: HopDirection,
    /// Interface name.
    pub interface: Arc<str>,
    /// Interface index.
    pub ifindex: u32,
    /// The endpoint inside whose network stack the interface is; `null` on the host's own.
    pub inside: Option<Arc<str>>,
    /// Which hook.
    pub hook: HookName,
    /// What the interface is for.
    pub role: RoleName,
    /// What the flow was seen inside of here (`vxlan`, `geneve`, `gre`, `ipip`): then the addresses are those of
    /// the outer packet.
    pub encapsulation: Option<Arc<str>>,
    /// `address:port` of the sender as seen here.
    pub source: Arc<str>,
    /// `address:port` of the receiver as seen here.
    pub destination: Arc<str>,
    /// Socket buffers.
    pub packets: u64,
    /// Segments on a cable.
    pub segments: u64,
    /// Sum of `skb->len`.
    pub bytes: u64,
    /// Segments that passed here and not the next hop, once both have been quiet for two seconds. `null` before that,
    /// at the last hop, and where the two cannot be compared: fragments are made or put together in between, or
    /// one of them was observed later.
    pub lost_segments: Option<u64>,
}

/// What only TCP has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tcp {
    /// From the flags seen.
    pub state: TcpState,
    /// From SYN to the ACK that completes the handshake.
    pub handshake_seconds: Option<f64>,
    /// Smoothed.
    pub rtt_seconds: Option<f64>,
    /// Segments sent again; `null` where they are not counted.
    pub retransmits: Option<u64>,
    /// Resets seen.
    pub resets: u64,
    /// Zero windows announced; `null` where they are not counted.
    pub zero_windows: Option<u64>,
}

/// The state of a connection, from the flags seen on both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TcpState {
    /// SYN seen, no answer yet.
    SynSent,
    /// SYN and SYN-ACK seen.
    SynReceived,
    /// Data may flow.
    Established,
    /// One side has finished.
    Closing,
    /// Both have finished.
    Closed,
    /// Reset.
    Reset,
    /// Joined in the middle.
    Unknown,
}

/// An observed fact about a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// What.
    pub kind: EvidenceKind,
    /// How often.
    pub count: u64,
    /// First time.
    #[schemars(with = "String")]
    pub first_seen: Timestamp,
    /// Latest time.
    #[schemars(with = "String")]
    pub last_seen: Timestamp,
    /// Interface and hook where it was seen.
    pub hop: Option<Arc<str>>,
    /// What else is known.
    pub detail: Option<Arc<str>>,
}
