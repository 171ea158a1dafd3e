//! ICMP errors byte by byte → the packets they quote.

use std::vec::Vec;

use proptest::prelude::*;

use super::{
    super::{Fragment, Headers, inner, quote},
    packets::{
        samples::errors::{Error, Quoted, errors, no_errors},
        *,
    },
    read,
};
use crate::{
    icmp_error::IcmpErrorType,
    tunnel::{Encapsulation, Tunnels},
};

/// The headers of the message, and of one in a tunnel where there is one.
fn message(bytes: &[u8]) -> Option<Headers> {
    let outer = read(bytes, true, None).ok()?;
    let tunnels = Tunnels { vxlan: [4_789, 0, 0, 0], geneve: 0, enabled: 1, repeats: 0 };
    let carried = tunnels.carried(outer.proto, outer.ports.destination);
    let mut headers = outer;
    if carried == Encapsulation::NONE {
        return Some(outer);
    }
    inner(&bytes, carried, &outer, &mut headers).ok()?;
    Some(headers)
}

fn quoted_by(bytes: &[u8]) -> Option<(Quoted, u32)> {
    let error = message(bytes).filter(|one| one.icmp_error() != IcmpErrorType::NONE)?;
    let mut headers = Headers::default();
    let mtu = quote(&bytes, &error, &mut headers).ok()?;
    let quoted = Quoted {
        source: headers.source,
        destination: headers.destination,
        ports: (headers.ports.source, headers.ports.destination),
        proto: headers.proto.0,
        fragment: u8::from(headers.fragment == Fragment::LATER),
    };
    Some((quoted, mtu))
}

#[test]
fn errors_quote_the_packet_they_are_about() {
    for Error { name, bytes, message: (kind, code), mtu, quoted, .. } in errors() {
        let headers = message(&bytes).expect(name);
        assert_eq!(headers.ports.destination.to_be_bytes(), [kind, code], "{name}");
        assert_ne!(headers.icmp_error(), IcmpErrorType::NONE, "{name}");
        assert_eq!(quoted_by(&bytes), quoted.map(|quoted| (quoted, mtu)), "{name}");
    }
}

#[test]
fn other_messages_and_parts_of_errors_quote_nothing() {
    for (name, bytes) in no_errors() {
        let error = message(&bytes).expect(name).icmp_error();
        assert_eq!(error, IcmpErrorType::NONE, "{name}");
    }
}

/// Without a word of the outer length, which a cut packet lies about.
#[test]
fn a_cut_quote_says_the_same_or_nothing() {
    for Error { name, bytes, mtu, quoted, .. } in errors() {
        let Some(error) = message(&bytes) else { continue };
        for end in 0..bytes.len() {
            let mut headers = Headers::default();
            if let Ok(said) = quote(&&bytes[..end], &error, &mut headers) {
                let ports = (headers.ports.source, headers.ports.destination);
                let whole = quoted.expect(name);
                let same = (headers.source, headers.destination, ports, said);
                assert_eq!(same, (whole.source, whole.destination, whole.ports, mtu), "{name} cut to {end}");
            }
        }
    }
}

#[test]
fn types_and_codes_have_one_class_each() {
    use crate::wire::Network;
    let class = |network, kind, code| IcmpErrorType::of(network, kind, code).name();
    assert_eq!(class(Network::IPV4, 3, 13), "prohibited");
    assert_eq!(class(Network::IPV6, 1, 1), "prohibited");
    assert_eq!(class(Network::IPV6, 3, 0), "time_exceeded");
    assert_eq!(class(Network::IPV4, 3, 77), "other");
    assert_eq!(class(Network::IPV4, 4, 0), "none", "source quench is deprecated (RFC 6633)");
    assert_eq!(class(Network::ARP, 3, 3), "none");
    let names: Vec<_> = IcmpErrorType::all().map(IcmpErrorType::name).collect();
    assert!(!names.contains(&"none") && names.len() as u32 == IcmpErrorType::COUNT - 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_quote_panics_or_is_of_another_sender(
        quote in prop::collection::vec(any::<u8>(), 0..200),
        kind in prop::sample::select(&[1_u8, 2, 3, 4, 11, 12][..]),
        code: u8,
        v6: bool,
    ) {
        let message = icmp(kind, code, &join(&[0; 4], &quote));
        let frame = if v6 {
            ethernet(IPV6, &ipv6(ICMPV6, &message))
        } else {
            ethernet(IPV4, &Ipv4::new(ICMP).around(&message))
        };
        if let Some((quoted, _)) = quoted_by(&frame) {
            prop_assert_eq!(quoted.source, if v6 { B6 } else { super::super::mapped(B) });
        }
    }
}
