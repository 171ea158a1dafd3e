//! Samples of packets inside packets: what the flow is of, and what is around it.

use std::{vec, vec::Vec};

use super::*;

/// Encapsulations as the tables number them.
pub const NOT_ENTERED: u8 = 0;
/// VXLAN.
pub const VXLAN: u8 = 1;
/// Geneve.
pub const GENEVE: u8 = 2;
/// GRE.
pub const GRE: u8 = 3;
/// IP in IP.
pub const IPIP: u8 = 4;

/// Ports that the interface under test looks into.
pub const VXLAN_PORTS: [u16; 4] = [4_789, 8_472, 9_999, 0];
/// The same for Geneve.
pub const GENEVE_PORT: u16 = 6_081;

/// The inner sender.
pub const C: [u8; 4] = [10, 71, 1, 2];
/// The inner receiver.
pub const D: [u8; 4] = [10, 71, 2, 3];

/// A frame of a tunnel from A to B.
pub struct Tunnelled {
    /// What is special about it.
    pub name: &'static str,
    /// All of it.
    pub bytes: Vec<u8>,
    /// What it was inside of, or [`NOT_ENTERED`].
    pub encapsulation: u8,
    /// VNI or key.
    pub number: u32,
    /// What the flow is of: the packet inside, or the outer one where that was not entered.
    pub flow: Expected,
    /// Ports of the packet around it.
    pub outer_ports: (u16, u16),
}

/// VXLAN with this network's number.
#[must_use]
pub fn vxlan(number: u32, frame: &[u8]) -> Vec<u8> {
    [&[8, 0, 0, 0][..], &(number << 8).to_be_bytes(), frame].concat()
}

/// Geneve with this network's number and so many words of options.
#[must_use]
pub fn geneve(number: u32, options: u8, follows: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = follows.to_be_bytes();
    let header = [&[options, 0, high, low][..], &(number << 8).to_be_bytes()].concat();
    [header, vec![0; usize::from(options) * 4], payload.to_vec()].concat()
}

/// GRE with the given flags and four bytes for each that has some.
#[must_use]
pub fn gre(flags: u8, version: u8, follows: u16, words: &[u32], payload: &[u8]) -> Vec<u8> {
    let [high, low] = follows.to_be_bytes();
    let words: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    [&[flags, version, high, low][..], &words, payload].concat()
}

fn inner_ip() -> Vec<u8> {
    Ipv4 { source: C, destination: D, ..Ipv4::new(TCP) }.around(&tcp(40_000, 80, SYN))
}

fn inner(length: u32) -> Expected {
    Expected { source: mapped(C), destination: mapped(D), tcp: SYN, ..v4(TCP, (40_000, 80), length) }
}

const ETHERNET: u16 = 0x6558;

