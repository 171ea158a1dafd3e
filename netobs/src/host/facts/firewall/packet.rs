//! A packet as the firewall sees it at one place, as far as it is known: its headers, as bytes of which some are
//! known, and what the kernel keeps beside it. Pure.

use std::net::IpAddr;

use super::{bits::Bits, step::payload};

/// Where base chains are called from (`NF_INET_…`, `NF_BR_…`: the same numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// Before it is routed.
    Prerouting,
    /// To this host itself.
    Input,
    /// From one interface to another.
    Forward,
    /// From this host itself.
    Output,
    /// About to leave.
    Postrouting,
}

impl Hook {
    /// The kernel's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Input => 1,
            Self::Forward => 2,
            Self::Output => 3,
            Self::Postrouting => 4,
        }
    }

    /// What `nft` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        }
    }
}

/// Whose chains are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Tables of the packet's own family and `inet`: routed packets, and bridged ones where `bridge-nf-call-iptables`
    /// sends them there.
    #[default]
    Network,
    /// Tables of the family `bridge`: interfaces are the ports.
    Bridge,
    /// Chains of single interfaces, of the families `netdev` and `inet`: before it is routed as it comes in, about to
    /// leave as it goes out. Of which interfaces is not read, so nothing of it is certain.
    Device,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Its name; empty for none.
    pub name: String,
    /// Its index, where it is known.
    pub index: Option<u32>,
}

impl Device {
    /// An interface by name alone.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), index: (name == "lo").then_some(1) }
    }
}

/// The port of a bridge by which a bridged packet comes or goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Port {
    /// It is not known whether there is one.
    #[default]
    Unknown,
    /// There is none: the packet is not bridged there.
    None,
    /// This one.
    Named(String),
}

/// What conntrack says of the packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacketState {
    /// The first of its connection.
    #[default]
    New,
    /// Its connection has been answered.
    Established,
    /// It belongs to another connection.
    Related,
    /// It belongs to none, and opens none.
    Invalid,
    /// Conntrack was told to leave it alone.
    Untracked,
}

/// A mark, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its bits; 0 where they are not known.
    pub value: u32,
    /// Those that are known.
    pub known: u32,
}

impl From<u32> for Mark {
    fn from(value: u32) -> Self {
        Self { value, known: u32::MAX }
    }
}

/// What kind of address one is to this host (`RTN_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// Somebody else's.
    Unicast,
    /// This host's own.
    Local,
    /// Everybody's in a network.
    Broadcast,
    /// A group's.
    Multicast,
}

impl AddressKind {
    /// include/uapi/linux/rtnetlink.h.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Unicast => 1,
            Self::Local => 2,
            Self::Broadcast => 3,
            Self::Multicast => 5,
        }
    }
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its source.
    pub source: IpAddr,
    /// Its destination.
    pub destination: IpAddr,
    /// Whether that is the destination it has here; else it has one that is not known.
    pub destination_known: bool,
    /// Its protocol (`IPPROTO_…`), where that is known.
    pub protocol: Option<u8>,
    /// The port it is from.
    pub source_port: Option<u16>,
    /// The port it is for.
    pub destination_port: Option<u16>,
    /// Type and code of ICMP and ICMPv6.
    pub icmp: Option<(u8, u8)>,
    /// The flags of TCP; for the first packet of a connection SYN, if nothing else is said.
    pub tcp_flags: Option<u8>,
    /// The interface it came in by; for a bridged packet, the bridge.
    pub incoming: Option<Device>,
    /// The interface it leaves by, likewise.
    pub outgoing: Option<Device>,
    /// The bridge's port it came in by.
    pub incoming_port: Port,
    /// The bridge's port it leaves by.
    pub outgoing_port: Port,
    /// What conntrack says.
    pub state: PacketState,
    /// Whether it answers: it goes against the direction its connection was opened in.
    pub reply: bool,
    /// Where its connection was opened to, where that was translated.
    pub original: Option<(IpAddr, Option<u16>)>,
    /// Whether that is known: without one, it was not translated.
    pub original_known: bool,
    /// Its mark when it comes.
    pub mark: Mark,
    /// Its connection's mark; of a new one 0, if nothing else is said.
    pub connection_mark: Option<Mark>,
    /// What its source is to this host.
    pub source_kind: Option<AddressKind>,
    /// What its destination is to this host.
    pub destination_kind: Option<AddressKind>,
}

/// `IPPROTO_…`.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

