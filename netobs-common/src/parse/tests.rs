//! Packets byte by byte → what the parser says of them: the samples that the kernel is held to as well,
//! every truncation of them, and arbitrary bytes.

#[path = "../../../tests/src/packets/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the tests of the kernel side, which need all of it"
)]
mod packets;

mod errors;

use std::vec::Vec;

use packets::{
    samples::{self, Expected, Sample, tunnels},
    *,
};
use proptest::prelude::*;

use super::{Headers, inner, parse};
use crate::{interface::LinkLayer, packet::Packet, skip::Skip, tunnel::Tunnels};

fn link_layer(ethernet: bool) -> LinkLayer {
    if ethernet { LinkLayer::ETHERNET } else { LinkLayer::NONE }
}

/// Over the headers of another packet with every field set, as the kernel's scratch holds them.
fn read(bytes: &[u8], ethernet: bool, metadata_tag: Option<u16>) -> Result<Headers, Skip> {
    let mut headers = Headers::default();
    let before = ethernet_to([0xff; 6], IPV6, &ipv6(FRAGMENT, &fragment(TCP, 0, true, 9, &tcp(8, 9, SYN))));
    parse(&&before[..], LinkLayer::ETHERNET, Some(3), &mut headers).expect("a fragment with all there is");
    parse(&bytes, link_layer(ethernet), metadata_tag, &mut headers).map(|()| headers)
}

fn said(headers: &Headers) -> Expected {
    Expected {
        source: headers.source,
        destination: headers.destination,
        ports: (headers.ports.source, headers.ports.destination),
        vlans: headers.vlans,
        network: headers.network.0,
        proto: headers.proto.0,
        tcp: headers.tcp.0,
        fragment: headers.fragment.0,
        identification: headers.identification,
        group: headers.is_group(),
        asks: headers.asks != 0,
        length: headers.length,
    }
}

fn holds(samples: Vec<Sample>) {
    for Sample { name, bytes, ethernet, metadata_tag, expected } in samples {
        let read = read(&bytes, ethernet, metadata_tag);
        assert_eq!(read.as_ref().map(said).map_err(|skip| skip.name()), expected, "{name}");
        if let Ok(headers) = read {
            assert_eq!(headers.source_mac, if ethernet { A_MAC } else { [0; 6] }, "{name}");
        }
    }
}

#[test]
fn link_layers_and_tags_are_told_apart() {
    holds(samples::links());
}

#[test]
fn ipv4_options_move_the_ports_and_fragments_have_their_part() {
    holds(samples::ipv4_headers());
}

#[test]
fn ipv6_extension_headers_are_followed_as_far_as_the_bound() {
    holds(samples::ipv6_headers());
}

#[test]
fn transports_have_ports_and_flags() {
    holds(samples::transports());
}

#[test]
fn control_messages_have_something_in_the_place_of_ports() {
    holds(samples::control());
}

#[test]
fn groups_are_told_by_frame_and_by_address() {
    holds(samples::groups());
}

#[test]
fn what_has_no_flow_has_a_reason() {
    holds(samples::skips());
}

#[test]
fn neighbour_discovery_is_told_from_echoes_with_the_same_numbers() {
    let found = |payload: &[u8]| {
        let frame = ethernet(IPV6, &ipv6(ICMPV6, payload));
        read(&frame, true, None).expect("whole").is_neighbour_discovery()
    };
    assert!(found(&icmp(133, 0, &[0; 4])));
    assert!(found(&icmp(137, 0, &[0; 36])));
    assert!(found(&icmp(135, 0, &[0; 20])) && found(&icmp(136, 0, &[0; 20])));
    assert!(!found(&icmp(132, 0, &[0; 20])));
    assert!(!found(&icmp(138, 0, &[0; 20])));
    assert!(!found(&icmp(128, 0, &echo(0x8700, 1))), "an identifier is no type");
    assert!(read(&ethernet(ARP, &arp(1)), true, None).expect("whole").is_neighbour_discovery());
}

