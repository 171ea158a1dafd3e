//! Samples of the layers below the ports: Ethernet, tags, IPv4, IPv6.

use std::{vec, vec::Vec};

use super::*;

/// Ethernet, tags, and nothing before the network header.
#[must_use]
pub fn links() -> Vec<Sample> {
    let ip = Ipv4::new(TCP).around(&tcp(40_000, 80, ACK));
    let ip6 = ipv6(TCP, &tcp(40_000, 80, ACK));
    let ports = (40_000, 80);
    let tagged = |vlans, length| Expected { vlans, ..v4(TCP, ports, length) };
    let metadata = |sample| Sample { metadata_tag: Some(0x6000 | 100), ..sample };
    vec![
        frame("ethernet", ethernet(IPV4, &ip), v4(TCP, ports, 54)),
        frame(
            "one tag, priority bits left out",
            ethernet(VLAN, &tag(0xf064, IPV4, &ip)),
            tagged([100, 0], 58),
        ),
        frame(
            "one tag before ipv6",
            ethernet(VLAN, &tag(7, IPV6, &ip6)),
            Expected { vlans: [7, 0], ..v6(TCP, ports, 78) },
        ),
        frame(
            "service and customer tag",
            ethernet(SERVICE_VLAN, &tag(200, VLAN, &tag(100, IPV4, &ip))),
            tagged([200, 100], 62),
        ),
        frame("two customer tags", ethernet(VLAN, &tag(1, VLAN, &tag(2, IPV4, &ip))), tagged([1, 2], 62)),
        metadata(frame("a tag taken out of the frame", ethernet(IPV4, &ip), tagged([100, 0], 54))),
        metadata(frame(
            "a tag taken out, another left in",
            ethernet(VLAN, &tag(5, IPV4, &ip)),
            tagged([100, 5], 58),
        )),
        metadata(skipped(
            "a tag taken out, two left in",
            ethernet(VLAN, &tag(5, VLAN, &tag(6, IPV4, &ip))),
            "too_many_tags",
        )),
        skipped(
            "three tags",
            ethernet(VLAN, &tag(1, VLAN, &tag(2, VLAN, &tag(3, IPV4, &ip)))),
            "too_many_tags",
        ),
        Sample { ethernet: false, ..frame("ipv4 without ethernet", ip.clone(), v4(TCP, ports, 40)) },
        Sample { ethernet: false, ..frame("ipv6 without ethernet", ip6, v6(TCP, ports, 60)) },
        Sample { ethernet: false, ..skipped("neither version without ethernet", vec![0x50; 64], "not_ip") },
    ]
}

/// Options and fragments of IPv4.
#[must_use]
pub fn ipv4_headers() -> Vec<Sample> {
    let fragment = |offset, more| Ipv4 { offset, more, identification: 0xbeef, ..Ipv4::new(UDP) };
    let of =
        |fragment, ports, length| Expected { fragment, identification: 0xbeef, ..v4(UDP, ports, length) };
    let options = |length: usize| Ipv4 { options: vec![1; length], ..Ipv4::new(TCP) };
    let whole = Ipv4 { identification: 0xbeef, ..Ipv4::new(UDP) };
    vec![
        frame("options move the ports", in_v4(&options(4), &tcp(1111, 53, ACK)), v4(TCP, (1111, 53), 58)),
        frame("the longest options", in_v4(&options(40), &tcp(1111, 53, ACK)), v4(TCP, (1111, 53), 94)),
        frame("first fragment", in_v4(&fragment(0, true), &udp(1, 2, &[0; 16])), of(1, (1, 2), 42)),
        frame("later fragment", in_v4(&fragment(3, true), &udp(1, 2, &[0; 16])), of(2, (0, 0), 34)),
        frame("last fragment", in_v4(&fragment(300, false), &[9; 3]), of(2, (0, 0), 34)),
        frame("a whole datagram has no identity", in_v4(&whole, &udp(1, 2, &[])), v4(UDP, (1, 2), 42)),
        frame(
            "a first fragment of eight bytes has ports and no flags",
            in_v4(&Ipv4 { more: true, identification: 0xbeef, ..Ipv4::new(TCP) }, &tcp(5, 6, SYN)[..8]),
            Expected { tcp: 0, fragment: 1, identification: 0xbeef, ..v4(TCP, (5, 6), 42) },
        ),
        frame(
            "a first fragment of eight bytes, padded to the least a cable carries",
            join(
                &in_v4(&Ipv4 { more: true, identification: 0xbeef, ..Ipv4::new(TCP) }, &tcp(5, 6, SYN)[..8]),
                &[0; 18],
            ),
            Expected { tcp: 0, fragment: 1, identification: 0xbeef, ..v4(TCP, (5, 6), 42) },
        ),
        frame(
            "trailing padding is no part of it",
            join(&in_v4(&whole, &udp(1, 2, &[])), &[0; 18]),
            v4(UDP, (1, 2), 42),
        ),
        frame(
            "length 0: larger than 64 KiB",
            {
                let mut bytes = in_v4(&Ipv4::new(TCP), &tcp(40_000, 80, ACK));
                bytes[16..18].fill(0);
                bytes
            },
            v4(TCP, (40_000, 80), 54),
        ),
    ]
}

