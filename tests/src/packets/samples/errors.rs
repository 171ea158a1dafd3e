//! Samples of ICMP errors: what each quotes, and what else it says.

use std::{vec, vec::Vec};

use super::{
    super::*,
    mapped,
    tunnels::{C, D, vxlan},
};

/// The packet that an error quotes. It was sent by the error's receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Its sender.
    pub source: [u8; 16],
    /// Its receiver.
    pub destination: [u8; 16],
    /// Its ports, or what stands for them.
    pub ports: (u16, u16),
    /// Protocol number.
    pub proto: u8,
    /// 1 for a later fragment.
    pub fragment: u8,
}

/// An error from A to B, or a message that is none.
pub struct Error {
    /// What is special about it.
    pub name: &'static str,
    /// All of it, an Ethernet frame.
    pub bytes: Vec<u8>,
    /// Type and code.
    pub message: (u8, u8),
    /// What it says of the next hop's MTU.
    pub mtu: u32,
    /// What it quotes; `None` where that cannot be read, or is none of the receiver's packets.
    pub quoted: Option<Quoted>,
    /// The number of the network in the tunnel around it, 0 for none.
    pub network_number: u32,
}

/// Where B's packet went.
const FAR: [u8; 4] = [192, 0, 2, 9];
const FAR6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0xc, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];

fn sent(proto: u8) -> Ipv4 {
    Ipv4 { source: B, destination: FAR, ..Ipv4::new(proto) }
}

fn sent6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = ipv6_to(FAR6, next, payload);
    packet[8..24].copy_from_slice(&B6);
    packet
}

fn quoted(proto: u8, ports: (u16, u16)) -> Option<Quoted> {
    Some(Quoted { source: mapped(B), destination: mapped(FAR), ports, proto, fragment: 0 })
}

fn quoted6(proto: u8, ports: (u16, u16)) -> Option<Quoted> {
    Some(Quoted { source: B6, destination: FAR6, ports, proto, fragment: 0 })
}

/// An ICMP error with these four bytes behind its checksum.
fn message((kind, code): (u8, u8), rest: u32, quote: &[u8]) -> Vec<u8> {
    icmp(kind, code, &join(&rest.to_be_bytes(), quote))
}

fn v4(name: &'static str, message: (u8, u8), rest: u32, quote: &[u8], quoted: Option<Quoted>) -> Error {
    let bytes = ethernet(IPV4, &Ipv4::new(ICMP).around(&self::message(message, rest, quote)));
    Error { name, bytes, message, mtu: 0, quoted, network_number: 0 }
}

fn v6(name: &'static str, message: (u8, u8), rest: u32, quote: &[u8], quoted: Option<Quoted>) -> Error {
    let bytes = ethernet(IPV6, &ipv6(ICMPV6, &self::message(message, rest, quote)));
    Error { name, bytes, message, mtu: 0, quoted, network_number: 0 }
}