#[test]
fn a_packet_cut_anywhere_in_its_headers_is_truncated_or_contradicts_itself() {
    for Sample { name, bytes, ethernet, metadata_tag, expected } in samples::all() {
        let Ok(expected) = expected else { continue };
        for end in 0..expected.length as usize {
            let result = read(&bytes[..end], ethernet, metadata_tag);
            // Cut, the length in the IP header is a lie, which is found first where the header is whole.
            assert!(
                matches!(result, Err(Skip::TRUNCATED | Skip::MALFORMED)),
                "{name} cut to {end} of {}: {result:?}",
                expected.length
            );
        }
    }
}

#[test]
fn headers_that_run_past_the_end_are_truncated_where_the_ip_length_is_honest() {
    let four = |proto, payload: &[u8]| read(&ethernet(IPV4, &Ipv4::new(proto).around(payload)), true, None);
    for (proto, payload, name) in [
        (TCP, tcp_with(1, 2, ACK, &[1; 40]), "tcp with options"),
        (UDP, udp(1, 2, &[]), "udp"),
        (SCTP, sctp(1, 2), "sctp"),
        (ICMP, icmp(8, 0, &echo(1, 1)), "echo"),
        (ICMP, icmp(3, 3, &[0; 4]), "unreachable"),
    ] {
        assert!(four(proto, &payload).is_ok(), "{name}");
        for end in 0..payload.len() {
            assert_eq!(four(proto, &payload[..end]), Err(Skip::TRUNCATED), "{name} cut to {end}");
        }
    }
    let beyond = ipv6(HOP_BY_HOP, &[59, 200, 0, 0, 0, 0, 0, 0]);
    assert_eq!(read(&ethernet(IPV6, &beyond), true, None), Err(Skip::TRUNCATED), "an extension header");
}

#[test]
fn a_first_fragment_may_end_within_its_transport_header() {
    let header = Ipv4 { more: true, ..Ipv4::new(TCP) };
    let all = tcp_with(7, 8, SYN, &[1; 20]);
    for end in (8..40).step_by(8) {
        let frame = ethernet(IPV4, &header.around(&all[..end]));
        let headers = read(&frame, true, None).expect("it has the ports");
        assert_eq!((headers.ports.source, headers.ports.destination), (7, 8));
        assert!(headers.length as usize <= frame.len());
        assert_eq!(headers.tcp.0, if end < 14 { 0 } else { SYN }, "of {end} bytes");
    }
}

/// A sample with some of its bytes replaced, and perhaps cut: nearer to what parsers fail at than noise is.
fn mutated() -> impl Strategy<Value = (Vec<u8>, bool, Option<u16>)> {
    let all: Vec<_> =
        samples::all().into_iter().map(|one| (one.bytes, one.ethernet, one.metadata_tag)).collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (prop::sample::select(all), changes, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |((mut bytes, ethernet, tag), changes, end, cut)| {
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            (bytes, ethernet, tag)
        },
    )
}

