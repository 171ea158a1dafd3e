//! Header fields → the bytes of a packet, for whoever parses them: the parser's own tests (which include
//! this file), the classifier's, and the bench. Checksums are zero: an observer does not verify them.

pub mod samples;

use std::vec::Vec;

/// The sender's address in every packet made here, unless said otherwise (RFC 5737).
pub const A: [u8; 4] = [198, 51, 100, 1];
/// The receiver's.
pub const B: [u8; 4] = [203, 0, 113, 2];
/// The sender's IPv6 address (RFC 3849).
pub const A6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0xa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// The receiver's.
pub const B6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0xb, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
/// The sender's hardware address.
pub const A_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
/// The receiver's.
pub const B_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xb];

/// EtherTypes.
pub const IPV4: u16 = 0x0800;
/// Address resolution.
pub const ARP: u16 = 0x0806;
/// IPv6.
pub const IPV6: u16 = 0x86dd;
/// 802.1Q.
pub const VLAN: u16 = 0x8100;
/// 802.1ad.
pub const SERVICE_VLAN: u16 = 0x88a8;

/// Protocol numbers: TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// SCTP.
pub const SCTP: u8 = 132;
/// ICMP.
pub const ICMP: u8 = 1;
/// ICMP of IPv6.
pub const ICMPV6: u8 = 58;
/// IPv6 extension headers: hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// Routing.
pub const ROUTING: u8 = 43;
/// Fragment.
pub const FRAGMENT: u8 = 44;
/// Authentication.
pub const AUTHENTICATION: u8 = 51;
/// Destination options.
pub const DESTINATION_OPTIONS: u8 = 60;

/// TCP flags: FIN.
pub const FIN: u8 = 0x01;
/// SYN.
pub const SYN: u8 = 0x02;
/// RST.
pub const RST: u8 = 0x04;
/// ACK.
pub const ACK: u8 = 0x10;

/// A part and what follows it.
#[must_use]
pub fn join(first: &[u8], then: &[u8]) -> Vec<u8> {
    [first, then].concat()
}

/// An Ethernet frame from A to B.
#[must_use]
pub fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    ethernet_to(B_MAC, ether_type, payload)
}

/// An Ethernet frame from A to a station.
#[must_use]
pub fn ethernet_to(destination: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&destination[..], &A_MAC, &ether_type.to_be_bytes(), payload].concat()
}

/// What follows the EtherType of a tag: its control word and the next EtherType.
#[must_use]
pub fn tag(control: u16, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&control.to_be_bytes()[..], &ether_type.to_be_bytes(), payload].concat()
}

/// An IPv4 header; [`Ipv4::around`] puts it before a payload.
#[derive(Clone)]
pub struct Ipv4 {
    /// Sender.
    pub source: [u8; 4],
    /// Receiver.
    pub destination: [u8; 4],
    /// What the payload is.
    pub proto: u8,
    /// Options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// Identification.
    pub identification: u16,
    /// "More fragments".
    pub more: bool,
    /// Fragment offset in units of eight bytes.
    pub offset: u16,
}

impl Ipv4 {
    /// From A to B, without options, not a fragment.
    #[must_use]
    pub fn new(proto: u8) -> Self {
        Self {
            source: A,
            destination: B,
            proto,
            options: Vec::new(),
            identification: 0,
            more: false,
            offset: 0,
        }
    }

    /// The packet.
    #[must_use]
    pub fn around(&self, payload: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let words = u8::try_from(header / 4).unwrap_or(15) & 0x0f;
        // A length that does not fit is 0, as the kernel writes it (BIG TCP).
        let total = u16::try_from(header + payload.len()).unwrap_or(0).to_be_bytes();
        let id = self.identification.to_be_bytes();
        let fragment = (u16::from(self.more) << 13 | self.offset).to_be_bytes();
        let fixed = [
            0x40 | words,
            0,
            total[0],
            total[1],
            id[0],
            id[1],
            fragment[0],
            fragment[1],
            64,
            self.proto,
            0,
            0,
        ];
        [&fixed[..], &self.source, &self.destination, &self.options, payload].concat()
    }
}

/// An IPv6 packet from A to B.
#[must_use]
pub fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    ipv6_to(B6, next, payload)
}

/// An IPv6 packet from A.
#[must_use]
pub fn ipv6_to(destination: [u8; 16], next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    [&[0x60, 0, 0, 0, length[0], length[1], next, 64][..], &A6, &destination, payload].concat()
}

/// An IPv6 extension header of `8 × (units + 1)` bytes (RFC 8200, 4.2).
#[must_use]
pub fn extension(next: u8, units: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = std::vec![0; (usize::from(units) + 1) * 8];
    header[..2].copy_from_slice(&[next, units]);
    join(&header, payload)
}

/// An authentication header of `4 × (units + 2)` bytes (RFC 4302, 2.2).
#[must_use]
pub fn authentication(next: u8, units: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = std::vec![0; (usize::from(units) + 2) * 4];
    header[..2].copy_from_slice(&[next, units]);
    join(&header, payload)
}

/// A fragment header (RFC 8200, 4.5); `offset` in units of eight bytes.
#[must_use]
pub fn fragment(next: u8, offset: u16, more: bool, identification: u32, payload: &[u8]) -> Vec<u8> {
    let word = (offset << 3 | u16::from(more)).to_be_bytes();
    [&[next, 0, word[0], word[1]][..], &identification.to_be_bytes(), payload].concat()
}

/// A TCP header of 20 bytes.
#[must_use]
pub fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    tcp_with(source, destination, flags, &[])
}

/// A TCP header with options, a multiple of four bytes.
#[must_use]
pub fn tcp_with(source: u16, destination: u16, flags: u8, options: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options.len() / 4).unwrap_or(15) & 0x0f;
    let rest = [0, 0, 0, 1, 0, 0, 0, 1, words << 4, flags, 0xff, 0xff, 0, 0, 0, 0];
    [&source.to_be_bytes()[..], &destination.to_be_bytes(), &rest, options].concat()
}

/// A UDP datagram.
#[must_use]
pub fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(0).to_be_bytes();
    [&source.to_be_bytes()[..], &destination.to_be_bytes(), &length, &[0, 0], payload].concat()
}

/// An SCTP common header.
#[must_use]
pub fn sctp(source: u16, destination: u16) -> Vec<u8> {
    [&source.to_be_bytes()[..], &destination.to_be_bytes(), &[0; 8]].concat()
}

/// An ICMP or ICMPv6 message: type, code, checksum, then `rest`.
#[must_use]
pub fn icmp(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    join(&[kind, code, 0, 0], rest)
}

/// Identifier and sequence number of an echo.
#[must_use]
pub fn echo(identifier: u16, sequence: u16) -> Vec<u8> {
    join(&identifier.to_be_bytes(), &sequence.to_be_bytes())
}

/// Address resolution: A asks for, or tells, B (operation 1 or 2).
#[must_use]
pub fn arp(operation: u16) -> Vec<u8> {
    [&[0, 1, 8, 0, 6, 4][..], &operation.to_be_bytes(), &A_MAC, &A, &B_MAC, &B].concat()
}
