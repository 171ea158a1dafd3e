//! Samples of ports and what stands for them, of groups, and of what has no flow.

use std::{vec, vec::Vec};

use super::*;

/// TCP flags, UDP, SCTP, and what has no ports.
#[must_use]
pub fn transports() -> Vec<Sample> {
    let tcp4 = |name, flags: u8| {
        let expected = Expected { tcp: flags, ..v4(TCP, (40_000, 443), 54) };
        frame(name, in_v4(&Ipv4::new(TCP), &tcp(40_000, 443, flags)), expected)
    };
    vec![
        tcp4("syn", SYN),
        tcp4("syn ack", SYN | ACK),
        tcp4("fin ack", FIN | ACK),
        tcp4("rst", RST),
        frame(
            "tcp options belong to the headers",
            in_v4(&Ipv4::new(TCP), &join(&tcp_with(40_000, 443, ACK, &[1; 12]), &[0; 100])),
            v4(TCP, (40_000, 443), 66),
        ),
        frame("udp", in_v4(&Ipv4::new(UDP), &udp(5353, 53, &[0; 5])), v4(UDP, (5353, 53), 42)),
        frame("udp over ipv6", in_v6(UDP, &udp(5353, 53, &[0; 5])), v6(UDP, (5353, 53), 62)),
        frame("sctp", in_v4(&Ipv4::new(SCTP), &sctp(2905, 2906)), v4(SCTP, (2905, 2906), 46)),
        frame("sctp over ipv6", in_v6(SCTP, &sctp(2905, 2906)), v6(SCTP, (2905, 2906), 66)),
        frame("another protocol", in_v4(&Ipv4::new(47), &[0; 12]), v4(47, (0, 0), 34)),
        frame("another protocol over ipv6", in_v6(50, &[0; 12]), v6(50, (0, 0), 54)),
        frame(
            "icmp's number in ipv6 is another protocol",
            in_v6(ICMP, &icmp(8, 0, &echo(1, 1))),
            v6(ICMP, (0, 0), 54),
        ),
    ]
}

/// Where [`B6`] is asked for: its solicited-node address (RFC 4291, 2.7.1) and the frame that goes there (RFC 2464, 7).
const ASKED: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 2];
const ASKED_MAC: [u8; 6] = [0x33, 0x33, 0xff, 0, 0, 2];
const OTHER: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0xa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];

/// A solicitation or an advertisement: four bytes of flags, and the target.
fn discovery(kind: u8, target: [u8; 16]) -> Vec<u8> {
    icmp(kind, 0, &join(&[0; 4], &target))
}

/// ICMP, ICMPv6 and address resolution.
#[must_use]
pub fn control() -> Vec<Sample> {
    let four =
        |name, message: &[u8], ports| frame(name, in_v4(&Ipv4::new(ICMP), message), v4(ICMP, ports, 42));
    let six = |name, message: &[u8], ports| frame(name, in_v6(ICMPV6, message), v6(ICMPV6, ports, 62));
    let inside = Ipv4::new(UDP).around(&udp(1, 2, &[]));
    let arp_flow = Expected { network: 0, proto: 0, ..v4(0, (0, 0), 42) };
    vec![
        four("echo request: its port is the identifier", &icmp(8, 0, &echo(77, 1)), (77, 77)),
        four("echo reply: the same flow's other direction", &icmp(0, 0, &echo(77, 1)), (77, 77)),
        four("port unreachable: type and code", &icmp(3, 3, &join(&[0; 4], &inside)), (0, 0x0303)),
        four("time exceeded", &icmp(11, 0, &join(&[0; 4], &inside)), (0, 0x0b00)),
        six("echo request of ipv6", &icmp(128, 0, &echo(78, 1)), (78, 78)),
        six("echo reply of ipv6", &icmp(129, 0, &echo(78, 1)), (78, 78)),
        six("packet too big", &icmp(2, 0, &[0; 4]), (0, 0x0200)),
        frame(
            "neighbour solicitation: to whom it asks for",
            ethernet_to(ASKED_MAC, IPV6, &ipv6_to(ASKED, ICMPV6, &discovery(135, B6))),
            Expected { asks: true, group: true, ..v6(ICMPV6, (0, 0x8700), 78) },
        ),
        frame(
            "neighbour solicitation of one who answered before",
            in_v6(ICMPV6, &join(&discovery(135, B6), &[1, 1, 2, 0, 0, 0, 0, 0xa])),
            Expected { asks: true, ..v6(ICMPV6, (0, 0x8700), 78) },
        ),
        frame(
            "neighbour advertisement: from whom was asked for",
            in_v6(ICMPV6, &discovery(136, A6)),
            v6(ICMPV6, (0x8700, 0), 78),
        ),
        frame(
            "neighbour advertisement from another address of its sender",
            in_v6(ICMPV6, &discovery(136, OTHER)),
            Expected { source: OTHER, ..v6(ICMPV6, (0x8700, 0), 78) },
        ),
        six("neighbour solicitation of another code", &icmp(135, 1, &[0; 20]), (0, 0x8701)),
        six("router advertisement", &icmp(134, 0, &[0; 20]), (0, 0x8600)),
        frame("arp request", ethernet(ARP, &arp(1)), Expected { asks: true, ..arp_flow.clone() }),
        frame("arp reply", ethernet(ARP, &arp(2)), arp_flow.clone()),
        frame(
            "arp in a vlan",
            ethernet(VLAN, &tag(9, ARP, &arp(1))),
            Expected { vlans: [9, 0], length: 46, asks: true, ..arp_flow },
        ),
    ]
}

