//! The closed sets of words that metrics and JSON use.

use netobs_common::{endpoint::Kind, hook::Hook, interface::Role, wire::Protocol};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
        )]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every word, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in metrics, JSON and tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|one| one.name() == word).ok_or_else(|| {
                    let all: Vec<_> = Self::ALL.iter().map(|one| one.name()).collect();
                    format!("`{word}` is none of {}", all.join(", "))
                })
            }
        }
    };
}

pub(super) use words;

words! {
    /// What an endpoint is.
    KindName {
        /// The agent's own stack, or another node's.
        Host = "host",
        /// A guest behind a tap.
        Vm = "vm",
        /// A container.
        Container = "container",
        /// A pod.
        Pod = "pod",
        /// Beyond the uplink.
        External = "external",
        /// Not known.
        Unknown = "unknown",
    }
}

words! {
    /// How a flow travels; the first that applies.
    Path {
        /// Inside one network stack.
        Loopback = "loopback",
        /// Encapsulated to another node.
        Overlay = "overlay",
        /// By a macvlan device.
        Macvlan = "macvlan",
        /// To another node as is.
        RoutedRemote = "routed_remote",
        /// To or from outside.
        Uplink = "uplink",
        /// Between the host and an endpoint on it.
        HostDirect = "host_direct",
        /// Switched inside one bridge.
        Bridge = "bridge",
        /// Forwarded between two segments of this host.
        RoutedLocal = "routed_local",
        /// Not known.
        Unknown = "unknown",
    }
}

words! {
    /// Which addresses were translated on this host.
    Nat {
        /// None.
        None = "none",
        /// The source's.
        Snat = "snat",
        /// The destination's.
        Dnat = "dnat",
        /// Both.
        Both = "both",
        /// Not known: the flow table was full.
        Unknown = "unknown",
    }
}

words! {
    /// What the source addressed.
    Via {
        /// The destination itself.
        Direct = "direct",
        /// A port of the host that a container runtime publishes.
        PublishedPort = "published_port",
        /// A `hostPort` of a pod.
        HostPort = "host_port",
        /// A Service's cluster address.
        ClusterIp = "cluster_ip",
        /// A Service's port on a node.
        NodePort = "node_port",
        /// A Service's load balancer address.
        LoadBalancer = "load_balancer",
    }
}

words! {
    /// Where this host stands: near the sender, near the receiver, or between.
    Reporter {
        /// The sender of the direction is local.
        Source = "source",
        /// Only its receiver is local.
        Destination = "destination",
        /// Neither is local.
        Transit = "transit",
    }
}

words! {
    /// Direction of counted bytes, seen from the initiator.
    Direction {
        /// From source to destination.
        Forward = "forward",
        /// From destination to source.
        Reply = "reply",
        /// Not known: the flow table was full.
        Unknown = "unknown",
    }
}

words! {
    /// How the initiator was told.
    InitiatorBy {
        /// It sent the SYN.
        Syn = "syn",
        /// It is the source of conntrack's original direction.
        Conntrack = "conntrack",
        /// The other side is a listening socket.
        Listener = "listener",
        /// It sent the first packet seen.
        FirstPacket = "first_packet",
    }
}

words! {
    /// Protocols told apart.
    ProtocolName {
        /// TCP.
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
        /// SCTP.
        Sctp = "sctp",
        /// ICMP.
        Icmp = "icmp",
        /// ICMP of IPv6.
        Icmpv6 = "icmpv6",
        /// Address resolution.
        Arp = "arp",
        /// Anything else.
        Other = "other",
    }
}

words! {
    /// What can be said about reachability; docs/verdicts.md has the rules.
    Verdict {
        /// A kernel drop on this host matches.
        Dropped = "dropped",
        /// RST, or port unreachable.
        Refused = "refused",
        /// Other ICMP errors, no route, no neighbour.
        Unreachable = "unreachable",
        /// One direction only.
        OneWay = "one_way",
        /// Nothing came back.
        Unanswered = "unanswered",
        /// Answered, with losses.
        Degraded = "degraded",
        /// Both directions proven by packets.
        Reachable = "reachable",
        /// Nothing can be said.
        Unknown = "unknown",
    }
}

