//! One tracked connection: plain data.

use std::net::IpAddr;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// Sender.
    pub source: IpAddr,
    /// Sender's port; the identifier of an ICMP query, the call of a GRE tunnel; 0 where there is none.
    pub source_port: u16,
    /// Receiver.
    pub destination: IpAddr,
    /// Receiver's port, or as for the sender.
    pub destination_port: u16,
    /// What kind of ICMP query this direction carries.
    pub icmp: Option<Icmp>,
}

/// Type and code of the ICMP messages of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Icmp {
    /// Type: 8 for an echo request, 0 for its reply; 128 and 129 in ICMPv6.
    pub kind: u8,
    /// Code.
    pub code: u8,
}

/// `IPS_…` bits (`nf_conntrack_common.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(pub u32);

impl Status {
    /// Packets were seen in both directions.
    pub const SEEN_REPLY: Self = Self(1 << 1);
    /// Not dropped early when the table is full.
    pub const ASSURED: Self = Self(1 << 2);
    /// The first packet left this host or reached a socket.
    pub const CONFIRMED: Self = Self(1 << 3);
    /// The source is translated.
    pub const SRC_NAT: Self = Self(1 << 4);
    /// The destination is translated.
    pub const DST_NAT: Self = Self(1 << 5);
    /// About to be removed.
    pub const DYING: Self = Self(1 << 9);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What one direction carried so far: packets as socket buffers, bytes without the Ethernet header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes from the IP header on.
    pub bytes: u64,
}

/// A tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The kernel's number for it. 32 bits of a hash: not unique in a full table, and used again.
    pub id: u32,
    /// Tracking zone of the original direction, 0 by default.
    pub zone: u16,
    /// Tracking zone of the reply direction: the same, or 0 where the zone is of one direction only.
    pub reply_zone: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// As the initiator sends it.
    pub original: Tuple,
    /// As the answer arrives here: the original one turned around, but for what is translated.
    pub reply: Tuple,
    /// State and translation.
    pub status: Status,
    /// Connection mark.
    pub mark: u32,
    /// Packets of the original direction, where the kernel counts (`nf_conntrack_acct`) and says it: in dumps
    /// and at the end, not in between.
    pub original_count: Option<Count>,
    /// Packets of the reply direction, likewise.
    pub reply_count: Option<Count>,
}

/// What the kernel keeps unique among the living connections of a network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey {
    /// Tracking zone.
    pub zone: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// The original direction.
    pub original: Tuple,
}

impl Connection {
    /// What identifies it while it lives.
    #[must_use]
    pub const fn key(&self) -> ConnectionKey {
        ConnectionKey { zone: self.zone, protocol: self.protocol, original: self.original }
    }

    /// Whether an address or port differs between what was sent and what came of it.
    #[must_use]
    pub const fn is_translated(&self) -> bool {
        self.status.contains(Status::SRC_NAT) || self.status.contains(Status::DST_NAT)
    }
}
