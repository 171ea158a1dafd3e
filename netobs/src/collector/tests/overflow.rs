//! A full flow table: every packet is booked exactly once, under the right kinds, whatever mix of entries
//! and missing entries its conversation has.

use netobs_common::{counters::Counters, wire::Proto};
use proptest::prelude::*;

use super::{
    host::{ACK, Books, FIN, Host, RST, SECOND, SYN, Tick, books},
    journey::Connection,
};
use crate::report::{Nat, Totals};

/// Ways on which the sender's and the receiver's kind can be told without flow detail.
const WAYS: &[fn(u16) -> Connection] = &[
    Connection::host_to_container,
    Connection::container_to_host,
    Connection::on_one_bridge,
    Connection::between_bridges,
    Connection::masqueraded,
    Connection::published,
    Connection::published_across,
    Connection::loopback,
    Connection::host_to_outside,
    Connection::outside_to_host,
    Connection::multicast_of_container,
    Connection::multicast_of_host,
];

#[derive(Clone, Debug)]
enum Event {
    Packet { way: usize, port: u16, udp: bool, forward: bool, flags: u8, length: u32 },
    Wait(u64),
    Tick,
}

fn event() -> impl Strategy<Value = Event> {
    // Ports on both sides of the servers': the client is not always the higher one.
    let ports = prop_oneof![40_000_u16..40_004, Just(20_u16), Just(60_u16)];
    let flags = prop_oneof![6 => Just(ACK), 2 => Just(SYN), 1 => Just(SYN | ACK), 1 => Just(FIN | ACK), 1 => Just(RST)];
    let packet = (0..WAYS.len(), ports, any::<bool>(), any::<bool>(), flags, 60_u32..1_500).prop_map(
        |(way, port, udp, forward, flags, length)| Event::Packet { way, port, udp, forward, flags, length },
    );
    prop_oneof![12 => packet, 2 => (1_u64..400).prop_map(Event::Wait), 1 => Just(Event::Tick)]
}

fn sum(books: &Books) -> Counters {
    let mut sum = Counters::ZERO;
    books.values().for_each(|one| sum.add(*one));
    sum
}

fn without_flow(totals: &Totals) -> u64 {
    let unknown = totals.paths.iter().filter(|(labels, _)| labels.nat == Nat::Unknown);
    unknown.map(|(_, counters)| counters.packets).sum()
}

/// What must hold at every tick.
fn holds(host: &Host, tick: &Tick) -> Result<(), TestCaseError> {
    let (booked, truth) = (books(&tick.totals), sum(&host.truth));
    for (key, counters) in &booked {
        let must = host.truth.get(key).copied().unwrap_or_default();
        prop_assert!(
            counters.packets <= must.packets && counters.bytes <= must.bytes,
            "{key:?}: {counters:?} of {must:?}"
        );
    }
    prop_assert!(sum(&booked).bytes + tick.totals.pending_bytes <= truth.bytes, "what waits is booked too");
    prop_assert_eq!(without_flow(&tick.totals), tick.totals.overflow_packets);
    Ok(())
}

