//! Conditions and targets of iptables that its nftables back end keeps in their own form. Plain data.

use std::net::IpAddr;

/// Ports from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
    /// Whether all others are meant.
    pub inverted: bool,
}

impl Ports {
    /// Whether any port will do.
    #[must_use]
    pub const fn is_any(self) -> bool {
        self.first == 0 && self.last == u16::MAX && !self.inverted
    }
}

/// Addresses from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The first.
    pub first: IpAddr,
    /// The last.
    pub last: IpAddr,
    /// Whether all others are meant.
    pub inverted: bool,
}

/// Which flags of TCP are looked at, and which of them are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFlags {
    /// Looked at.
    pub mask: u8,
    /// Set.
    pub set: u8,
    /// Whether anything else is meant.
    pub inverted: bool,
}

/// What `-m conntrack` and `-m state` look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `XT_CONNTRACK_STATE_…`, and whether all others are meant.
    pub states: Option<(u16, bool)>,
    /// `IPS_…`, likewise.
    pub status: Option<(u16, bool)>,
    /// Whether packets of the original direction are meant; otherwise answers.
    pub original: Option<bool>,
    /// Whether it looks at more, which is not read.
    pub more: bool,
    /// Whether it was written as `-m state`.
    pub is_state: bool,
}

/// `-m addrtype`: masks of `1 << RTN_…`, 0 for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressTypes {
    /// Of the source, and whether all others are meant.
    pub source: (u16, bool),
    /// Of the destination, likewise.
    pub destination: (u16, bool),
    /// Whether only addresses of the interface it came by, or leaves by, count.
    pub of_interface: Option<bool>,
}

/// An interface by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, or the beginning of it.
    pub name: String,
    /// Whether any name that begins so is meant.
    pub prefix: bool,
    /// Whether all others are meant.
    pub inverted: bool,
}

/// `-m physdev`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Physdev {
    /// The port of the bridge it came in by.
    pub incoming: Option<Interface>,
    /// The port it leaves by.
    pub outgoing: Option<Interface>,
    /// Whether it is bridged, or must not be.
    pub bridged: Option<bool>,
    /// Whether it came in by a port, or must not have.
    pub is_in: Option<bool>,
    /// Whether it leaves by a port, or must not.
    pub is_out: Option<bool>,
}

/// A condition of iptables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// `-m tcp`.
    Tcp {
        /// Its source.
        source: Ports,
        /// Its destination.
        destination: Ports,
        /// Its flags.
        flags: Option<TcpFlags>,
        /// An option it must have, or must not.
        option: Option<(u8, bool)>,
    },
    /// `-m udp`.
    Udp {
        /// Its source.
        source: Ports,
        /// Its destination.
        destination: Ports,
    },
    /// `-m icmp`, `-m icmp6`.
    Icmp {
        /// For IPv6.
        ipv6: bool,
        /// The type; 255 is any, for IPv4.
        kind: u8,
        /// The first and the last code.
        codes: (u8, u8),
        /// Whether all others are meant.
        inverted: bool,
    },
    /// `-m multiport`.
    Multiport {
        /// Whether the source may be among them.
        source: bool,
        /// Whether the destination may be among them.
        destination: bool,
        /// First and last port of each.
        ports: Vec<(u16, u16)>,
        /// Whether all others are meant.
        inverted: bool,
    },
    /// `-m conntrack`, `-m state`.
    Connection(Connection),
    /// `-m comment`; the words are the rule's.
    Comment,
    /// `-m mark`.
    Mark {
        /// The value under the mask.
        value: u32,
        /// The mask.
        mask: u32,
        /// Whether all others are meant.
        inverted: bool,
    },
    /// `-m connmark`.
    ConnectionMark {
        /// The value under the mask.
        value: u32,
        /// The mask.
        mask: u32,
        /// Whether all others are meant.
        inverted: bool,
    },
    /// `-m addrtype`.
    AddressTypes(AddressTypes),
    /// `-m physdev`.
    Physdev(Physdev),
    /// `-m set`. Rules carry the number of the set, not its name.
    Set {
        /// The kernel's number.
        index: u16,
        /// For each part of the entry, whether it is of the source.
        sources: Vec<bool>,
        /// Whether it must not be found.
        absent: bool,
    },
    /// `-m statistic --mode random`: of 2³¹.
    Random {
        /// How often of 2³¹.
        of_two_to_31: u32,
        /// Whether the rest is meant.
        inverted: bool,
    },
    /// `-m statistic --mode nth`.
    Nth {
        /// Every how many.
        every: u32,
        /// Which of them.
        packet: u32,
        /// Whether the rest is meant.
        inverted: bool,
    },
    /// `-m iprange`.
    AddressRange {
        /// Its source.
        source: Option<Addresses>,
        /// Its destination.
        destination: Option<Addresses>,
    },
    /// `-m limit`, of older versions: one in so many ten-thousandths of a second.
    Limit {
        /// Ten-thousandths of a second.
        average: u32,
        /// More at once.
        burst: u32,
    },
    /// Not understood here.
    Other {
        /// Its name.
        name: String,
        /// Its revision.
        revision: u32,
    },
}

/// From the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<T> {
    /// The first.
    pub first: T,
    /// The last.
    pub last: T,
}

/// What an address and a port are translated to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatRange {
    /// Addresses; none: as they are, or the host's own.
    pub addresses: Option<Range<IpAddr>>,
    /// Ports; none: as they are.
    pub ports: Option<Range<u16>>,
    /// `NF_NAT_RANGE_…` (include/uapi/linux/netfilter/nf_nat.h).
    pub flags: u32,
}

/// What a rule of iptables does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `-j REJECT`.
    Reject(super::Reject),
    /// `-j MARK`: `(mark & !mask) ^ value`.
    Mark {
        /// Bits turned over.
        value: u32,
        /// Bits cleared before.
        mask: u32,
    },
    /// `-j CONNMARK`.
    ConnectionMark {
        /// 0 sets, 1 saves the packet's, 2 gives it to the packet.
        mode: u8,
        /// `ctmark`.
        value: u32,
        /// `ctmask`.
        mask: u32,
        /// `nfmask`.
        packet_mask: u32,
        /// Whether bits move, which is not followed.
        shifted: bool,
    },
    /// `-j DNAT`.
    Dnat(NatRange),
    /// `-j SNAT`.
    Snat(NatRange),
    /// `-j MASQUERADE`.
    Masquerade(NatRange),
    /// `-j REDIRECT`.
    Redirect(NatRange),
    /// `-j NETMAP`: of the source or the destination, as the hook is.
    Netmap(NatRange),
    /// `-j LOG`.
    Log {
        /// How the line begins.
        prefix: String,
        /// Its urgency.
        level: u8,
    },
    /// Not understood here, or of no consequence.
    Other {
        /// Its name.
        name: String,
        /// Its revision.
        revision: u32,
    },
}