/// Broadcast and multicast, by frame and by address.
#[must_use]
pub fn groups() -> Vec<Sample> {
    let datagram = udp(5353, 5353, &[]);
    let to = |destination| Ipv4 { destination, ..Ipv4::new(UDP) }.around(&datagram);
    let four = |address| Expected { destination: mapped(address), group: true, ..v4(UDP, (5353, 5353), 42) };
    let all_nodes = {
        let mut address = [0; 16];
        address[0] = 0xff;
        address[1] = 2;
        address[15] = 1;
        address
    };
    vec![
        frame("broadcast frame", ethernet_to([0xff; 6], IPV4, &to(B)), four(B)),
        frame(
            "multicast frame",
            ethernet_to([1, 0, 0x5e, 0, 0, 0xfb], IPV4, &to([224, 0, 0, 251])),
            four([224, 0, 0, 251]),
        ),
        frame(
            "multicast address in a unicast frame",
            ethernet(IPV4, &to([239, 255, 255, 250])),
            four([239, 255, 255, 250]),
        ),
        frame("limited broadcast in a unicast frame", ethernet(IPV4, &to([255; 4])), four([255; 4])),
        Sample {
            ethernet: false,
            ..frame(
                "multicast without ethernet",
                to([224, 0, 0, 1]),
                Expected { length: 28, ..four([224, 0, 0, 1]) },
            )
        },
        frame(
            "all nodes of ipv6",
            ethernet(IPV6, &ipv6_to(all_nodes, UDP, &datagram)),
            Expected { destination: all_nodes, group: true, ..v6(UDP, (5353, 5353), 62) },
        ),
        frame(
            "240.0.0.1 is no group",
            ethernet(IPV4, &to([240, 0, 0, 1])),
            Expected { group: false, ..four([240, 0, 0, 1]) },
        ),
        frame(
            "223.255.255.255 is no group",
            ethernet(IPV4, &to([223, 255, 255, 255])),
            Expected { group: false, ..four([223, 255, 255, 255]) },
        ),
    ]
}

/// What has no flow.
#[must_use]
pub fn skips() -> Vec<Sample> {
    let broken4 = |name, at: usize, value: u8| {
        let mut bytes = in_v4(&Ipv4::new(UDP), &udp(1, 2, &[0; 4]));
        bytes[at] = value;
        skipped(name, bytes, "malformed")
    };
    let broken6 = |name, at: usize, value: u8| {
        let mut bytes = in_v6(UDP, &udp(1, 2, &[0; 4]));
        bytes[at] = value;
        skipped(name, bytes, "malformed")
    };
    let mut short_tcp = in_v4(&Ipv4::new(TCP), &tcp(1, 2, SYN));
    short_tcp[34 + 12] = 0x40;
    let mut other_arp = ethernet(ARP, &arp(1));
    other_arp[15] = 6;
    vec![
        broken4("ipv4 header shorter than 20 bytes", 14, 0x44),
        broken4("ipv4 header of no bytes", 14, 0x40),
        broken4("another version in an ipv4 frame", 14, 0x65),
        broken4("ipv4 total length longer than the packet", 17, 33),
        broken4("ipv4 total length shorter than its header", 17, 19),
        broken6("another version in an ipv6 frame", 14, 0x40),
        broken6("ipv6 payload length longer than the packet", 19, 13),
        skipped("tcp header shorter than 20 bytes", short_tcp, "malformed"),
        skipped("address resolution for other hardware", other_arp, "malformed"),
        skipped("spanning tree", ethernet_to([1, 0x80, 0xc2, 0, 0, 0], 0x0026, &[0x42; 38]), "not_ip"),
        skipped("lldp", ethernet(0x88cc, &[0; 46]), "not_ip"),
        skipped("a tcp header cut short", in_v4(&Ipv4::new(TCP), &tcp(1, 2, SYN)[..13]), "truncated"),
        skipped("an ipv4 header cut short", ethernet(IPV4, &[0x45; 19]), "truncated"),
        skipped("an ipv6 header cut short", ethernet(IPV6, &[0x60; 39]), "truncated"),
        skipped("a tag cut short", ethernet(VLAN, &[0; 3]), "truncated"),
        skipped("an address resolution cut short", ethernet(ARP, &arp(1)[..27]), "truncated"),
        skipped("a neighbour solicitation cut short", in_v6(ICMPV6, &discovery(135, B6)[..23]), "truncated"),
        skipped("an extension header cut short", in_v6(HOP_BY_HOP, &[6]), "truncated"),
    ]
}