/// Runs the events on a table of that size; every packet is in the books in the end.
fn play(host: &mut Host, ways: &[fn(u16) -> Connection], events: &[Event]) -> Result<Tick, TestCaseError> {
    for event in events {
        match event {
            Event::Packet { way, port, udp, forward, flags, length } => {
                let mut connection = ways[way % ways.len()](*port);
                if *udp {
                    connection = connection.over(Proto::UDP);
                }
                host.now += 100_000;
                let forward = *forward || connection.group;
                let flags = if connection.original.proto == Proto::TCP { *flags } else { 0 };
                host.send(&connection, forward, flags, *length);
            }
            Event::Wait(milliseconds) => host.now += milliseconds * 1_000_000,
            Event::Tick => {
                let tick = host.second();
                holds(host, &tick)?;
            }
        }
    }
    let mut tick = host.second();
    for _ in 0..4 {
        holds(host, &tick)?;
        tick = host.second();
    }
    prop_assert_eq!(tick.totals.pending_bytes, 0);
    prop_assert_eq!(sum(&books(&tick.totals)), sum(&host.truth), "in all");
    Ok(tick)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_packet_is_booked_once_under_its_kinds(
        capacity in prop_oneof![Just(0_usize), 1_usize..40, Just(10_000_usize)],
        events in prop::collection::vec(event(), 1..120),
    ) {
        let mut host = Host::new();
        host.kernel.capacity = Some(capacity);
        let tick = play(&mut host, WAYS, &events)?;
        prop_assert_eq!(books(&tick.totals), host.truth);
    }

    /// Room is made and used up again while connections go on.
    #[test]
    fn a_table_that_changes_its_size_loses_nothing(
        rounds in prop::collection::vec((0_usize..40, prop::collection::vec(event(), 1..40)), 1..6),
    ) {
        let mut host = Host::new();
        for (capacity, events) in &rounds {
            host.kernel.capacity = Some(*capacity);
            let tick = play(&mut host, WAYS, events)?;
            prop_assert_eq!(books(&tick.totals), host.truth.clone());
        }
    }

    /// Within a bridge both addresses are translated, and the host's own stands for the sender's: without
    /// flow detail the receiver is taken for the host. Nothing is lost or counted twice.
    #[test]
    fn a_hairpin_is_counted_once_if_not_under_its_kinds(
        capacity in 0_usize..12,
        packets in prop::collection::vec((40_000_u16..40_004, any::<bool>()), 1..60),
    ) {
        let mut host = Host::new();
        host.kernel.capacity = Some(capacity);
        for (port, forward) in packets {
            host.now += 30_000_000;
            host.send(&Connection::hairpin(port), forward, ACK, 100);
        }
        let tick = host.later(SECOND);
        let last = host.later(3 * SECOND);
        prop_assert!(sum(&books(&tick.totals)).packets <= sum(&host.truth).packets);
        host.second();
        let last = sum(&books(&host.second().totals)).packets.max(sum(&books(&last.totals)).packets);
        prop_assert_eq!(last, sum(&host.truth).packets);
    }
}

/// A table without room at all: everything is booked without flow detail.
#[test]
fn without_any_room_answers_to_masqueraded_connections_are_the_containers() {
    let mut host = Host::new();
    host.kernel.capacity = Some(0);
    for port in 0..50 {
        host.talk(&Connection::masqueraded(40_000 + port));
        host.talk(&Connection::outside_to_host(50_000 + port));
    }
    let mut tick = host.second();
    for _ in 0..3 {
        tick = host.second();
    }
    assert!(tick.rows.is_empty());
    assert_eq!(books(&tick.totals), host.truth);
    assert_eq!(tick.totals.overflow_packets, sum(&host.truth).packets);
}

#[test]
fn what_was_addressed_to_the_host_waits_until_it_can_be_told_whose_it_is() {
    let mut host = Host::new();
    host.kernel.capacity = Some(0);
    host.send(&Connection::outside_to_host(40_000), true, SYN, 74);
    let tick = host.second();
    assert_eq!((tick.totals.pending_bytes, tick.totals.paths.len()), (74, 0));
    let tick = host.second();
    assert_eq!((tick.totals.pending_bytes, books(&tick.totals)), (0, host.truth.clone()));
}

#[test]
fn an_answer_met_between_uplink_and_container_is_booked_once_and_right() {
    let mut host = Host::new();
    host.kernel.capacity = Some(0);
    let connection = Connection::masqueraded(40_000);
    host.must_count(&connection, false, 900);
    host.part(&connection, false, ACK, 900, 0..1);
    host.later(1_000_000);
    host.part(&connection, false, ACK, 900, 1..3);
    host.second();
    assert_eq!(books(&host.second().totals), host.truth);
}

/// A packet dropped on its way is the host's: it was seen once, addressed to it.
#[test]
fn an_answer_that_is_dropped_on_its_way_is_booked_once() {
    let mut host = Host::new();
    host.kernel.capacity = Some(0);
    let connection = Connection::masqueraded(40_000);
    host.part(&connection, false, ACK, 900, 0..1);
    for _ in 0..4 {
        host.second();
    }
    let tick = host.second();
    assert_eq!(tick.totals.paths.values().map(|one| one.packets).collect::<Vec<_>>(), [1]);
}

/// Its direction was counted at the container that asked; the one entry there is room for is where it enters.
#[test]
fn a_straggler_that_finds_the_table_full_is_counted_where_it_enters() {
    let mut host = Host::new();
    let connection = Connection::on_one_bridge(40_000);
    host.talk(&connection);
    host.send(&connection, true, RST, 66);
    host.second();
    assert!(host.kernel.flows.is_empty());
    host.kernel.capacity = Some(1);
    host.send(&connection, false, ACK, 500);
    host.second();
    host.second();
    assert_eq!(books(&host.second().totals), host.truth);
}
