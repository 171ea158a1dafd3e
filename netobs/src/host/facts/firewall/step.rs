//! One step of a rule: what is looked at, what it is compared with, and what is done. Plain data; numbers are those of
//! include/uapi/linux/netfilter/nf_tables.h, Linux 6.18.

use super::{Match, Target};

/// `NFPROTO_…` (include/uapi/linux/netfilter.h).
pub mod family {
    #![allow(missing_docs)]
    pub const INET: u8 = 1;
    pub const IPV4: u8 = 2;
    pub const ARP: u8 = 3;
    pub const NETDEV: u8 = 5;
    pub const BRIDGE: u8 = 7;
    pub const IPV6: u8 = 10;
}

/// `NFT_META_…`.
pub mod meta {
    #![allow(missing_docs)]
    pub const PROTOCOL: u32 = 1;
    pub const MARK: u32 = 3;
    pub const IIF: u32 = 4;
    pub const OIF: u32 = 5;
    pub const IIFNAME: u32 = 6;
    pub const OIFNAME: u32 = 7;
    pub const SKUID: u32 = 10;
    pub const NFPROTO: u32 = 15;
    pub const L4PROTO: u32 = 16;
    pub const BRI_IIFNAME: u32 = 17;
    pub const BRI_OIFNAME: u32 = 18;
    pub const PKTTYPE: u32 = 19;
}

/// `NFT_CT_…`.
pub mod connection {
    #![allow(missing_docs)]
    pub const STATE: u32 = 0;
    pub const DIRECTION: u32 = 1;
    pub const STATUS: u32 = 2;
    pub const MARK: u32 = 3;
    pub const PROTO_DST: u32 = 12;
    pub const DST_IP: u32 = 20;
    pub const DST_IP6: u32 = 22;
}

/// `NFT_PAYLOAD_…_HEADER`.
pub mod payload {
    #![allow(missing_docs)]
    pub const LINK: u32 = 0;
    pub const NETWORK: u32 = 1;
    pub const TRANSPORT: u32 = 2;
}

/// `NFT_CMP_…`.
pub mod operator {
    #![allow(missing_docs)]
    pub const EQUAL: u32 = 0;
    pub const UNEQUAL: u32 = 1;
    pub const LESS: u32 = 2;
    pub const AT_MOST: u32 = 3;
    pub const MORE: u32 = 4;
    pub const AT_LEAST: u32 = 5;
}

/// `NFTA_FIB_F_…`, `NFT_FIB_RESULT_…`.
pub mod fib {
    #![allow(missing_docs)]
    pub const SOURCE: u32 = 1;
    pub const DESTINATION: u32 = 2;
    pub const INCOMING: u32 = 8;
    pub const OUTGOING: u32 = 16;
    pub const ADDRESS_TYPE: u32 = 3;
}

