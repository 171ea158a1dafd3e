//! What the kernel drops, from its counts on: who to whom, at which hop, and what that says of a conversation.

use std::net::IpAddr;

use netobs_common::{
    drop::{DropCounters, DropKey, DropRestKey, Dropped},
    parse::mapped,
    wire::{Network, Proto},
};

use super::{
    host::{ACK, Host, RST, SECOND, SYN, Tick},
    journey::{A, B, Connection, GATEWAY, NODE, OUTSIDE},
};
use crate::{
    evidence::reasons::Reasons,
    flow::tuple::Tuple,
    report::{DropClass, EvidenceKind, HopName, KindName, Outcome, Path, RoleName, Verdict},
};

const OWN: u32 = 4_026_531_840;
const FILTERED: u32 = 43;
const NO_SOCKET: u32 = 34;
const NO_NEIGHBOUR: u32 = 89;
/// Inode of the stack of the container behind `va`.
const INSIDE_A: u32 = 101_010;

/// A kernel that numbers its reasons otherwise than this one.
fn host() -> Host {
    let mut host = Host::new();
    let named = [("netfilter_drop", FILTERED), ("no_socket", NO_SOCKET), ("neigh_failed", NO_NEIGHBOUR)];
    host.collector.drops.reasons = Reasons::of(&named.map(|(name, number)| (name.to_owned(), number)));
    host.collector.drops.own = OWN;
    host
}

fn address(text: &str) -> [u8; 16] {
    match text.parse::<IpAddr>().unwrap() {
        IpAddr::V4(address) => mapped(address.octets()),
        IpAddr::V6(address) => address.octets(),
    }
}

/// Addresses and ports of TCP, on the device and by the interface named.
fn key(host: &Host, reason: u32, from: (&str, u16), to: (&str, u16), on: [Option<&str>; 2]) -> DropKey {
    let [device, ingress] = on.map(|name| name.map_or(0, |name| host.index(name)));
    DropKey {
        source: address(from.0),
        destination: address(to.0),
        location: 0xffff_ffff_8100_0042,
        namespace: OWN,
        device,
        ingress,
        reason,
        source_port: from.1,
        destination_port: to.1,
        network: Network::IPV4,
        proto: Proto::TCP,
        ..DropKey::default()
    }
}

/// So many more packets of 60 bytes are dropped under a key.
fn lose(host: &mut Host, key: DropKey, packets: u64) {
    let now = host.now;
    let one =
        host.drops.entry(key).or_insert(DropCounters { first_seen: now, syn: 1, ..DropCounters::default() });
    one.dropped.add(Dropped { packets, bytes: packets * 60 });
    one.last_seen = now;
}

fn of(tuple: Tuple) -> (String, u16, String, u16) {
    let [from, to] = [tuple.source, tuple.destination];
    (from.address.to_string(), from.port, to.address.to_string(), to.port)
}

/// A SYN of a to b that the host forwards, seen until the bridge and dropped there; the second after it.
fn forwarded(reason: u32) -> (Host, Tick) {
    let mut host = host();
    host.tracking = false;
    let connection = Connection::between_bridges(40_000);
    host.part(&connection, true, SYN, 74, 0..2);
    let (from, from_port, to, to_port) = of(connection.original);
    let key = key(&host, reason, (&from, from_port), (&to, to_port), [Some("docker0"); 2]);
    lose(&mut host, key, 1);
    let tick = host.second();
    (host, tick)
}

#[test]
fn a_dropped_packet_is_told_with_both_names_and_the_hop_where_it_was_seen_last() {
    let (mut host, first) = forwarded(FILTERED);
    let tick = if first.drops.is_empty() { host.second() } else { first };
    assert_eq!(tick.drops.len(), 1, "{:#?}", tick.drops);
    let row = &tick.drops[0];
    assert_eq!((&*row.source.endpoint, &*row.destination.endpoint), ("container/a", "container/c"));
    assert_eq!(
        (&*row.reason, row.class, row.packets, row.bytes),
        ("netfilter_drop", DropClass::Dropped, 1, 60)
    );
    let last = row.last_hop.as_ref().unwrap();
    assert_eq!((&*last.interface, last.hook.name(), last.role), ("docker0", "ingress", RoleName::Bridge));
    let next = row.expected_next_hop.as_ref().unwrap();
    assert_eq!((&*next.interface, next.hook.name()), ("vc", "egress"));
    let (labels, count) = tick.totals.dropped.iter().next().unwrap();
    assert_eq!(
        (labels.last_hop, labels.reason, count.packets),
        (Some(RoleName::Bridge), "netfilter_drop", 1)
    );
    assert_eq!(labels.pair.path, Path::RoutedLocal);
    assert!(HopName::ALL.len() > RoleName::ALL.len(), "the label is the role alone");
}

