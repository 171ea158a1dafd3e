//! What is not the same is not merged: equal addresses on two bridges, hosts without an address.

use std::collections::BTreeSet;

use netobs_common::{
    hook::Hook,
    wire::{Proto, TcpFlags},
};

use super::{
    host::{ACK, Host, SYN, books},
    journey::Connection,
    kernel::Frame,
};
use crate::{
    flow::made_up::tuple,
    report::{FlowRow, Nat},
};

/// `docker0` and `br1` with the same two addresses on each.
fn twins() -> (Host, Connection, Connection) {
    let mut host = Host::new();
    host.veth(13, "vd", 4);
    host.veth(14, "ve", 4);
    host.container("vd", "d", 4, "172.17.0.2");
    host.container("ve", "e", 4, "172.17.0.3");
    host.look();
    let here = Connection::on_one_bridge(40_000);
    let mut there = here.clone();
    for step in there.forward.iter_mut().chain(&mut there.reply) {
        for name in std::iter::once(&mut step.interface).chain(&mut step.from) {
            *name = if *name == "va" { "vd" } else { "ve" };
        }
    }
    (host, here, there)
}

#[test]
fn equal_addresses_on_two_bridges_never_merge() {
    for tracking in [false, true] {
        let (mut host, here, there) = twins();
        // Bridged packets are tracked only with bridge netfilter, and then both bridges' are one entry.
        host.tracking = tracking;
        for (forward, flags, length) in [(true, SYN, 74), (false, SYN | ACK, 74), (true, ACK, 1_000)] {
            host.now += 1_000_000;
            host.send(&here, forward, flags, length);
            host.now += 1_000_000;
            host.send(&there, forward, flags, 2 * length);
        }
        host.second();
        let tick = host.second();
        let mut rows: Vec<_> = tick
            .rows
            .iter()
            .map(|row| (&*row.source.endpoint, &*row.destination.endpoint, row.forward.bytes, row.hops.len()))
            .collect();
        rows.sort_unstable();
        assert_eq!(
            rows,
            [("container/a", "container/b", 1_074, 4), ("container/d", "container/e", 2_148, 4)],
            "tracked: {tracking}"
        );
        assert_eq!(books(&tick.totals), host.truth);
    }
}

/// The same connection outward from a container of `docker0` and from one of `br1` with its address, each masqueraded to
/// a port of its own, tracked in zones 1 and 2 as far as they are not.
fn masqueraded_twins(zones: [u16; 2]) -> (Host, [Connection; 2]) {
    let host = twins().0;
    let mut here = Connection::masqueraded(40_000);
    here.zones = [zones[0], 0];
    let mut there = here.clone();
    there.zones = [zones[1], 0];
    there.translated.source.port += 1;
    for step in there.forward.iter_mut().chain(&mut there.reply) {
        for name in std::iter::once(&mut step.interface).chain(&mut step.from) {
            *name = match *name {
                "va" => "vd",
                "docker0" => "br1",
                other => other,
            };
        }
    }
    (host, [here, there])
}

/// Source, whether translated, bytes forward, hops; of every row.
fn told(rows: &[FlowRow]) -> Vec<(String, Nat, u64, usize)> {
    let of = |row: &FlowRow| (row.source.endpoint.to_string(), row.nat, row.forward.bytes, row.hops.len());
    let mut told: Vec<_> = rows.iter().map(of).collect();
    told.sort_unstable_by(|one, other| (&one.0, one.3).cmp(&(&other.0, other.3)));
    told
}

fn speak(host: &mut Host, connections: &[Connection; 2]) {
    for (forward, flags, length) in [(true, SYN, 74), (false, SYN | ACK, 74), (true, ACK, 1_000)] {
        for (times, connection) in (1..).zip(connections) {
            host.now += 1_000_000;
            host.send(connection, forward, flags, times * length);
        }
    }
}

#[test]
fn equal_tuples_of_two_zones_are_joined_by_where_they_came_in() {
    for zones in [[1, 2], [0, 2], [2, 0]] {
        let (mut host, connections) = masqueraded_twins(zones);
        speak(&mut host, &connections);
        host.second();
        let tick = host.second();
        let expected = [("container/a", 1_074), ("container/d", 2_148)]
            .map(|(source, bytes)| (source.to_owned(), Nat::Snat, bytes, 6));
        assert_eq!(told(&tick.rows), expected, "zones {zones:?}");
        assert_eq!(books(&tick.totals), host.truth, "zones {zones:?}");
        assert_eq!(tick.totals.ambiguous_sightings, 0);
    }
}

#[test]
fn what_a_zone_leaves_open_is_not_joined_and_counted() {
    let (mut host, mut connections) = masqueraded_twins([1, 2]);
    // Nobody sees them leave: nothing tells whose the tuple is.
    for connection in &mut connections {
        connection.forward.pop();
        connection.reply.remove(0);
    }
    speak(&mut host, &connections);
    host.second();
    let tick = host.second();
    let expected = [("container/a", 1_074), ("container/d", 2_148)]
        .map(|(source, bytes)| (source.to_owned(), Nat::None, bytes, 4));
    assert_eq!(told(&tick.rows), expected, "apart all the same");
    assert_eq!(tick.totals.ambiguous_sightings, 8);
}

#[test]
fn the_same_packets_in_one_zone_after_the_other_are_one_flow() {
    let mut host = Host::new();
    let seen = Connection { zones: [0, 0], ..Connection::masqueraded(40_000) };
    let passed = Connection { translated: seen.original, zones: [9, 9], ..seen.clone() };
    host.translations.add(passed.tracked());
    host.talk(&seen);
    host.second();
    let tick = host.second();
    assert_eq!(tick.rows.len(), 1);
    assert_eq!((tick.rows[0].nat, tick.rows[0].hops.len()), (Nat::Snat, 6));
    assert_eq!(books(&tick.totals), host.truth);
}

#[test]
fn two_containers_without_an_address_yet_ask_for_one_apart() {
    let mut host = Host::new();
    let ask = tuple(Proto::UDP, "0.0.0.0:68", "255.255.255.255:67");
    for (name, mac) in [("va", 2), ("vb", 3)] {
        let number = host.collector.interfaces.iter().find(|(_, one)| &*one.name == name).unwrap().0;
        let frame = Frame {
            tuple: ask,
            flags: TcpFlags(0),
            length: 342,
            group: true,
            asks: false,
            mac: [2, 0, 0, 0, 0, mac],
        };
        host.kernel.see(number, Hook::INGRESS, 1, &frame, host.now);
    }
    host.second();
    let tick = host.second();
    let sources: BTreeSet<_> = tick.rows.iter().map(|row| &*row.source.endpoint).collect();
    assert_eq!(sources, BTreeSet::from(["container/a", "container/b"]));
    assert_eq!(tick.totals.paths.values().map(|one| one.packets).sum::<u64>(), 2);
}
