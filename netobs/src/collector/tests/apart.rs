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
use crate::flow::made_up::tuple;

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

#[test]
fn two_containers_without_an_address_yet_ask_for_one_apart() {
    let mut host = Host::new();
    let ask = tuple(Proto::UDP, "0.0.0.0:68", "255.255.255.255:67");
    for (name, mac) in [("va", 2), ("vb", 3)] {
        let number = host.collector.interfaces.iter().find(|(_, one)| &*one.name == name).unwrap().0;
        let frame =
            Frame { tuple: ask, flags: TcpFlags(0), length: 342, group: true, mac: [2, 0, 0, 0, 0, mac] };
        host.kernel.see(number, Hook::INGRESS, 1, &frame, host.now);
    }
    host.second();
    let tick = host.second();
    let sources: BTreeSet<_> = tick.rows.iter().map(|row| &*row.source.endpoint).collect();
    assert_eq!(sources, BTreeSet::from(["container/a", "container/b"]));
    assert_eq!(tick.totals.paths.values().map(|one| one.packets).sum::<u64>(), 2);
}