fn stays_inside(bytes: &[u8], ethernet: bool, tag: Option<u16>) -> Result<(), TestCaseError> {
    match read(bytes, ethernet, tag) {
        Ok(headers) => {
            prop_assert!(headers.length as usize <= bytes.len(), "{} of {}", headers.length, bytes.len());
            prop_assert!([0, 4, 6].contains(&headers.network.0));
        }
        Err(reason) => prop_assert!(reason.0 > 0 && reason.0 < Skip::COUNT),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic_or_lead_beyond_the_packet(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        ethernet: bool,
        tag in prop::option::of(any::<u16>()),
    ) {
        stays_inside(&bytes, ethernet, tag)?;
    }

    #[test]
    fn no_bytes_inside_a_packet_panic_or_lead_beyond_it(
        payload in prop::collection::vec(any::<u8>(), 0..256),
        udp_port in prop::sample::select(&[4_789_u16, 6_081][..]),
        proto in prop::sample::select(&[UDP, 4, 41, 47][..]),
    ) {
        let datagram = if proto == UDP { udp(1, udp_port, &payload) } else { payload };
        let frame = ethernet(IPV4, &Ipv4::new(proto).around(&datagram));
        if let Some((headers, ..)) = entered(&frame) {
            prop_assert!(headers.length as usize <= frame.len());
        }
    }

    #[test]
    fn no_mutation_of_a_real_packet_panics_or_leads_beyond_it((bytes, ethernet, tag) in mutated()) {
        stays_inside(&bytes, ethernet, tag)?;
    }

    #[test]
    fn a_cut_packet_says_the_same_or_nothing((bytes, ethernet, tag) in mutated(), end: prop::sample::Index) {
        if let Ok(whole) = read(&bytes, ethernet, tag) {
            let cut = &bytes[..end.index(bytes.len() + 1)];
            match read(cut, ethernet, tag) {
                // A first fragment may lose its flags with the end of its header, and the end itself.
                Ok(part) if whole.fragment == super::Fragment::FIRST => {
                    prop_assert_eq!(part.ports, whole.ports);
                    prop_assert_eq!(part.source, whole.source);
                }
                Ok(part) => prop_assert_eq!(part, whole),
                Err(reason) => prop_assert!(matches!(reason, Skip::TRUNCATED | Skip::MALFORMED)),
            }
        }
    }

    #[test]
    fn padding_says_nothing(at: prop::sample::Index, end: prop::sample::Index, padding in prop::collection::vec(any::<u8>(), 1..64)) {
        // Made anew with every payload length, so that the IP header is honest about its end.
        let all = tcp_with(7, 8, SYN, &[1; 20]);
        let payload = &all[..end.index(all.len() + 1)];
        let frames = [
            ethernet(IPV4, &Ipv4::new(TCP).around(payload)),
            ethernet(IPV4, &Ipv4 { more: true, ..Ipv4::new(TCP) }.around(payload)),
            ethernet(IPV6, &ipv6(FRAGMENT, &fragment(TCP, 0, true, 9, payload))),
            ethernet(IPV6, &ipv6(HOP_BY_HOP, &extension(TCP, 0, payload))),
        ];
        let frame = at.get(&frames);
        match (read(&join(frame, &padding), true, None), read(frame, true, None)) {
            // A header that ends in padding may contradict itself there; it has no flow either way.
            (Err(_), Err(_)) => {}
            (padded, plain) => prop_assert_eq!(padded, plain),
        }
    }
}

#[test]
fn reading_past_the_end_is_refused_at_every_offset() {
    let bytes: &[u8] = &[1, 2, 3, 4];
    assert_eq!(bytes.bytes::<2>(2), Some([3, 4]));
    assert_eq!(bytes.bytes::<2>(3), None);
    assert_eq!(bytes.bytes::<1>(usize::MAX), None);
}

/// As the kernel side does it where the tunnel is this host's.
fn entered(bytes: &[u8]) -> Option<(Headers, u8, u32)> {
    let tunnels =
        Tunnels { vxlan: tunnels::VXLAN_PORTS, geneve: tunnels::GENEVE_PORT, enabled: 1, repeats: 0 };
    let outer = read(bytes, true, None).ok()?;
    let carried = tunnels.carried(outer.proto, outer.ports.destination);
    let mut headers = outer;
    match inner(&bytes, carried, &outer, &mut headers) {
        Ok(number) => Some((Headers { vlans: outer.vlans, ..headers }, carried.0, number)),
        Err(_) => Some((outer, tunnels::NOT_ENTERED, 0)),
    }
}

#[test]
fn the_packet_inside_another_is_read_one_level_deep() {
    for sample in tunnels::tunnels() {
        let (headers, encapsulation, number) = entered(&sample.bytes).expect(sample.name);
        assert_eq!(said(&headers), sample.flow, "{}", sample.name);
        assert_eq!((encapsulation, number), (sample.encapsulation, sample.number), "{}", sample.name);
    }
}

#[test]
fn a_packet_inside_another_cut_anywhere_in_its_headers_is_not_read() {
    for sample in tunnels::tunnels().iter().filter(|one| one.encapsulation != tunnels::NOT_ENTERED) {
        for end in 0..sample.flow.length as usize {
            // The outer length is a lie now, so even that is refused; without the lie, the inner one is.
            assert!(entered(&sample.bytes[..end]).is_none(), "{} cut to {end}", sample.name);
        }
    }
}