#[test]
fn an_attempt_whose_packets_are_all_dropped_is_dropped_and_booked_once() {
    let (mut host, _) = forwarded(FILTERED);
    let tick = host.later(3 * SECOND);
    assert_eq!(tick.rows[0].verdict, Verdict::Dropped);
    let fact = tick.rows[0].evidence.iter().find(|one| one.kind == EvidenceKind::Drop).unwrap();
    assert_eq!(
        (fact.count, fact.hop.as_deref(), fact.detail.as_deref()),
        (1, Some("docker0 ingress"), Some("netfilter_drop"))
    );
    let attempts: Vec<_> =
        tick.totals.attempts.iter().map(|((_, outcome), count)| (*outcome, *count)).collect();
    assert_eq!(attempts, [(Outcome::Dropped, 1)]);
    let evidence = tick.totals.evidence.iter().find(|((_, kind), _)| *kind == EvidenceKind::Drop);
    assert_eq!(evidence.map(|(_, count)| *count), Some(1));
    let pairs =
        tick.totals.pairs.iter().find(|((_, verdict), count)| *verdict == Verdict::Dropped && **count == 1);
    assert!(pairs.is_some(), "{:?}", tick.totals.pairs);
}

#[test]
fn what_nobody_listens_for_is_refused_and_a_neighbour_that_is_silent_unreachable() {
    for (reason, verdict) in [(NO_SOCKET, Verdict::Refused), (NO_NEIGHBOUR, Verdict::Unreachable)] {
        let (mut host, _) = forwarded(reason);
        assert_eq!(host.later(3 * SECOND).rows[0].verdict, verdict);
    }
}

#[test]
fn a_firewall_that_rejects_refuses() {
    let mut host = host();
    let connection = Connection::on_one_bridge(40_000);
    host.send(&connection, true, SYN, 74);
    host.send(&connection, false, RST | ACK, 54);
    let (from, from_port, to, to_port) = of(connection.original);
    let key = key(&host, FILTERED, (&from, from_port), (&to, to_port), [Some("docker0"); 2]);
    lose(&mut host, key, 1);
    assert_eq!(host.later(3 * SECOND).rows[0].verdict, Verdict::Refused);
}

#[test]
fn what_the_hosts_own_firewall_keeps_in_is_told_though_no_hook_has_seen_it() {
    let mut host = host();
    let key = key(&host, FILTERED, (GATEWAY, 40_000), (B, 80), [None; 2]);
    lose(&mut host, key, 3);
    assert!(host.second().drops.is_empty(), "a conversation may come yet");
    let tick = host.later(2 * SECOND);
    let row = &tick.drops[0];
    assert_eq!((&*row.source.endpoint, &*row.destination.endpoint), ("host", "container/b"));
    assert_eq!((row.source.port, row.destination.port), (0, 80));
    assert_eq!((row.packets, &row.last_hop), (3, &None));
    assert_eq!(row.expected_next_hop.as_ref().map(|hop| &*hop.interface), Some("vb"));
    let (labels, _) = tick.totals.dropped.iter().next().unwrap();
    assert_eq!(
        (labels.pair.source_kind, labels.pair.destination_kind),
        (KindName::Host, KindName::Container)
    );
    assert_eq!((labels.pair.path, labels.last_hop), (Path::HostDirect, None));
    let attempts: Vec<_> =
        tick.totals.attempts.iter().map(|((_, outcome), count)| (*outcome, *count)).collect();
    assert_eq!(attempts, [(Outcome::Dropped, 1)]);
    let [pair] = &tick.pairs[..] else { panic!("{:?}", tick.pairs) };
    assert_eq!(pair.ends, Some(["host".into(), "container/b".into()]));
    assert_eq!((pair.labels, pair.verdict), (labels.pair, Verdict::Dropped));
    let dropped = pair.dropped.as_ref().unwrap();
    assert_eq!((dropped.packets, dropped.reason.as_deref()), (3, Some("netfilter_drop")));
    lose(&mut host, key, 1);
    let tick = host.second();
    assert_eq!((tick.drops[0].packets, tick.totals.attempts.values().sum::<u64>()), (4, 1), "booked once");
}

#[test]
fn what_a_conversation_has_for_its_evidence_is_not_told_of_the_pair_besides() {
    let (mut host, _) = forwarded(FILTERED);
    let tick = host.later(3 * SECOND);
    let [pair] = &tick.pairs[..] else { panic!("{:?}", tick.pairs) };
    assert_eq!((pair.verdict, &pair.dropped), (Verdict::Dropped, &None));
    assert_eq!(pair.labels, tick.rows[0].pair_labels());
}

#[test]
fn a_pair_with_somebody_who_is_not_to_be_shown_is_counted_without_names() {
    let (mut host, _) = forwarded(FILTERED);
    let hidden = [host.registry.lookup(0, A.parse().unwrap()).unwrap()].into();
    let tick = host.later(3 * SECOND);
    let names = crate::collector::Names::of(&host.registry).without(&hidden);
    let clock = crate::collector::Clock { monotonic: host.now, wall: jiff::Timestamp::UNIX_EPOCH };
    let [pair] = &host.collector.pair_rows(&names, clock)[..] else { panic!("not one pair") };
    assert_eq!(pair.ends, None);
    assert_eq!(tick.totals.pairs.get(&(pair.labels, pair.verdict)), Some(&1));
}

