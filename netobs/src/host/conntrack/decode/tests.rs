//! Messages as the kernel builds them, and bytes as it never would.

use proptest::prelude::*;

use super::*;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | 0x8000, &parts.concat())
}

fn port(kind: u16, port: u16) -> Vec<u8> {
    attribute(kind, &port.to_be_bytes())
}

fn addresses(source: &str, destination: &str) -> Vec<u8> {
    let one = |v4, v6, text: &str| match text.parse().unwrap() {
        IpAddr::V4(address) => attribute(v4, &address.octets()),
        IpAddr::V6(address) => attribute(v6, &address.octets()),
    };
    let source = one(cta::IP_V4_SRC, cta::IP_V6_SRC, source);
    nested(cta::TUPLE_IP, &[source, one(cta::IP_V4_DST, cta::IP_V6_DST, destination)])
}

fn tcp(source: (&str, u16), destination: (&str, u16)) -> Vec<Vec<u8>> {
    let ports = [
        attribute(cta::PROTO_NUM, &[6]),
        port(cta::PROTO_SRC_PORT, source.1),
        port(cta::PROTO_DST_PORT, destination.1),
    ];
    vec![addresses(source.0, destination.0), nested(cta::TUPLE_PROTO, &ports)]
}

fn payload(attributes: &[Vec<u8>]) -> Vec<u8> {
    [vec![2, 0, 0, 0], attributes.concat()].concat()
}

fn message(kind: u16, flags: u16, payload: &[u8]) -> Message<'_> {
    Message { kind, flags, sequence: 0, payload }
}

fn masqueraded() -> Vec<u8> {
    payload(&[
        nested(cta::TUPLE_ORIG, &tcp(("10.0.0.2", 4000), ("198.51.100.9", 80))),
        nested(cta::TUPLE_REPLY, &tcp(("198.51.100.9", 80), ("198.51.100.1", 5000))),
        attribute(cta::ID, &7u32.to_be_bytes()),
        attribute(cta::STATUS, &(8u32 | 16).to_be_bytes()),
        attribute(cta::MARK, &0xabu32.to_be_bytes()),
        attribute(cta::ZONE, &3u16.to_be_bytes()),
        nested(
            cta::COUNTERS_ORIG,
            &[
                attribute(cta::COUNTERS_PACKETS, &2u64.to_be_bytes()),
                attribute(cta::COUNTERS_BYTES, &120u64.to_be_bytes()),
            ],
        ),
        attribute(99, b"an attribute of a later kernel"),
    ])
}

#[test]
fn both_directions_and_the_translation_are_read() {
    let Ok(Some(Decoded::Update(found))) = decode(message(NEW, 0, &masqueraded())) else { panic!() };
    assert_eq!((found.id, found.zone, found.reply_zone, found.protocol, found.mark), (7, 3, 3, 6, 0xab));
    assert_eq!((found.original.source, found.original.source_port), ("10.0.0.2".parse().unwrap(), 4000));
    assert_eq!(
        (found.reply.destination, found.reply.destination_port),
        ("198.51.100.1".parse().unwrap(), 5000)
    );
    assert!(found.status.contains(Status::SRC_NAT) && found.is_translated());
    assert!(!found.status.contains(Status::DST_NAT));
    assert_eq!((found.original_count, found.reply_count), (Some(Count { packets: 2, bytes: 120 }), None));
}

#[test]
fn flags_tell_a_new_connection_from_an_update() {
    let bytes = masqueraded();
    assert!(matches!(decode(message(NEW, 0x600, &bytes)), Ok(Some(Decoded::New(_)))));
    assert!(matches!(decode(message(NEW, 0, &bytes)), Ok(Some(Decoded::Update(_)))));
    assert!(matches!(decode(message(DELETE, 0, &bytes)), Ok(Some(Decoded::Destroy(_)))));
    assert_eq!(decode(message(CTNETLINK | 9, 0, &bytes)), Ok(None));
}

#[test]
fn an_icmp_identifier_is_both_ports() {
    let echo = |source, destination, kind| {
        let parts = [
            attribute(cta::PROTO_NUM, &[58]),
            port(cta::PROTO_ICMPV6_ID, 0x1234),
            attribute(cta::PROTO_ICMPV6_TYPE, &[kind]),
            attribute(cta::PROTO_ICMPV6_CODE, &[0]),
        ];
        [addresses(source, destination), nested(cta::TUPLE_PROTO, &parts)]
    };
    let bytes = payload(&[
        nested(cta::TUPLE_ORIG, &echo("2001:db8::1", "2001:db8::2", 128)),
        nested(cta::TUPLE_REPLY, &echo("2001:db8::2", "2001:db8::1", 129)),
    ]);
    let Ok(Some(Decoded::New(found))) = decode(message(NEW, 0x400, &bytes)) else { panic!() };
    assert_eq!((found.original.source_port, found.original.destination_port), (0x1234, 0x1234));
    assert_eq!(found.original.icmp, Some(Icmp { kind: 128, code: 0 }));
    assert_eq!(found.reply.icmp, Some(Icmp { kind: 129, code: 0 }));
}

#[test]
fn a_zone_of_one_direction_is_that_directions() {
    let zones = |of_original: bool| {
        let [mut original, mut reply] =
            [tcp(("10.0.0.2", 1), ("10.0.0.3", 2)), tcp(("10.0.0.3", 2), ("10.0.0.2", 1))];
        let zoned = if of_original { &mut original } else { &mut reply };
        zoned.push(attribute(cta::TUPLE_ZONE, &5u16.to_be_bytes()));
        let bytes = payload(&[nested(cta::TUPLE_ORIG, &original), nested(cta::TUPLE_REPLY, &reply)]);
        let Ok(Some(Decoded::Update(found))) = decode(message(NEW, 0, &bytes)) else { panic!() };
        [found.zone, found.reply_zone]
    };
    assert_eq!((zones(true), zones(false)), ([5, 0], [0, 5]));
}

#[test]
fn a_connection_without_both_tuples_is_malformed() {
    let one = payload(&[nested(cta::TUPLE_ORIG, &tcp(("10.0.0.2", 1), ("10.0.0.3", 2)))]);
    assert_eq!(decode(message(NEW, 0, &one)), Err(Malformed));
    assert_eq!(decode(message(NEW, 0, &[2, 0])), Err(Malformed));
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..512)) {
        prop_assert_eq!(decode(message(0, 0, &bytes)), Ok(None));
        prop_assert!(decode(message(NEW, 0, &bytes)).is_err() || bytes.len() > 40);
    }

    #[test]
    fn a_message_cut_anywhere_is_whole_or_refused(cut in 0usize..400, flip in 0usize..400, value in proptest::num::u8::ANY) {
        let whole = masqueraded();
        let Ok(Some(Decoded::Update(expected))) = decode(message(NEW, 0, &whole)) else { panic!() };
        if let Ok(Some(Decoded::Update(found))) = decode(message(NEW, 0, &whole[..cut.min(whole.len())])) {
            prop_assert_eq!((found.original, found.reply), (expected.original, expected.reply));
        }
        let mut damaged = whole.clone();
        damaged[flip % whole.len()] = value;
        let decoded = decode(message(NEW, 0, &damaged));
        prop_assert!(decoded != Ok(None));
    }
}
