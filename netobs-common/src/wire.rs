//! Numbers as they stand on the wire. Newtypes, not enums: a packet may carry any value.

/// EtherType (IEEE 802 numbers).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// Address resolution (RFC 826).
    pub const ARP: Self = Self(0x0806);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
    /// Customer tag, IEEE 802.1Q.
    pub const VLAN: Self = Self(0x8100);
    /// Service tag, IEEE 802.1ad (QinQ).
    pub const SERVICE_VLAN: Self = Self(0x88a8);
}

/// The network layer of a flow.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(pub u8);

impl Network {
    /// Address resolution, no IP at all.
    pub const ARP: Self = Self(0);
    /// IPv4.
    pub const IPV4: Self = Self(4);
    /// IPv6.
    pub const IPV6: Self = Self(6);
}

/// IP protocol number (IANA protocol-numbers), or IPv6 next header.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Proto(pub u8);

impl Proto {
    /// Hop-by-hop options (RFC 8200); also the number ARP flows carry.
    pub const HOP_BY_HOP: Self = Self(0);
    /// Internet control messages.
    pub const ICMP: Self = Self(1);
    /// IPv4 inside another packet (RFC 2003).
    pub const IPIP: Self = Self(4);
    /// Transmission control.
    pub const TCP: Self = Self(6);
    /// User datagrams.
    pub const UDP: Self = Self(17);
    /// IPv6 inside another packet (RFC 4213, RFC 2473).
    pub const IPV6: Self = Self(41);
    /// Routing header.
    pub const ROUTING: Self = Self(43);
    /// Fragment header.
    pub const FRAGMENT: Self = Self(44);
    /// Generic routing encapsulation (RFC 2784).
    pub const GRE: Self = Self(47);
    /// Authentication header (RFC 4302).
    pub const AUTHENTICATION: Self = Self(51);
    /// Internet control messages of IPv6.
    pub const ICMPV6: Self = Self(58);
    /// Destination options.
    pub const DESTINATION_OPTIONS: Self = Self(60);
    /// Stream control transmission (RFC 9260).
    pub const SCTP: Self = Self(132);
    /// Mobility header (RFC 6275).
    pub const MOBILITY: Self = Self(135);
}

/// The closed set of protocols that metrics and JSON name.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Anything else.
    pub const OTHER: Self = Self(0);
    /// TCP.
    pub const TCP: Self = Self(1);
    /// UDP.
    pub const UDP: Self = Self(2);
    /// SCTP.
    pub const SCTP: Self = Self(3);
    /// ICMP.
    pub const ICMP: Self = Self(4);
    /// ICMP of IPv6, neighbour discovery included.
    pub const ICMPV6: Self = Self(5);
    /// Address resolution.
    pub const ARP: Self = Self(6);
    /// How many there are, for tables indexed by protocol.
    pub const COUNT: u32 = 7;

    /// The protocol of a flow.
    #[must_use]
    #[inline(always)]
    pub const fn of(network: Network, proto: Proto) -> Self {
        if network.0 == Network::ARP.0 {
            return Self::ARP;
        }
        match proto {
            Proto::TCP => Self::TCP,
            Proto::UDP => Self::UDP,
            Proto::SCTP => Self::SCTP,
            Proto::ICMP => Self::ICMP,
            Proto::ICMPV6 => Self::ICMPV6,
            _ => Self::OTHER,
        }
    }

    /// The name in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TCP => "tcp",
            Self::UDP => "udp",
            Self::SCTP => "sctp",
            Self::ICMP => "icmp",
            Self::ICMPV6 => "icmpv6",
            Self::ARP => "arp",
            _ => "other",
        }
    }
}

/// The flag byte of a TCP header (RFC 9293, 3.1).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Opens a connection.
    pub const SYN: Self = Self(0x02);
    /// Resets it.
    pub const RST: Self = Self(0x04);
    /// Acknowledges.
    pub const ACK: Self = Self(0x10);

    /// Whether all flags of `other` are set.
    #[must_use]
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// ICMP message types that make a flow of their own (RFC 792, RFC 4443, RFC 4861).
pub mod icmp {
    /// Echo reply, ICMP.
    pub const ECHO_REPLY: u8 = 0;
    /// Echo request, ICMP.
    pub const ECHO_REQUEST: u8 = 8;
    /// Echo request, ICMPv6.
    pub const V6_ECHO_REQUEST: u8 = 128;
    /// Echo reply, ICMPv6.
    pub const V6_ECHO_REPLY: u8 = 129;
    /// First of the neighbour discovery types, router solicitation.
    pub const V6_ROUTER_SOLICITATION: u8 = 133;
    /// Asks for a neighbour.
    pub const V6_NEIGHBOUR_SOLICITATION: u8 = 135;
    /// A neighbour answers.
    pub const V6_NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    /// What stands in the place of the asked neighbour's port, in both directions.
    pub const ASKS_FOR_NEIGHBOUR: u16 = u16::from_be_bytes([V6_NEIGHBOUR_SOLICITATION, 0]);
    /// Last of the neighbour discovery types, redirect.
    pub const V6_REDIRECT: u8 = 137;
}