/// Everything that is entered, and what is not.
#[must_use]
pub fn tunnels() -> Vec<Tunnelled> {
    let frame = ethernet(IPV4, &inner_ip());
    let inner6 = ipv6(TCP, &tcp(40_000, 80, SYN));
    let expected6 = |length| Expected { tcp: SYN, ..v6(TCP, (40_000, 80), length) };
    let in_udp = |port, payload: &[u8]| in_v4(&Ipv4::new(UDP), &udp(55_555, port, payload));
    let entered = |name, bytes, encapsulation, number, flow, outer_ports| Tunnelled {
        name,
        bytes,
        encapsulation,
        number,
        flow,
        outer_ports,
    };
    let not = |name, bytes, flow| entered(name, bytes, NOT_ENTERED, 0, flow, (0, 0));
    let by_vxlan =
        |name, bytes, number, flow, port| entered(name, bytes, VXLAN, number, flow, (55_555, port));
    let by_gre = |name, bytes: Vec<u8>, number, flow| {
        entered(name, in_v4(&Ipv4::new(47), &bytes), GRE, number, flow, (0, 0))
    };
    let udp_outer = |port, length| v4(UDP, (55_555, port), length);
    vec![
        by_vxlan("vxlan", in_udp(4_789, &vxlan(100, &frame)), 100, inner(104), 4_789),
        by_vxlan("vxlan by the kernel's own port", in_udp(8_472, &vxlan(1, &frame)), 1, inner(104), 8_472),
        by_vxlan("vxlan by a configured port", in_udp(9_999, &vxlan(7, &frame)), 7, inner(104), 9_999),
        by_vxlan(
            "the highest number",
            in_udp(4_789, &vxlan(0xff_ffff, &frame)),
            0xff_ffff,
            inner(104),
            4_789,
        ),
        by_vxlan(
            "vxlan over ipv6",
            in_v6(UDP, &udp(55_555, 4_789, &vxlan(100, &frame))),
            100,
            inner(124),
            4_789,
        ),
        by_vxlan(
            "ipv6 in vxlan",
            in_udp(4_789, &vxlan(100, &ethernet(IPV6, &inner6))),
            100,
            expected6(124),
            4_789,
        ),
        by_vxlan(
            "a tag around the outer packet is the hook's, one around the inner frame is not",
            ethernet(
                VLAN_TAG,
                &tag(
                    30,
                    IPV4,
                    &Ipv4::new(UDP).around(&udp(
                        55_555,
                        4_789,
                        &vxlan(5, &ethernet(VLAN_TAG, &tag(40, IPV4, &inner_ip()))),
                    )),
                ),
            ),
            5,
            Expected { vlans: [30, 0], ..inner(112) },
            4_789,
        ),
        by_vxlan(
            "vxlan in vxlan: one level, the second is payload",
            in_udp(
                4_789,
                &vxlan(
                    100,
                    &ethernet(
                        IPV4,
                        &Ipv4 { source: C, destination: D, ..Ipv4::new(UDP) }.around(&udp(
                            44_444,
                            4_789,
                            &vxlan(200, &frame),
                        )),
                    ),
                ),
            ),
            100,
            Expected { source: mapped(C), destination: mapped(D), ..v4(UDP, (44_444, 4_789), 92) },
            4_789,
        ),
        by_vxlan(
            "address resolution in vxlan",
            in_udp(4_789, &vxlan(100, &ethernet(ARP, &arp(1)))),
            100,
            Expected { network: 0, proto: 0, asks: true, ..v4(0, (0, 0), 92) },
            4_789,
        ),
        entered(
            "geneve with a frame",
            in_udp(GENEVE_PORT, &geneve(9, 0, ETHERNET, &frame)),
            GENEVE,
            9,
            inner(104),
            (55_555, GENEVE_PORT),
        ),
        entered(
            "geneve with options and a packet",
            in_udp(GENEVE_PORT, &geneve(9, 3, IPV4, &inner_ip())),
            GENEVE,
            9,
            inner(102),
            (55_555, GENEVE_PORT),
        ),
        entered(
            "geneve with the longest options",
            in_udp(GENEVE_PORT, &geneve(9, 63, IPV6, &inner6)),
            GENEVE,
            9,
            expected6(362),
            (55_555, GENEVE_PORT),
        ),
        by_gre("gre", gre(0, 0, IPV4, &[], &inner_ip()), 0, inner(78)),
        by_gre("gre with a key", gre(0x20, 0, IPV4, &[0xdead_beef], &inner_ip()), 0xdead_beef, inner(82)),
        by_gre("gre with all there is", gre(0xb0, 0, IPV6, &[1, 2, 3], &inner6), 2, expected6(110)),
        by_gre("gretap", gre(0x20, 0, ETHERNET, &[8], &frame), 8, inner(96)),
        entered("ipip", in_v4(&Ipv4::new(4), &inner_ip()), IPIP, 0, inner(74), (0, 0)),
        entered("sit", in_v4(&Ipv4::new(41), &inner6), IPIP, 0, expected6(94), (0, 0)),
        entered("ipv4 in ipv6", in_v6(4, &inner_ip()), IPIP, 0, inner(94), (0, 0)),
        entered("ipv6 in ipv6", in_v6(41, &inner6), IPIP, 0, expected6(114), (0, 0)),
        not("another port", in_udp(4_790, &vxlan(100, &frame)), udp_outer(4_790, 42)),
        not(
            "vxlan from its port and not to it",
            in_v4(&Ipv4::new(UDP), &udp(4_789, 55_555, &vxlan(100, &frame))),
            v4(UDP, (4_789, 55_555), 42),
        ),
        not("no network's number", in_udp(4_789, &[&[0; 8][..], &frame].concat()), udp_outer(4_789, 42)),
        not("shorter than vxlan's header", in_udp(4_789, &[8, 0, 0]), udp_outer(4_789, 42)),
        not("an inner frame that is cut", in_udp(4_789, &vxlan(1, &frame[..30])), udp_outer(4_789, 42)),
        not(
            "an inner frame that is no ip",
            in_udp(4_789, &vxlan(1, &ethernet(0x88cc, &[0; 40]))),
            udp_outer(4_789, 42),
        ),
        not(
            "geneve of another version",
            in_udp(GENEVE_PORT, &geneve(9, 0x40, IPV4, &inner_ip())),
            udp_outer(GENEVE_PORT, 42),
        ),
        not(
            "gre of version 1",
            in_v4(&Ipv4::new(47), &gre(0x20, 1, IPV4, &[1], &inner_ip())),
            v4(47, (0, 0), 34),
        ),
        not(
            "gre with something else",
            in_v4(&Ipv4::new(47), &gre(0, 0, 0x88be, &[], &inner_ip())),
            v4(47, (0, 0), 34),
        ),
        not("ipip with nothing", in_v4(&Ipv4::new(4), &[0x45, 0, 0, 20, 0, 0, 0, 0]), v4(4, (0, 0), 34)),
    ]
}

const VLAN_TAG: u16 = super::super::VLAN;

/// A VXLAN datagram in three fragments: all of them are the inner flow's.
#[must_use]
pub fn fragments() -> [Vec<u8>; 3] {
    let long = Ipv4 { source: C, destination: D, ..Ipv4::new(UDP) }.around(&udp(5_000, 53, &[0; 200]));
    let datagram = udp(55_555, 4_789, &vxlan(100, &ethernet(IPV4, &long)));
    let part = |from: usize, to: usize, more| {
        let offset = u16::try_from(from / 8).unwrap_or(0);
        let header = Ipv4 { identification: 0xbeef, more, offset, ..Ipv4::new(UDP) };
        in_v4(&header, &datagram[from..to])
    };
    [part(0, 96, true), part(96, 192, true), part(192, datagram.len(), false)]
}
