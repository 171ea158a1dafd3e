//! ICMP errors as the kernel side counts them: the packet each quotes, what it says of it, and how often.

use crate::{
    endpoint::EndpointId,
    key::{Address, FlowKey, Origin},
    wire::Network,
};

/// Equal errors about equal packets, at one hook.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct IcmpErrorKey {
    /// The quoted packet, as its own sighting would have it on this interface, but that the hook is the error's. Its
    /// VLANs and its tunnel are the error's too.
    pub quoted: FlowKey,
    /// Type of the message.
    pub kind: u8,
    /// Code of the message.
    pub code: u8,
    /// Whether this host made the error or forwards it.
    pub origin: Origin,
    /// Zero.
    pub padding: u8,
}

const _: () = assert!(size_of::<IcmpErrorKey>() == size_of::<FlowKey>() + 4);

/// What is counted of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IcmpError {
    /// Errors.
    pub count: u64,
    /// Nanoseconds of the monotonic clock at the first one.
    pub first_seen: u64,
    /// At the latest one.
    pub last_seen: u64,
    /// Who sent the latest one.
    pub reporter: Address,
    /// To whom the errors go, as classified at the latest one: the sender of the quoted packet.
    pub receiver: EndpointId,
    /// What the next hop takes, where the packet was too big: of the latest one, 0 where it does not say.
    pub mtu: u32,
}

const _: () = assert!(size_of::<IcmpError>() == 3 * 8 + 16 + 4 + 4);

/// What errors are told apart by in metrics. Any byte is valid; unknown ones mean [`IcmpErrorType::NONE`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IcmpErrorType(pub u8);

impl IcmpErrorType {
    /// No error.
    pub const NONE: Self = Self(0);
    /// No route.
    pub const NET_UNREACHABLE: Self = Self(1);
    /// The neighbour does not answer.
    pub const HOST_UNREACHABLE: Self = Self(2);
    /// The receiver does not know the protocol.
    pub const PROTOCOL_UNREACHABLE: Self = Self(3);
    /// Nobody listens.
    pub const PORT_UNREACHABLE: Self = Self(4);
    /// Larger than the next hop takes.
    pub const FRAGMENTATION_NEEDED: Self = Self(5);
    /// A rule forbids it.
    pub const PROHIBITED: Self = Self(6);
    /// Too many hops, or a datagram of which fragments are missing.
    pub const TIME_EXCEEDED: Self = Self(7);
    /// A header that the reporter does not understand.
    pub const PARAMETER_PROBLEM: Self = Self(8);
    /// Any other.
    pub const OTHER: Self = Self(9);
    /// How many there are, [`IcmpErrorType::NONE`] included.
    pub const COUNT: u32 = 10;

    /// Every one but [`IcmpErrorType::NONE`].
    pub fn all() -> impl Iterator<Item = Self> {
        (1..Self::COUNT as u8).map(Self)
    }

    /// Of a message: destination unreachable, time exceeded and parameter problem (RFC 792, RFC 1812 5.2.7; RFC 4443,
    /// 3), packet too big (RFC 4443, 3.2).
    #[must_use]
    #[inline(always)]
    pub const fn of(network: Network, kind: u8, code: u8) -> Self {
        match (network, kind, code) {
            (Network::IPV4, 3, 0 | 6 | 11) | (Network::IPV6, 1, 0) => Self::NET_UNREACHABLE,
            (Network::IPV4, 3, 1 | 7 | 12) | (Network::IPV6, 1, 3) => Self::HOST_UNREACHABLE,
            (Network::IPV4, 3, 2) | (Network::IPV6, 4, 1) => Self::PROTOCOL_UNREACHABLE,
            (Network::IPV4, 3, 3) | (Network::IPV6, 1, 4) => Self::PORT_UNREACHABLE,
            (Network::IPV4, 3, 4) | (Network::IPV6, 2, _) => Self::FRAGMENTATION_NEEDED,
            (Network::IPV4, 3, 9 | 10 | 13) | (Network::IPV6, 1, 1 | 5 | 6) => Self::PROHIBITED,
            (Network::IPV4, 11, _) | (Network::IPV6, 3, _) => Self::TIME_EXCEEDED,
            (Network::IPV4, 12, _) | (Network::IPV6, 4, _) => Self::PARAMETER_PROBLEM,
            (Network::IPV4, 3, _) | (Network::IPV6, 1, _) => Self::OTHER,
            _ => Self::NONE,
        }
    }

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NET_UNREACHABLE => "net_unreachable",
            Self::HOST_UNREACHABLE => "host_unreachable",
            Self::PROTOCOL_UNREACHABLE => "protocol_unreachable",
            Self::PORT_UNREACHABLE => "port_unreachable",
            Self::FRAGMENTATION_NEEDED => "fragmentation_needed",
            Self::PROHIBITED => "prohibited",
            Self::TIME_EXCEEDED => "time_exceeded",
            Self::PARAMETER_PROBLEM => "parameter_problem",
            Self::OTHER => "other",
            _ => "none",
        }
    }
}