#[test]
fn outside_and_inside_an_endpoint_are_named_as_well() {
    let mut host = host();
    host.collector.drops.stacks.insert(INSIDE_A, host.registry.lookup(0, A.parse().unwrap()).unwrap());
    let from_outside = key(&host, FILTERED, (OUTSIDE, 50_000), (NODE, 22), [Some("eth0"); 2]);
    lose(&mut host, from_outside, 1);
    let inside =
        DropKey { namespace: INSIDE_A, ..key(&host, FILTERED, (OUTSIDE, 50_001), (A, 81), [None, None]) };
    lose(&mut host, DropKey { device: 2, ingress: 2, ..inside }, 2);
    let tick = host.later(2 * SECOND);
    let row = |packets| tick.drops.iter().find(|row| row.packets == packets).unwrap();
    assert_eq!((&*row(1).source.endpoint, &*row(1).destination.endpoint), ("external", "host"));
    assert_eq!(row(1).last_hop.as_ref().map(|hop| &*hop.interface), Some("eth0"));
    assert_eq!((&*row(2).source.endpoint, &*row(2).destination.endpoint), ("external", "container/a"));
    assert_eq!((row(2).inside.as_deref(), &row(2).last_hop), (Some("container/a"), &None));
}

#[test]
fn what_finds_nobody_on_the_senders_bridge_never_left_it() {
    let mut host = host();
    host.collector.drops.stacks.insert(INSIDE_A, host.registry.lookup(0, A.parse().unwrap()).unwrap());
    for (nobody, path) in [("172.17.0.99", Path::Bridge), ("172.18.0.99", Path::RoutedLocal)] {
        let inside = key(&host, NO_NEIGHBOUR, (A, 40_000), (nobody, 80), [None; 2]);
        lose(&mut host, DropKey { namespace: INSIDE_A, device: 2, ..inside }, 1);
        let tick = host.later(2 * SECOND);
        let ways: Vec<Path> = tick.totals.dropped.keys().map(|one| one.pair.path).collect();
        assert!(ways.contains(&path), "{nobody}: {ways:?}");
        let pair = tick.totals.pairs.keys().find(|(one, _)| one.path == path).unwrap();
        assert_eq!((pair.0.destination_kind, pair.1), (KindName::Unknown, Verdict::Unreachable));
    }
}

#[test]
fn what_has_no_detail_is_counted_all_the_same() {
    let mut host = host();
    let bridge = host.index("docker0");
    let key = DropRestKey { namespace: OWN, device: bridge, ingress: bridge, reason: FILTERED };
    host.drops_rest = vec![(key, Dropped { packets: 1_000_000, bytes: 60_000_000 })];
    let tick = host.second();
    assert_eq!((&*tick.drops[0].source.endpoint, tick.drops[0].packets), ("unknown", 1_000_000));
    assert_eq!(tick.drops[0].last_hop.as_ref().map(|hop| &*hop.interface), Some("docker0"));
    assert_eq!(host.collector.drops.without_detail(), 1_000_000);
    assert_eq!(tick.totals.dropped.values().map(|one| one.packets).sum::<u64>(), 1_000_000);
    assert_eq!(host.second().totals.dropped.values().map(|one| one.packets).sum::<u64>(), 1_000_000);
}

#[test]
fn a_count_that_stands_still_leaves_the_kernels_table_booked_to_the_last_packet() {
    let mut host = host();
    let key = key(&host, FILTERED, (GATEWAY, 40_000), (B, 80), [None; 2]);
    lose(&mut host, key, 3);
    let _ = host.later(2 * SECOND);
    assert_eq!(host.collector.drops.idle(host.now, false), []);
    let _ = host.later(30 * SECOND);
    assert_eq!(host.collector.drops.idle(host.now, false), [key]);
    lose(&mut host, key, 1);
    let last = host.drops.remove(&key);
    let (names, translations) =
        (crate::collector::Names::of(&host.registry), crate::flow::translation::Translations::default());
    host.collector.drop_taken(&key, last, &names, &translations);
    lose(&mut host, key, 1);
    let tick = host.later(2 * SECOND);
    assert_eq!(tick.totals.dropped.values().map(|one| one.packets).sum::<u64>(), 5);
    assert_eq!(tick.drops[0].packets, 5);
}

#[test]
fn a_storm_of_addresses_is_not_a_row_each() {
    let mut host = host();
    for number in 0..10_000_u32 {
        let [.., c, d] = number.to_be_bytes();
        let from = format!("203.0.{c}.{d}");
        let key = key(&host, FILTERED, (&from, 1_000), (B, 80), [Some("eth0"); 2]);
        lose(&mut host, key, 1);
    }
    let tick = host.later(2 * SECOND);
    assert!(tick.drops.len() <= 2_049, "{} rows", tick.drops.len());
    assert_eq!(tick.drops.iter().map(|row| row.packets).sum::<u64>(), 10_000);
    assert_eq!(tick.totals.dropped.values().map(|one| one.packets).sum::<u64>(), 10_000);
}