/// Extension headers and fragments of IPv6.
#[must_use]
pub fn ipv6_headers() -> Vec<Sample> {
    let (ports, segment) = ((1111, 53), tcp(1111, 53, ACK));
    let datagram = udp(1, 2, &[0; 16]);
    let of = |kind, ports, length| Expected {
        fragment: kind,
        identification: 0xdead_beef,
        ..v6(UDP, ports, length)
    };
    let chain = |headers: u8, next, end: &[u8]| {
        (1..headers).fold(extension(next, 0, end), |then, _| extension(DESTINATION_OPTIONS, 0, &then))
    };
    vec![
        frame("ipv6", in_v6(TCP, &segment), v6(TCP, ports, 74)),
        frame("hop-by-hop options", in_v6(HOP_BY_HOP, &extension(TCP, 1, &segment)), v6(TCP, ports, 90)),
        frame("routing header", in_v6(ROUTING, &extension(TCP, 2, &segment)), v6(TCP, ports, 98)),
        frame(
            "destination options",
            in_v6(DESTINATION_OPTIONS, &extension(TCP, 0, &segment)),
            v6(TCP, ports, 82),
        ),
        frame("mobility header", in_v6(135, &extension(TCP, 0, &segment)), v6(TCP, ports, 82)),
        frame(
            "authentication header",
            in_v6(AUTHENTICATION, &authentication(TCP, 4, &segment)),
            v6(TCP, ports, 98),
        ),
        frame(
            "hop-by-hop, routing, destination, authentication",
            in_v6(
                HOP_BY_HOP,
                &extension(
                    ROUTING,
                    0,
                    &extension(
                        DESTINATION_OPTIONS,
                        0,
                        &extension(AUTHENTICATION, 0, &authentication(TCP, 1, &segment)),
                    ),
                ),
            ),
            v6(TCP, ports, 110),
        ),
        frame(
            "eight extension headers",
            in_v6(DESTINATION_OPTIONS, &chain(8, TCP, &segment)),
            v6(TCP, ports, 138),
        ),
        frame(
            "nine extension headers: no ports, under the number where the walk ended",
            in_v6(DESTINATION_OPTIONS, &chain(9, TCP, &segment)),
            Expected { tcp: 0, ..v6(DESTINATION_OPTIONS, (0, 0), 118) },
        ),
        frame(
            "first fragment",
            in_v6(FRAGMENT, &fragment(UDP, 0, true, 0xdead_beef, &datagram)),
            of(1, (1, 2), 70),
        ),
        frame(
            "later fragment",
            in_v6(FRAGMENT, &fragment(UDP, 3, true, 0xdead_beef, &[7; 16])),
            of(2, (0, 0), 62),
        ),
        frame(
            "last fragment",
            in_v6(FRAGMENT, &fragment(UDP, 5, false, 0xdead_beef, &[7; 1])),
            of(2, (0, 0), 62),
        ),
        frame(
            "atomic fragment: the whole datagram",
            in_v6(FRAGMENT, &fragment(UDP, 0, false, 0xdead_beef, &datagram)),
            v6(UDP, (1, 2), 70),
        ),
        frame(
            "a later fragment's payload is no extension header",
            in_v6(FRAGMENT, &fragment(DESTINATION_OPTIONS, 9, false, 0xdead_beef, &[0xff; 8])),
            Expected { fragment: 2, identification: 0xdead_beef, ..v6(DESTINATION_OPTIONS, (0, 0), 62) },
        ),
        frame(
            "options before a fragment",
            in_v6(HOP_BY_HOP, &extension(FRAGMENT, 0, &fragment(UDP, 0, true, 0xdead_beef, &datagram))),
            of(1, (1, 2), 78),
        ),
        frame("no next header", in_v6(59, &[]), v6(59, (0, 0), 54)),
        frame(
            "length 0: a jumbogram",
            {
                let mut bytes = in_v6(TCP, &segment);
                bytes[18..20].fill(0);
                bytes
            },
            v6(TCP, ports, 74),
        ),
    ]
}
