//! Counters and gauges for the metrics. Label values come from closed sets or a workload's name;
//! never an interface, an address or a port.

use std::{collections::BTreeMap, sync::Arc};

use netobs_common::{counters::Counters, drop::Dropped, icmp_error::IcmpErrorType};

use super::{
    histogram::Histogram,
    names::{
        Close, Direction, EvidenceKind, HookName, HopName, KindName, Nat, Outcome, Path, ProtocolName,
        Reporter, RoleName, Verdict,
    },
};

/// Labels of `netobs_path_bytes_total` and `netobs_path_packets_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathLabels {
    /// The initiator's kind.
    pub source_kind: KindName,
    /// The other side's kind.
    pub destination_kind: KindName,
    /// How it travels.
    pub path: Path,
    /// Which addresses were translated.
    pub nat: Nat,
    /// Transport protocol.
    pub protocol: ProtocolName,
    /// Direction of the bytes.
    pub direction: Direction,
    /// Where this host stands in that direction.
    pub reporter: Reporter,
}

/// Labels of `netobs_path_flows` and the flows opened and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathFlowLabels {
    /// The initiator's kind.
    pub source_kind: KindName,
    /// The other side's kind.
    pub destination_kind: KindName,
    /// How it travels.
    pub path: Path,
    /// Transport protocol.
    pub protocol: ProtocolName,
}

/// Labels of pairs of endpoints, of evidence and of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PairLabels {
    /// The initiator's kind.
    pub source_kind: KindName,
    /// The other side's kind.
    pub destination_kind: KindName,
    /// How it travels.
    pub path: Path,
}

impl From<PathFlowLabels> for PairLabels {
    fn from(flow: PathFlowLabels) -> Self {
        Self { source_kind: flow.source_kind, destination_kind: flow.destination_kind, path: flow.path }
    }
}

/// Labels of `netobs_dropped_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DropLabels {
    /// Who sent it to whom, by which way.
    pub pair: PairLabels,
    /// What the interface is for where it was seen last, if it was seen.
    pub last_hop: Option<RoleName>,
    /// Why: one of thirty reasons, or `other`.
    pub reason: &'static str,
}

/// What is booked between two workloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkloadAmounts {
    /// Bytes and packets.
    pub carried: Counters,
    /// Attempts to connect that were decided.
    pub attempts: u64,
    /// Packets that the kernel dropped.
    pub dropped: u64,
}

impl WorkloadAmounts {
    /// Adds.
    pub const fn add(&mut self, more: Self) {
        self.carried.add(more.carried);
        self.attempts += more.attempts;
        self.dropped += more.dropped;
    }
}

/// Labels of `netobs_workload_*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadLabels {
    /// The sender's side of the flow: the initiator's kind.
    pub source_kind: KindName,
    /// The initiator's namespace, empty where there is none.
    pub source_namespace: Arc<str>,
    /// The initiator's workload, else its name; `external`, `host`.
    pub source_workload: Arc<str>,
    /// The other side's kind.
    pub destination_kind: KindName,
    /// The other side's namespace.
    pub destination_namespace: Arc<str>,
    /// The other side's workload.
    pub destination_workload: Arc<str>,
    /// Where this host stands.
    pub reporter: Reporter,
}

/// What TCP headers said of the connections of a kind of pair.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TcpTotals {
    /// How long handshakes took.
    pub handshakes: Histogram,
    /// How long echoes took.
    pub round_trips: Histogram,
    /// Segments sent again.
    pub retransmits: u64,
    /// Connections that were reset.
    pub resets: u64,
}

/// Labels of `netobs_hop_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HopLabels {
    /// What the interface is for.
    pub role: RoleName,
    /// Which hook.
    pub hook: HookName,
}

/// Everything the metrics need that grows, and the gauges computed with it.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Booked bytes and packets, each conversation once.
    pub paths: BTreeMap<PathLabels, Counters>,
    /// Flows alive now.
    pub flows: BTreeMap<PathFlowLabels, u64>,
    /// Flows that began.
    pub opened: BTreeMap<PathFlowLabels, u64>,
    /// Flows that ended, and how.
    pub closed: BTreeMap<(PathFlowLabels, Close), u64>,
    /// Booked bytes and packets by workload.
    pub workloads: BTreeMap<WorkloadLabels, WorkloadAmounts>,
    /// Pairs of endpoints, by the verdict they are in.
    pub pairs: BTreeMap<(PairLabels, Verdict), u64>,
    /// Conversations in which a fact was observed.
    pub evidence: BTreeMap<(PairLabels, EvidenceKind), u64>,
    /// Attempts to connect, each once, when it is decided.
    pub attempts: BTreeMap<(PairLabels, Outcome), u64>,
    /// ICMP errors, each once, by the conversation they are about.
    pub icmp_errors: BTreeMap<(PairLabels, IcmpErrorType), u64>,
    /// Neighbours that were asked for and did not answer.
    pub neighbour_failures: BTreeMap<PairLabels, u64>,
    /// What TCP headers said.
    pub tcp: BTreeMap<PairLabels, TcpTotals>,
    /// Packets that the kernel dropped.
    pub dropped: BTreeMap<DropLabels, Dropped>,
    /// Socket buffers that the kernel freed and that are no drops of a packet, by reason.
    pub dropped_apart: BTreeMap<Arc<str>, u64>,
    /// Everything seen, by hop: a packet counts at each.
    pub hops: BTreeMap<HopLabels, Counters>,
    /// Segments that passed one hop and not the next.
    pub hop_lost: BTreeMap<(Path, HopName, HopName), u64>,
    /// Conversations with an address that was translated.
    pub translations: BTreeMap<Nat, u64>,
    /// Endpoints now, by kind, mode (the bare word) and runtime.
    pub endpoints: BTreeMap<(KindName, Arc<str>, Arc<str>), u64>,
    /// Packets counted in `paths` whose flow has no detail.
    pub overflow_packets: u64,
    /// Bytes waiting for identity, NAT or direction to settle.
    pub pending_bytes: u64,
    /// Sightings that were not joined with a connection, because several zones of conntrack have their tuple.
    pub ambiguous_sightings: u64,
    /// Bytes booked with an unknown endpoint kind on either side.
    pub unattributed_bytes: u64,
    /// Series not given a row of their own, by metric family.
    pub series_overflow: BTreeMap<&'static str, u64>,
}
