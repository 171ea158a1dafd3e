//! Every kind of packet the parser knows → its bytes, and what must be read from them. Plain numbers, so
//! that the parser in a test and the classifier in the kernel are held to one and the same table.

pub mod errors;
mod network;
mod transport;
pub mod tunnels;

use std::vec::Vec;

pub use network::{ipv4_headers, ipv6_headers, links};
pub use transport::{control, groups, skips, transports};

use super::*;

/// A packet, and what is to be read from it.
pub struct Sample {
    /// What is special about it.
    pub name: &'static str,
    /// All of it.
    pub bytes: Vec<u8>,
    /// Whether it starts with an Ethernet header.
    pub ethernet: bool,
    /// The tag that a network card took out of the frame.
    pub metadata_tag: Option<u16>,
    /// Its headers, or the name of the reason why it has no flow.
    pub expected: Result<Expected, &'static str>,
}

/// What its headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Sender, IPv4 as `::ffff:a.b.c.d`.
    pub source: [u8; 16],
    /// Receiver.
    pub destination: [u8; 16],
    /// Source and destination port, or what stands for them.
    pub ports: (u16, u16),
    /// Outer and inner VLAN.
    pub vlans: [u16; 2],
    /// 4, 6, or 0 for address resolution.
    pub network: u8,
    /// Protocol number.
    pub proto: u8,
    /// TCP flags.
    pub tcp: u8,
    /// 0 whole, 1 first fragment, 2 later one.
    pub fragment: u8,
    /// The datagram's identification, of fragments.
    pub identification: u32,
    /// Whether it is for more than one receiver.
    pub group: bool,
    /// Whether it asks for a neighbour.
    pub asks: bool,
    /// Bytes up to the end of the innermost header.
    pub length: u32,
}

/// A and B over IPv4.
#[must_use]
pub fn v4(proto: u8, ports: (u16, u16), length: u32) -> Expected {
    Expected {
        source: mapped(A),
        destination: mapped(B),
        ports,
        vlans: [0, 0],
        network: 4,
        proto,
        tcp: if proto == TCP { ACK } else { 0 },
        fragment: 0,
        identification: 0,
        group: false,
        asks: false,
        length,
    }
}

/// A and B over IPv6.
#[must_use]
pub fn v6(proto: u8, ports: (u16, u16), length: u32) -> Expected {
    Expected { source: A6, destination: B6, network: 6, ..v4(proto, ports, length) }
}

/// IPv4 as the tables store it.
#[must_use]
pub fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

fn frame(name: &'static str, bytes: Vec<u8>, expected: Expected) -> Sample {
    Sample { name, bytes, ethernet: true, metadata_tag: None, expected: Ok(expected) }
}

fn skipped(name: &'static str, bytes: Vec<u8>, reason: &'static str) -> Sample {
    Sample { name, bytes, ethernet: true, metadata_tag: None, expected: Err(reason) }
}

fn in_v4(header: &Ipv4, payload: &[u8]) -> Vec<u8> {
    ethernet(IPV4, &header.around(payload))
}

fn in_v6(next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(IPV6, &ipv6(next, payload))
}

/// All groups.
#[must_use]
pub fn all() -> Vec<Sample> {
    [links(), ipv4_headers(), ipv6_headers(), transports(), control(), groups(), skips()]
        .into_iter()
        .flatten()
        .collect()
}