words! {
    /// What became of an attempt to connect.
    Outcome {
        /// It was answered.
        Established = "established",
        /// RST, or port unreachable.
        Refused = "refused",
        /// Nothing came back.
        Unanswered = "unanswered",
        /// Other ICMP errors, no route, no neighbour.
        Unreachable = "unreachable",
        /// A kernel drop on this host matches.
        Dropped = "dropped",
    }
}

words! {
    /// Observed facts.
    EvidenceKind {
        /// SYN with ACK.
        SynAck = "syn_ack",
        /// A packet of the other direction.
        ReplyPacket = "reply_packet",
        /// All three packets of a handshake.
        Handshake = "handshake",
        /// A reset.
        Rst = "rst",
        /// A SYN again.
        SynRetransmit = "syn_retransmit",
        /// Nothing came back in time.
        NoReply = "no_reply",
        /// An ICMP error that quotes the flow.
        IcmpError = "icmp_error",
        /// A neighbour that did not answer.
        NeighborUnanswered = "neighbor_unanswered",
        /// A packet the kernel dropped.
        Drop = "drop",
        /// A segment again.
        Retransmit = "retransmit",
        /// Segments in at one hop and not out at the next.
        HopLoss = "hop_loss",
        /// An error given to a socket.
        SocketError = "socket_error",
    }
}

words! {
    /// Why a flow is over.
    Close {
        /// Both sides finished.
        Fin = "fin",
        /// One side reset it.
        Rst = "rst",
        /// Nothing for a while.
        Idle = "idle",
        /// Detail given up for newer flows.
        Evicted = "evicted",
    }
}

words! {
    /// The two places where tc shows a packet of an interface.
    HookName {
        /// Received.
        Ingress = "ingress",
        /// About to be sent.
        Egress = "egress",
    }
}

words! {
    /// What an interface is for.
    RoleName {
        /// The host's end of an endpoint's pair.
        Veth = "veth",
        /// A guest's network card.
        Tap = "tap",
        /// A bridge's own device.
        Bridge = "bridge",
        /// A device that encapsulates.
        Overlay = "overlay",
        /// A macvlan or ipvlan device.
        Macvlan = "macvlan",
        /// The way out.
        Uplink = "uplink",
        /// `lo`.
        Loopback = "loopback",
        /// None of these.
        Other = "other",
    }
}

words! {
    /// A role and a hook, as one word: where on its way a packet was.
    HopName {
        /// Ingress of a interface with the role `veth`.
        VethIngress = "veth_ingress",
        /// Egress of a interface with the role `veth`.
        VethEgress = "veth_egress",
        /// Ingress of a interface with the role `tap`.
        TapIngress = "tap_ingress",
        /// Egress of a interface with the role `tap`.
        TapEgress = "tap_egress",
        /// Ingress of a interface with the role `bridge`.
        BridgeIngress = "bridge_ingress",
        /// Egress of a interface with the role `bridge`.
        BridgeEgress = "bridge_egress",
        /// Ingress of an interface with the role `overlay`.
        OverlayIngress = "overlay_ingress",
        /// Egress of an interface with the role `overlay`.
        OverlayEgress = "overlay_egress",
        /// Ingress of a interface with the role `macvlan`.
        MacvlanIngress = "macvlan_ingress",
        /// Egress of a interface with the role `macvlan`.
        MacvlanEgress = "macvlan_egress",
        /// Ingress of an interface with the role `uplink`.
        UplinkIngress = "uplink_ingress",
        /// Egress of an interface with the role `uplink`.
        UplinkEgress = "uplink_egress",
        /// Ingress of a interface with the role `loopback`.
        LoopbackIngress = "loopback_ingress",
        /// Egress of a interface with the role `loopback`.
        LoopbackEgress = "loopback_egress",
        /// Ingress of an interface with the role `other`.
        OtherIngress = "other_ingress",
        /// Egress of an interface with the role `other`.
        OtherEgress = "other_egress",
    }
}