/// Every kind.
#[must_use]
pub fn errors() -> Vec<Error> {
    let datagram = sent(UDP).around(&udp(5_000, 53, &[7; 100]));
    let datagram6 = sent6(UDP, &udp(5_000, 53, &[7; 100]));
    let (least, least6) = (&datagram[..28], &datagram6[..48]);
    let of_udp = quoted(UDP, (5_000, 53));
    let options = Ipv4 { options: vec![1; 40], ..sent(TCP) }.around(&tcp(40_000, 80, SYN));
    let ping = sent(ICMP).around(&icmp(8, 0, &echo(0x1234, 1)));
    let ping6 = sent6(ICMPV6, &icmp(128, 0, &echo(0x1234, 1)));
    let later = Ipv4 { offset: 100, ..sent(UDP) }.around(&[9; 16]);
    let first = Ipv4 { more: true, ..sent(UDP) }.around(&udp(5_000, 53, &[7; 100]));
    let extended = sent6(HOP_BY_HOP, &extension(DESTINATION_OPTIONS, 1, &extension(UDP, 0, &udp(5, 6, &[]))));
    let inside = Ipv4 { source: D, destination: C, ..Ipv4::new(TCP) }.around(&tcp(40_000, 80, SYN));
    let inner = Ipv4 { source: C, destination: D, ..Ipv4::new(ICMP) }.around(&message((3, 13), 0, &inside));
    let carried = udp(55_555, 4_789, &vxlan(100, &ethernet(IPV4, &inner)));
    let changed = |at: usize, value: u8| {
        let mut bytes = least.to_vec();
        bytes[at] = value;
        bytes
    };
    let tagged = tag(7, IPV4, &Ipv4::new(ICMP).around(&message((3, 1), 0, least)));
    vec![
        v4("a whole datagram", (3, 3), 0, &datagram, of_udp),
        v4("no more than eight bytes of udp", (3, 1), 0, least, of_udp),
        v4(
            "no more than eight bytes of tcp",
            (3, 13),
            0,
            &sent(TCP).around(&tcp(40_000, 80, SYN))[..28],
            quoted(TCP, (40_000, 80)),
        ),
        v4("as many options as there can be", (3, 0), 0, &options[..68], quoted(TCP, (40_000, 80))),
        v4("sctp", (3, 2), 0, &sent(SCTP).around(&sctp(7, 8)), quoted(SCTP, (7, 8))),
        v4("an echo", (11, 0), 0, &ping, quoted(ICMP, (0x1234, 0x1234))),
        v4("a protocol without ports", (12, 0), 0, &sent(47).around(&[0; 8]), quoted(47, (0, 0))),
        v4("a first fragment", (11, 1), 0, &first, of_udp),
        v4(
            "a later fragment",
            (3, 1),
            0,
            &later,
            quoted(UDP, (0, 0)).map(|one| Quoted { fragment: 1, ..one }),
        ),
        Error { mtu: 1_400, ..v4("fragmentation needed", (3, 4), 0xffff_0578, least, of_udp) },
        v4("fragmentation needed by one who does not say", (3, 4), 0, least, of_udp),
        v4("a number where none is due", (3, 3), 1_400, least, of_udp),
        v4("a total length of nothing", (3, 3), 0, &[&least[..2], &[0, 0], &least[4..]].concat(), of_udp),
        v4("a header that ends early", (3, 3), 0, &least[..19], None),
        v4("no quote", (3, 3), 0, &[], None),
        v4("no ports", (3, 3), 0, &least[..22], None),
        v4("a header of sixteen bytes", (3, 3), 0, &changed(0, 0x44), None),
        v4("options beyond the end", (3, 3), 0, &changed(0, 0x4f), None),
        v4("another version", (3, 3), 0, &changed(0, 0x65), None),
        v4(
            "a total length below the header's",
            (3, 3),
            0,
            &changed(3, 19)
                .iter()
                .enumerate()
                .map(|(at, one)| if at == 2 { 0 } else { *one })
                .collect::<Vec<_>>(),
            None,
        ),
        v4("a packet of somebody else", (3, 3), 0, &changed(12, 1), None),
        v6("a whole datagram over ipv6", (1, 4), 0, &datagram6, quoted6(UDP, (5_000, 53))),
        v6("no more than eight bytes over ipv6", (1, 0), 0, least6, quoted6(UDP, (5_000, 53))),
        v6("extension headers", (3, 0), 0, &extended, quoted6(UDP, (5, 6))),
        v6("an echo over ipv6", (1, 3), 0, &ping6, quoted6(ICMPV6, (0x1234, 0x1234))),
        v6("an unknown header", (4, 1), 0, &sent6(200, &[0; 8]), quoted6(200, (0, 0))),
        Error { mtu: 70_000, ..v6("packet too big", (2, 0), 70_000, least6, quoted6(UDP, (5_000, 53))) },
        v6("a header that ends early over ipv6", (1, 4), 0, &least6[..39], None),
        v6("no ports over ipv6", (1, 4), 0, &least6[..42], None),
        v6(
            "an extension header beyond the end",
            (1, 4),
            0,
            &sent6(HOP_BY_HOP, &[UDP, 255, 0, 0, 0, 0, 0, 0]),
            None,
        ),
        v6("an ipv4 packet in an icmpv6 error", (1, 4), 0, &datagram, None),
        Error { bytes: ethernet(VLAN, &tagged), ..v4("with a tag", (3, 1), 0, least, of_udp) },
        Error {
            name: "an error in a tunnel",
            bytes: ethernet(IPV4, &Ipv4::new(UDP).around(&carried)),
            message: (3, 13),
            mtu: 0,
            quoted: Some(Quoted {
                source: mapped(D),
                destination: mapped(C),
                ports: (40_000, 80),
                proto: TCP,
                fragment: 0,
            }),
            network_number: 100,
        },
    ]
}

/// Messages that are no errors, whatever follows them, and errors of which nothing is there but a part.
#[must_use]
pub fn no_errors() -> Vec<(&'static str, Vec<u8>)> {
    let quote = sent(UDP).around(&udp(5_000, 53, &[]));
    let plain = |kind, rest| ethernet(IPV4, &Ipv4::new(ICMP).around(&message((kind, 3), rest, &quote)));
    let part = Ipv4 { offset: 3, ..Ipv4::new(ICMP) };
    vec![
        ("an echo", plain(8, 0x0303_0001)),
        ("an answer to an echo whose identifier is 0", plain(0, 1)),
        ("a redirect", plain(5, 0)),
        ("a router's advertisement", ethernet(IPV6, &ipv6(ICMPV6, &message((134, 0), 0, &quote)))),
        ("a later fragment", ethernet(IPV4, &part.around(&message((3, 3), 0, &quote)))),
        ("a datagram to port 771", ethernet(IPV4, &Ipv4::new(UDP).around(&udp(0, 0x0303, &quote)))),
        ("icmp over ipv6", ethernet(IPV6, &ipv6(ICMP, &message((3, 3), 0, &quote)))),
    ]
}
