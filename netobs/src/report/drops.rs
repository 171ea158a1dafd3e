//! Packets the kernel dropped, as they are published.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Head,
    flows::Party,
    names::{HookName, ProtocolName, RoleName, words},
};

/// The reasons the metrics tell apart; others are `other`.
pub const DROP_REASONS: [&str; 30] = [
    "bpf_cgroup_egress",
    "bridge_ingress_stp_state",
    "cpu_backlog",
    "frag_reasm_timeout",
    "full_ring",
    "ip_csum",
    "ip_inaddrerrors",
    "ip_inhdr",
    "ip_innoroutes",
    "ip_outnoroutes",
    "ip_rpfilter",
    "neigh_createfail",
    "neigh_failed",
    "neigh_queuefull",
    "netfilter_drop",
    "no_socket",
    "not_specified",
    "pkt_too_big",
    "qdisc_drop",
    "qdisc_overlimit",
    "socket_backlog",
    "socket_filter",
    "socket_rcvbuff",
    "tc_egress",
    "tc_ingress",
    "tcp_csum",
    "tcp_listen_overflow",
    "udp_csum",
    "vxlan_vni_not_found",
    "xdp",
];

/// What a reason is called in the metrics that is none of them.
pub const OTHER_REASON: &str = "other";

words! {
    /// What a reason means for who sent the packet.
    DropClass {
        /// The packet is gone.
        Dropped = "dropped",
        /// The host answered that nobody is there.
        Answered = "answered",
        /// The host does not know how to reach the receiver.
        Unreachable = "unreachable",
    }
}

/// Packets that were dropped on the same way, at the same place and for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DropRow {
    /// Who sent them. Ports from 32,768 up, which tell nothing, are 0.
    pub source: Party,
    /// Whom they were for, by the addresses they had when they were dropped.
    pub destination: Party,
    /// Transport protocol.
    pub protocol: ProtocolName,
    /// The kernel's word for it, without its prefix and in lower case.
    pub reason: Arc<str>,
    /// What the reason means.
    pub class: DropClass,
    /// The function of the kernel that dropped them; `null` where the kernel does not tell.
    pub location: Option<Arc<str>>,
    /// The endpoint in whose network stack they were dropped; `null` for the host's.
    pub inside: Option<Arc<str>>,
    /// Where they were seen last; `null` where they came by no hook, as what the host's own firewall keeps in.
    pub last_hop: Option<DropHop>,
    /// Where they should have been seen next, if that is known.
    pub expected_next_hop: Option<DropHop>,
    /// Latest packet that was an attempt of which no flow tells: what the host's own firewall keeps in passes no hook.
    #[schemars(with = "Option<String>")]
    pub attempted: Option<Timestamp>,
    /// Socket buffers, as a firewall rule counts them.
    pub packets: u64,
    /// From the network header on, as a firewall rule counts them.
    pub bytes: u64,
    /// First packet.
    #[schemars(with = "String")]
    pub first_seen: Timestamp,
    /// Latest packet.
    #[schemars(with = "String")]
    pub last_seen: Timestamp,
}

/// A hook of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DropHop {
    /// Interface name.
    pub interface: Arc<str>,
    /// Which hook.
    pub hook: HookName,
    /// What the interface is for.
    pub role: RoleName,
}

/// What the kernel dropped in the last minutes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DropsDocument {
    /// The common head.
    #[serde(flatten)]
    pub head: Head,
    /// The most packets first.
    pub drops: Vec<DropRow>,
}