/// One step of a rule, by register where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes of the packet into a register.
    Payload {
        /// The register.
        to: u32,
        /// `NFT_PAYLOAD_…`: 1 is the network header.
        base: u32,
        /// First byte.
        offset: u32,
        /// Number of bytes.
        length: u32,
    },
    /// Something about the packet into a register.
    Meta {
        /// The register.
        to: u32,
        /// `NFT_META_…`.
        key: u32,
    },
    /// A register into something about the packet.
    SetMeta {
        /// The register.
        from: u32,
        /// `NFT_META_…`.
        key: u32,
    },
    /// Something about the packet's connection into a register.
    Connection {
        /// The register.
        to: u32,
        /// `NFT_CT_…`.
        key: u32,
        /// Of which direction: 0 original, 1 reply.
        direction: Option<u8>,
    },
    /// A register into something about the connection.
    SetConnection {
        /// The register.
        from: u32,
        /// `NFT_CT_…`.
        key: u32,
    },
    /// `to = (from & mask) ^ flip`.
    Mask {
        /// Where from.
        from: u32,
        /// Where to.
        to: u32,
        /// The mask.
        mask: Vec<u8>,
        /// The bits turned over then.
        flip: Vec<u8>,
    },
    /// Numbers turned from the network's order to the host's, or back.
    ByteOrder {
        /// Where from.
        from: u32,
        /// Where to.
        to: u32,
        /// Bytes of each number.
        size: u32,
        /// Bytes of all.
        length: u32,
    },
    /// A comparison, on which the rule goes on or not.
    Compare {
        /// The register.
        of: u32,
        /// `NFT_CMP_…`: [`operator`].
        operator: u32,
        /// The other side.
        with: Vec<u8>,
    },
    /// Whether a register lies between two values, ends included.
    Range {
        /// The register.
        of: u32,
        /// Whether it must lie outside.
        outside: bool,
        /// The least.
        low: Vec<u8>,
        /// The greatest.
        high: Vec<u8>,
    },
    /// A look into a set, or a map.
    Lookup {
        /// The register.
        of: u32,
        /// The set's name, within the rule's table.
        set: String,
        /// For a map, where what is found goes; 0 is the verdict.
        to: Option<u32>,
        /// Whether it must not be found.
        absent: bool,
    },
    /// Bytes into a register.
    Load {
        /// The register.
        to: u32,
        /// The bytes.
        value: Vec<u8>,
    },
    /// Something of the route into a register.
    Fib {
        /// The register.
        to: u32,
        /// `NFT_FIB_RESULT_…`.
        result: u32,
        /// `NFTA_FIB_F_…`.
        flags: u32,
    },
    /// A number below a limit, random or one after the other, into a register.
    Number {
        /// The register.
        to: u32,
        /// How many numbers there are.
        modulus: u32,
        /// The least.
        offset: u32,
        /// Whether it is random.
        random: bool,
    },
    /// Only so many in a time.
    Limit {
        /// Packets, or bytes.
        rate: u64,
        /// Seconds.
        unit: u64,
        /// More at once.
        burst: u32,
        /// Whether bytes are meant.
        bytes: bool,
        /// Whether what is over it goes on instead.
        over: bool,
    },
    /// Where the rule counts ([`super::Rule::counter`]).
    Counter,
    /// Where it counts into a counter that has a name, and may be others' too ([`super::Rule::counter`] is that one).
    NamedCounter(String),
    /// A line in the log.
    Log {
        /// How it begins.
        prefix: String,
        /// Listeners' group instead of the kernel's log.
        group: Option<u32>,
    },
    /// What happens to the packet.
    Verdict(Verdict),
    /// It is dropped, and its sender told.
    Reject(Reject),
    /// Another source or destination, from registers.
    Nat {
        /// Whether the source is meant.
        source: bool,
        /// The registers of the first and the last address.
        addresses: Option<(u32, u32)>,
        /// The registers of the first and the last port.
        ports: Option<(u32, u32)>,
    },
    /// The address of the interface it leaves by as its source.
    Masquerade {
        /// The registers of the first and the last port.
        ports: Option<(u32, u32)>,
    },
    /// This host as its destination.
    Redirect {
        /// The registers of the first and the last port.
        ports: Option<(u32, u32)>,
    },
    /// A condition of iptables.
    Match(Match),
    /// What a rule of iptables does.
    Target(Target),
    /// Not understood here, by the kernel's name.
    Unknown(String),
}

/// What a rule, or an entry of a map, says about a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes this chain's hook.
    Accept,
    /// It ends here.
    Drop,
    /// The next rule.
    Continue,
    /// Back to the calling chain.
    Return,
    /// On with another chain, and back.
    Jump(String),
    /// On with another chain, and not back.
    Goto(String),
    /// A program decides (`NF_QUEUE`), or another number.
    Other(i32),
}

/// How the sender of a rejected packet is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// A TCP segment with RST.
    TcpReset,
    /// ICMP destination unreachable with this code (RFC 792, RFC 1812).
    Icmp(u8),
    /// ICMPv6 destination unreachable with this code (RFC 4443).
    Icmp6(u8),
    /// Either, by `NFT_REJECT_ICMPX_…`.
    Either(u8),
    /// As iptables numbers it, beyond what is known here.
    Other(u32),
}

impl Reject {
    /// What a packet of this family is answered with: the code of ICMP or ICMPv6, none for a reset.
    #[must_use]
    pub const fn code(self, ipv6: bool) -> Option<u8> {
        match (self, ipv6) {
            // In a table of both families the number is the packet's.
            (Self::Icmp(code) | Self::Icmp6(code), _) => Some(code),
            // include/net/netfilter/nft_reject.h, net/netfilter/nft_reject.c: nft_reject_icmp_code, …_icmpv6_code.
            (Self::Either(0), _) => Some(0),
            (Self::Either(1), false) => Some(3),
            (Self::Either(1), true) => Some(4),
            (Self::Either(2), false) => Some(1),
            (Self::Either(2), true) => Some(3),
            (Self::Either(3), false) => Some(13),
            (Self::Either(3), true) => Some(1),
            _ => None,
        }
    }
}