impl Packet {
    /// The first packet of a connection of which nothing else is known.
    #[must_use]
    pub fn new(source: IpAddr, destination: IpAddr, protocol: u8) -> Self {
        Self {
            source,
            destination,
            destination_known: true,
            protocol: Some(protocol),
            source_port: None,
            destination_port: None,
            icmp: None,
            tcp_flags: None,
            incoming: None,
            outgoing: None,
            incoming_port: Port::Unknown,
            outgoing_port: Port::Unknown,
            state: PacketState::New,
            reply: false,
            original: None,
            original_known: true,
            mark: Mark::from(0),
            connection_mark: None,
            source_kind: None,
            destination_kind: None,
        }
    }

    pub(super) fn is_ipv6(&self) -> bool {
        self.destination.is_ipv6()
    }

    pub(super) fn protocol_bits(&self) -> Bits {
        self.protocol.map_or(Bits::UNKNOWN, Bits::of)
    }

    pub(super) fn has_ports(&self) -> bool {
        self.protocol.is_some_and(|protocol| [TCP, UDP, SCTP, UDP_LITE].contains(&protocol))
    }

    /// What its destination is to this host, also where that is plain from the address.
    pub(super) fn kind_of(&self, destination: bool) -> Option<AddressKind> {
        let (address, said) = if destination {
            (self.destination, self.destination_kind)
        } else {
            (self.source, self.source_kind)
        };
        if said.is_some() {
            return said;
        }
        match address {
            address if address.is_multicast() => Some(AddressKind::Multicast),
            address if address.is_loopback() => Some(AddressKind::Local),
            IpAddr::V4(address) if address.is_broadcast() => Some(AddressKind::Broadcast),
            _ => None,
        }
    }

    pub(super) fn flags(&self) -> Bits {
        const SYN: u8 = 0x02;
        match self.tcp_flags {
            Some(flags) => Bits::of(flags),
            // Nothing else opens a connection; other bits may be set beside it.
            None if self.state == PacketState::New && !self.reply => Bits::partly(SYN, 0x17),
            None if self.state == PacketState::Established && !self.reply => Bits::partly(0, SYN),
            None => Bits::UNKNOWN,
        }
    }

    /// Bytes of a header. What is not known, and what lies beyond, is so.
    pub(super) fn bytes(&self, base: u32, offset: u32, length: u32) -> Vec<Bits> {
        let header = match base {
            payload::NETWORK => self.network_header(),
            payload::TRANSPORT => self.transport_header(),
            _ => Vec::new(),
        };
        let at = |index: u32| usize::try_from(index).ok().and_then(|index| header.get(index).copied());
        (0..length.min(64)).map(|one| at(offset.saturating_add(one)).unwrap_or(Bits::UNKNOWN)).collect()
    }

    /// RFC 791 without options, RFC 8200 without extension headers; no fragment.
    fn network_header(&self) -> Vec<Bits> {
        let mut header = vec![Bits::UNKNOWN; if self.is_ipv6() { 40 } else { 20 }];
        let mut put = |at: usize, bytes: &[Bits]| {
            for (to, from) in header.iter_mut().skip(at).zip(bytes) {
                *to = *from;
            }
        };
        let known = |bytes: &[u8]| bytes.iter().copied().map(Bits::of).collect::<Vec<_>>();
        put(0, &[if self.is_ipv6() { Bits::partly(0x60, 0xf0) } else { Bits::of(0x45) }]);
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                // "Don't fragment" is not known; that it is no fragment is taken for granted.
                put(6, &[Bits::partly(0, 0xbf), Bits::of(0)]);
                put(9, &[self.protocol_bits()]);
                put(12, &known(&source.octets()));
                put(16, &known(&destination.octets()));
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                put(6, &[self.protocol_bits()]);
                put(8, &known(&source.octets()));
                put(24, &known(&destination.octets()));
            }
            _ => {}
        }
        header
    }

    fn transport_header(&self) -> Vec<Bits> {
        let port = |port: Option<u16>| match port {
            Some(port) => port.to_be_bytes().map(Bits::of),
            None => [Bits::UNKNOWN; 2],
        };
        match self.protocol {
            Some(ICMP | ICMP6) => match self.icmp {
                Some((kind, code)) => vec![Bits::of(kind), Bits::of(code)],
                None => Vec::new(),
            },
            _ if self.has_ports() => {
                let mut header = [port(self.source_port), port(self.destination_port)].concat();
                if self.protocol == Some(TCP) {
                    header.resize(13, Bits::UNKNOWN);
                    header.push(self.flags());
                }
                header
            }
            _ => Vec::new(),
        }
    }
}
