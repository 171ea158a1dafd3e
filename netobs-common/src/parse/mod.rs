//! A packet → what a flow key needs of it, or the reason why it has no flow. Pure: the same code runs on
//! bytes in a test and on a socket buffer in the kernel.

mod arp;
mod ipv4;
mod ipv6;
mod link;
mod quote;
mod transport;
mod tunnel;

#[cfg(test)]
mod tests;

pub use quote::quote;
pub use tunnel::inner;

use crate::{
    icmp_error::IcmpErrorType,
    interface::LinkLayer,
    key::{Address, Ports},
    packet::Packet,
    skip::Skip,
    wire::{EtherType, Network, Proto, Protocol, TcpFlags, icmp},
};

/// What was read from the headers. In the kernel it lives in a table, not on the stack, so every field
/// is valid in any bit pattern.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// The sender.
    pub source: Address,
    /// The receiver.
    pub destination: Address,
    /// The sender's hardware address; zero where there is no Ethernet header.
    pub source_mac: [u8; 6],
    /// 1 if the frame was addressed to more than one station.
    pub group_frame: u8,
    /// Whole, first or later fragment.
    pub fragment: Fragment,
    /// Outer and inner VLAN identifier, 0 for none.
    pub vlans: [u16; 2],
    /// IPv4, IPv6 or ARP.
    pub network: Network,
    /// Transport protocol.
    pub proto: Proto,
    /// Ports, or what stands for them; zero in later fragments.
    pub ports: Ports,
    /// Flags, TCP only.
    pub tcp: TcpFlags,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// The datagram's identification, for fragments.
    pub identification: u32,
    /// Bytes from the start of the frame to the end of the innermost header that was read.
    pub length: u32,
    /// TCP only: what tells of its progress.
    pub segment: Segment,
    /// 1 where it asks for a neighbour: an ARP request, a neighbour solicitation.
    pub asks: u8,
    /// Zero.
    pub padding: [u8; 3],
}

const _: () = assert!(size_of::<Headers>() == 16 + 16 + 6 + 2 + 4 + 2 + 4 + 2 + 4 + 4 + 20 + 4);

/// Of a TCP header (RFC 9293, 3.1), and its timestamps (RFC 7323, 3.2).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The sequence number.
    pub sequence: u32,
    /// Bytes of data.
    pub data: u32,
    /// The sender's clock, where the option was read.
    pub timestamp: u32,
    /// The receiver's clock as the sender saw it last, where the option was read.
    pub echo: u32,
    /// The window as it stands there, not scaled.
    pub window: u16,
    /// 1 where the option was read.
    pub has_timestamps: u8,
    /// 1 where the header was read: not of a first fragment that ends in its middle.
    pub is_whole: u8,
}

/// A packet's part of its datagram.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fragment(pub u8);

impl Fragment {
    /// All of it.
    pub const WHOLE: Self = Self(0);
    /// The part with the ports.
    pub const FIRST: Self = Self(1);
    /// A part without.
    pub const LATER: Self = Self(2);
}

impl Headers {
    /// The protocol by the closed set of the metrics.
    #[must_use]
    #[inline(always)]
    pub const fn protocol(&self) -> Protocol {
        Protocol::of(self.network, self.proto)
    }

    /// Whether the packet is for more than one receiver: by frame, IPv4 224.0.0.0/4 and the limited
    /// broadcast (RFC 1112, RFC 919), IPv6 ff00::/8 (RFC 4291).
    #[must_use]
    #[inline(always)]
    pub const fn is_group(&self) -> bool {
        if self.group_frame != 0 {
            return true;
        }
        let to = &self.destination;
        match self.network {
            Network::IPV4 => to[12] >> 4 == 0xe || (to[12] & to[13] & to[14] & to[15]) == 0xff,
            Network::IPV6 => to[0] == 0xff,
            _ => false,
        }
    }

    /// Whether it is an ICMP error, which quotes the packet it is about; [`IcmpErrorType::NONE`] where not.
    #[must_use]
    #[inline(always)]
    pub const fn icmp_error(&self) -> IcmpErrorType {
        // Of an echo the port is the identifier, and of a later fragment there is nothing to read.
        if self.ports.source != 0 || self.fragment.0 == Fragment::LATER.0 {
            return IcmpErrorType::NONE;
        }
        let [kind, code] = self.ports.destination.to_be_bytes();
        match self.protocol() {
            Protocol::ICMP | Protocol::ICMPV6 => IcmpErrorType::of(self.network, kind, code),
            _ => IcmpErrorType::NONE,
        }
    }

    /// Whether the message is neighbour discovery (RFC 4861) or address resolution.
    #[must_use]
    pub const fn is_neighbour_discovery(&self) -> bool {
        match self.protocol() {
            Protocol::ARP => true,
            Protocol::ICMPV6 => {
                let kind = (self.ports.destination >> 8) as u8;
                let answers = self.ports.source == icmp::ASKS_FOR_NEIGHBOUR && self.ports.destination == 0;
                let is_one = kind >= icmp::V6_ROUTER_SOLICITATION && kind <= icmp::V6_REDIRECT;
                answers || self.ports.source == 0 && is_one
            }
            _ => false,
        }
    }
}

/// Reads a packet's headers into `headers`, whatever stood there before.
///
/// `metadata_tag` is the VLAN tag the network card or the kernel took out of the frame (`vlan_tci`).
///
/// # Errors
/// The reason why the packet has no flow; it is counted under that reason.
#[inline(always)]
pub fn parse(
    packet: &impl Packet,
    link_layer: LinkLayer,
    metadata_tag: Option<u16>,
    headers: &mut Headers,
) -> Result<(), Skip> {
    *headers = Headers::default();
    let (ether_type, offset) = link::read(packet, 0, link_layer, metadata_tag, headers)?;
    network(packet, ether_type, offset, packet.length(), headers)
}

/// The network layer and what follows it; `limit` is where the packet ends.
#[inline(always)]
fn network(
    packet: &impl Packet,
    ether_type: EtherType,
    offset: usize,
    limit: u32,
    headers: &mut Headers,
) -> Result<(), Skip> {
    match ether_type {
        EtherType::IPV4 => ipv4::read(packet, offset, limit, headers),
        EtherType::IPV6 => ipv6::read(packet, offset, limit, headers),
        EtherType::ARP => arp::read(packet, offset, headers),
        _ => Err(Skip::NOT_IP),
    }
}

/// IPv4 → the form in which the tables store addresses (RFC 4291, 2.5.5.2).
#[must_use]
#[inline(always)]
pub const fn mapped(address: [u8; 4]) -> Address {
    let [a, b, c, d] = address;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}
