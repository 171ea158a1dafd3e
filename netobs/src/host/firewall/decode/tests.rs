//! Messages as the kernel builds them → what is read; any bytes → no panic.

use proptest::prelude::*;

use super::*;
use crate::host::facts::firewall::{
    Connection, Element, Match, NatRange, Range, Reject, Set, Target, Value, Verdict, family,
};

const NEW_SET: u16 = 10 << 8 | 9;
const NEW_ELEMENTS: u16 = 10 << 8 | 12;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(4 + value.len()).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, family: u8, body: Vec<Vec<u8>>) -> (u16, Vec<u8>) {
    (kind, [vec![family, 0, 0, 0], body.concat()].concat())
}

fn seen((kind, payload): &(u16, Vec<u8>)) -> Message<'_> {
    Message { kind: *kind, flags: 0, sequence: 1, payload }
}

fn step(name: &str, data: Vec<Vec<u8>>) -> Vec<u8> {
    attribute(1, &[attribute(1, name.as_bytes()), attribute(2, &data.concat())].concat())
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn data(kind: u16, bytes: &[u8]) -> Vec<u8> {
    attribute(kind, &attribute(1, bytes))
}

fn verdict(kind: u16, code: i32, chain: Option<&str>) -> Vec<u8> {
    let chain = chain.map(|chain| attribute(2, chain.as_bytes())).unwrap_or_default();
    attribute(kind, &attribute(2, &[number(1, code.cast_unsigned()), chain].concat()))
}

fn compat(name: &str, revision: u32, info: &[u8]) -> Vec<Vec<u8>> {
    vec![attribute(1, name.as_bytes()), number(2, revision), attribute(3, info)]
}

fn read(family: u8, steps: &[Vec<u8>]) -> Rule {
    let body = vec![attribute(1, b"filter\0"), attribute(2, b"FORWARD\0"), attribute(4, &steps.concat())];
    rule(seen(&message(NEW_RULE, family, body))).unwrap().unwrap()
}

fn one(family: u8, name: &str, of: Vec<Vec<u8>>) -> Step {
    read(family, &[step(name, of)]).steps.remove(0)
}

#[test]
fn a_base_chain_has_its_hook_its_policy_and_its_counter() {
    let bytes = message(
        NEW_CHAIN,
        2,
        vec![
            attribute(1, b"nat\0"),
            attribute(3, b"POSTROUTING\0"),
            attribute(4, &[number(1, 4), number(2, 100)].concat()),
            number(5, 0),
            attribute(7, b"nat\0"),
            attribute(8, &[attribute(1, &84_u64.to_be_bytes()), attribute(2, &1_u64.to_be_bytes())].concat()),
        ],
    );
    let chain = chain(seen(&bytes)).unwrap().unwrap();
    assert_eq!((chain.name.as_str(), chain.hook, chain.drops), ("POSTROUTING", Some((4, 100)), Some(true)));
    assert_eq!(chain.counter, Some(Counter { packets: 1, bytes: 84 }));
    assert!(chain.is_source_nat());
}

#[test]
fn a_table_that_is_switched_off_is_told() {
    let table = |flags| message(NEW_TABLE, 1, vec![attribute(1, b"fw\0"), number(2, flags)]);
    assert_eq!(dormant(seen(&table(0))).unwrap(), None);
    assert_eq!(dormant(seen(&table(1))).unwrap(), Some(Table { family: 1, name: "fw".into() }));
}

#[test]
fn a_rule_of_iptables_is_read_step_by_step() {
    let mut range = vec![0; 20];
    range[0] = 1;
    let bytes = message(
        NEW_RULE,
        2,
        vec![
            attribute(1, b"nat\0"),
            attribute(2, b"POSTROUTING\0"),
            attribute(3, &7_u64.to_be_bytes()),
            attribute(
                4,
                &[
                    step("payload", vec![number(1, 8), number(2, 1), number(3, 12), number(4, 4)]),
                    step(
                        "bitwise",
                        vec![number(1, 8), number(2, 8), data(4, &[255, 255, 0, 0]), data(5, &[0; 4])],
                    ),
                    step("cmp", vec![number(1, 8), number(2, 0), data(3, &[172, 17, 0, 0])]),
                    step(
                        "counter",
                        vec![attribute(1, &60_u64.to_be_bytes()), attribute(2, &1_u64.to_be_bytes())],
                    ),
                    step("target", compat("MASQUERADE", 0, &range)),
                ]
                .concat(),
            ),
        ],
    );
    let rule = rule(seen(&bytes)).unwrap().unwrap();
    assert_eq!(
        rule.steps,
        [
            Step::Payload { to: 8, base: 1, offset: 12, length: 4 },
            Step::Mask { from: 8, to: 8, mask: vec![255, 255, 0, 0], flip: vec![0; 4] },
            Step::Compare { of: 8, operator: 0, with: vec![172, 17, 0, 0] },
            Step::Counter,
            Step::Target(Target::Masquerade(NatRange::default())),
        ]
    );
    assert_eq!((rule.handle, rule.counter), (7, Some(Counter { packets: 1, bytes: 60 })));
}

#[test]
fn a_jump_names_its_chain() {
    let jump = one(2, "immediate", vec![number(1, 0), verdict(2, -3, Some("LIBVIRT_PRT"))]);
    assert_eq!(jump, Step::Verdict(Verdict::Jump("LIBVIRT_PRT".into())));
    let ends = |code| one(2, "immediate", vec![number(1, 0), verdict(2, code, None)]);
    assert_eq!(ends(0), Step::Verdict(Verdict::Drop));
    assert_eq!(ends(1), Step::Verdict(Verdict::Accept));
    assert_eq!(ends(-5), Step::Verdict(Verdict::Return));
}

#[test]
fn comments_of_both_kinds_are_read() {
    let mut words = [0; 256];
    words[..5].copy_from_slice(b"known");
    let of_iptables = read(2, &[step("match", compat("comment", 0, &words))]);
    assert_eq!(
        (of_iptables.comment.as_deref(), &of_iptables.steps[..]),
        (Some("known"), &[Step::Match(Match::Comment)][..])
    );
    let body = vec![attribute(1, b"fw\0"), attribute(2, b"in\0"), attribute(7, b"\x01\x01x\x00\x06known\0")];
    let of_nft = rule(seen(&message(NEW_RULE, 1, body))).unwrap().unwrap();
    assert_eq!(of_nft.comment.as_deref(), Some("known"));
}

#[test]
fn rejections_are_told_by_what_the_sender_gets() {
    let with = |family, number: u32| one(family, "target", compat("REJECT", 0, &number.to_ne_bytes()));
    assert_eq!(with(2, 8), Step::Target(Target::Reject(Reject::Icmp(13))));
    assert_eq!(with(2, 7), Step::Target(Target::Reject(Reject::TcpReset)));
    assert_eq!(with(family::IPV6, 1), Step::Target(Target::Reject(Reject::Icmp6(1))));
    let native = one(1, "reject", vec![number(1, 2), attribute(2, &[3])]);
    assert_eq!(native, Step::Reject(Reject::Either(3)));
}

#[test]
fn states_of_connections_are_read_from_either_match() {
    let mut info = [0; 168];
    info[146..148].copy_from_slice(&1_u16.to_ne_bytes());
    info[150..152].copy_from_slice(&6_u16.to_ne_bytes());
    let Step::Match(Match::Connection(found)) = one(2, "match", compat("conntrack", 3, &info)) else {
        panic!()
    };
    assert_eq!(found, Connection { states: Some((6, false)), ..Connection::default() });
    let Step::Match(Match::Connection(found)) = one(2, "match", compat("state", 0, &0x41_u32.to_ne_bytes()))
    else {
        panic!()
    };
    assert_eq!((found.states, found.is_state), (Some((0x101, false)), true));
}

#[test]
fn several_ports_and_ranges_of_them_are_told_apart() {
    let mut info = [0; 48];
    (info[0], info[1]) = (1, 4);
    for (at, port) in [80_u16, 443, 1000, 2000].iter().enumerate() {
        info[2 + 2 * at..4 + 2 * at].copy_from_slice(&port.to_ne_bytes());
    }
    info[32 + 2] = 1;
    let Step::Match(Match::Multiport { ports, destination, .. }) =
        one(2, "match", compat("multiport", 1, &info))
    else {
        panic!()
    };
    assert_eq!((ports, destination), (vec![(80, 80), (443, 443), (1000, 2000)], true));
}

#[test]
fn a_destination_is_read_with_its_port() {
    let mut info = [0; 44];
    info[..4].copy_from_slice(&3_u32.to_ne_bytes());
    info[4..8].copy_from_slice(&[10, 0, 0, 5]);
    info[20..24].copy_from_slice(&[10, 0, 0, 7]);
    info[36..38].copy_from_slice(&80_u16.to_be_bytes());
    info[38..40].copy_from_slice(&80_u16.to_be_bytes());
    let Step::Target(Target::Dnat(range)) = one(2, "target", compat("DNAT", 2, &info)) else { panic!() };
    let address = |text: &str| text.parse().unwrap();
    assert_eq!(range.addresses, Some(Range { first: address("10.0.0.5"), last: address("10.0.0.7") }));
    assert_eq!(range.ports, Some(Range { first: 80, last: 80 }));
}

#[test]
fn a_port_of_a_bridge_by_name_or_by_how_it_begins() {
    let mut info = [0; 66];
    info[..5].copy_from_slice(b"veth+");
    info[16..20].copy_from_slice(&[255; 4]);
    (info[64], info[65]) = (4, 1 | 4);
    let Step::Match(Match::Physdev(found)) = one(2, "match", compat("physdev", 0, &info)) else { panic!() };
    let incoming = found.incoming.unwrap();
    assert_eq!((incoming.name.as_str(), incoming.prefix, found.bridged), ("veth", true, Some(false)));
    info[4] = 0;
    info[20] = 255;
    let Step::Match(Match::Physdev(found)) = one(2, "match", compat("physdev", 0, &info)) else { panic!() };
    assert!(!found.incoming.unwrap().prefix);
}

#[test]
fn what_is_not_understood_keeps_its_name() {
    assert_eq!(one(2, "socket", vec![]), Step::Unknown("socket".into()));
    assert_eq!(
        one(2, "bitwise", vec![number(1, 1), number(2, 1), number(6, 1)]),
        Step::Unknown("bitwise".into())
    );
    let other = one(2, "match", compat("u32", 0, &[]));
    assert_eq!(other, Step::Match(Match::Other { name: "u32".into(), revision: 0 }));
    let short = one(2, "match", compat("tcp", 0, &[1, 2, 3]));
    assert_eq!(short, Step::Match(Match::Other { name: "tcp".into(), revision: 0 }));
}

#[test]
fn a_set_and_its_elements_are_read() {
    let bytes = message(
        NEW_SET,
        1,
        vec![
            attribute(1, b"fw\0"),
            attribute(2, b"pairs\0"),
            number(3, 4),
            number(4, 7),
            number(5, 8),
            attribute(9, &attribute(2, &[attribute(1, &number(1, 4)), attribute(1, &number(1, 2))].concat())),
        ],
    );
    let Some(Set { key_length, interval, anonymous, fields, data_type, .. }) = set(seen(&bytes)).unwrap()
    else {
        panic!()
    };
    assert_eq!((key_length, interval, anonymous, fields, data_type), (8, true, false, vec![4, 2], None));
    let list = [
        attribute(1, &data(1, &[10, 0, 0, 0])),
        attribute(1, &[data(1, &[11, 0, 0, 0]), number(3, 1)].concat()),
        attribute(1, &[number(3, 2), verdict(2, 0, None)].concat()),
        attribute(1, &number(3, 0)),
    ]
    .concat();
    let bytes = message(NEW_ELEMENTS, 1, vec![attribute(1, b"fw\0"), attribute(3, &list)]);
    let mut found = elements(seen(&bytes)).unwrap();
    assert_eq!(found.pop(), Some(None), "one without a key is not lost");
    let found: Vec<Element> = found.into_iter().flatten().collect();
    let element =
        |key: &[u8], ends, catch_all, value| Element { key: key.to_vec(), to: None, ends, catch_all, value };
    assert_eq!(
        found,
        [
            element(&[10, 0, 0, 0], false, false, Value::None),
            element(&[11, 0, 0, 0], true, false, Value::None),
            element(&[], false, true, Value::Verdict(Verdict::Drop)),
        ]
    );
}

#[test]
fn of_a_rule_with_too_many_steps_the_rest_is_one_that_is_not_understood() {
    let steps: Vec<Vec<u8>> = (0..200).map(|_| step("counter", vec![])).collect();
    let rule = read(2, &steps);
    assert_eq!(rule.steps.len(), MOST + 1);
    assert_eq!(rule.steps.last(), Some(&Step::Unknown("more".into())));
}

/// Every name of which something is read, and one that is nobody's.
fn names() -> impl Strategy<Value = (&'static str, &'static str)> {
    let expressions = prop::sample::select(vec![
        "payload",
        "meta",
        "ct",
        "bitwise",
        "byteorder",
        "cmp",
        "range",
        "lookup",
        "immediate",
        "fib",
        "numgen",
        "limit",
        "counter",
        "log",
        "reject",
        "masq",
        "redir",
        "nat",
        "match",
        "target",
        "other",
    ]);
    let compat = prop::sample::select(vec![
        "tcp",
        "udp",
        "icmp",
        "icmp6",
        "multiport",
        "conntrack",
        "state",
        "comment",
        "mark",
        "connmark",
        "addrtype",
        "physdev",
        "set",
        "statistic",
        "iprange",
        "limit",
        "REJECT",
        "MARK",
        "CONNMARK",
        "LOG",
        "DNAT",
        "SNAT",
        "MASQUERADE",
        "REDIRECT",
        "NETMAP",
        "other",
    ]);
    (expressions, compat)
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        for kind in [NEW_TABLE, NEW_CHAIN, NEW_RULE, NEW_SET, NEW_ELEMENTS, NEW_OBJECT] {
            let message = Message { kind, flags: 0, sequence: 1, payload: &payload };
            drop((dormant(message), chain(message), rule(message), set(message), elements(message)));
            drop(named_counter(message));
        }
    }

    #[test]
    fn no_bytes_of_a_step_make_it_panic(
        (name, inner) in names(),
        info in proptest::collection::vec(any::<u8>(), 0..200),
        kinds in proptest::collection::vec((0_u16..12, proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
        family in prop::sample::select(vec![1_u8, 2, 7, 10]),
        revision in 0_u32..5,
    ) {
        let attributes: Vec<Vec<u8>> = kinds.iter().map(|(kind, value)| attribute(*kind, value)).collect();
        drop(one(family, name, attributes.clone()));
        drop(one(family, "match", compat(inner, revision, &info)));
        drop(one(family, "target", compat(inner, revision, &info)));
        let list = [attribute(1, &attributes.concat()), attribute(1, &info)].concat();
        let bytes = message(NEW_ELEMENTS, family, vec![attribute(3, &list)]);
        drop(elements(seen(&bytes)));
    }
}