impl HopName {
    /// The word of a place.
    #[must_use]
    pub const fn of(role: RoleName, hook: HookName) -> Self {
        let [ingress, egress] = match role {
            RoleName::Veth => [Self::VethIngress, Self::VethEgress],
            RoleName::Tap => [Self::TapIngress, Self::TapEgress],
            RoleName::Bridge => [Self::BridgeIngress, Self::BridgeEgress],
            RoleName::Overlay => [Self::OverlayIngress, Self::OverlayEgress],
            RoleName::Macvlan => [Self::MacvlanIngress, Self::MacvlanEgress],
            RoleName::Uplink => [Self::UplinkIngress, Self::UplinkEgress],
            RoleName::Loopback => [Self::LoopbackIngress, Self::LoopbackEgress],
            RoleName::Other => [Self::OtherIngress, Self::OtherEgress],
        };
        match hook {
            HookName::Ingress => ingress,
            HookName::Egress => egress,
        }
    }
}

impl From<Kind> for KindName {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::HOST => Self::Host,
            Kind::VM => Self::Vm,
            Kind::CONTAINER => Self::Container,
            Kind::POD => Self::Pod,
            Kind::EXTERNAL => Self::External,
            _ => Self::Unknown,
        }
    }
}

impl From<KindName> for Kind {
    fn from(kind: KindName) -> Self {
        match kind {
            KindName::Host => Self::HOST,
            KindName::Vm => Self::VM,
            KindName::Container => Self::CONTAINER,
            KindName::Pod => Self::POD,
            KindName::External => Self::EXTERNAL,
            KindName::Unknown => Self::UNKNOWN,
        }
    }
}

impl From<Protocol> for ProtocolName {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::TCP => Self::Tcp,
            Protocol::UDP => Self::Udp,
            Protocol::SCTP => Self::Sctp,
            Protocol::ICMP => Self::Icmp,
            Protocol::ICMPV6 => Self::Icmpv6,
            Protocol::ARP => Self::Arp,
            _ => Self::Other,
        }
    }
}

impl From<Hook> for HookName {
    fn from(hook: Hook) -> Self {
        if hook == Hook::INGRESS { Self::Ingress } else { Self::Egress }
    }
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::VETH => Self::Veth,
            Role::TAP => Self::Tap,
            Role::BRIDGE => Self::Bridge,
            Role::OVERLAY => Self::Overlay,
            Role::MACVLAN => Self::Macvlan,
            Role::UPLINK => Self::Uplink,
            Role::LOOPBACK => Self::Loopback,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_reads_back() {
        for path in Path::ALL {
            assert_eq!(path.name().parse::<Path>().as_ref(), Ok(path));
            assert_eq!(serde_json::to_value(path).unwrap(), path.name());
        }
    }

    #[test]
    fn a_wrong_word_names_the_right_ones() {
        assert_eq!("up".parse::<HookName>().unwrap_err(), "`up` is none of ingress, egress");
    }

    #[test]
    fn kinds_survive_the_kernel_boundary() {
        for &kind in KindName::ALL {
            assert_eq!(KindName::from(Kind::from(kind)), kind);
            assert_eq!(Kind::from(kind).name(), kind.name());
        }
    }

    #[test]
    fn a_hop_is_named_by_its_role_and_its_hook() {
        for role in RoleName::ALL {
            for hook in HookName::ALL {
                assert_eq!(HopName::of(*role, *hook).name(), format!("{role}_{hook}"));
            }
        }
    }
}
