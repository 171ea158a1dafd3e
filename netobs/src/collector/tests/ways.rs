//! Every kind of way: one conversation each, with the right ends, class, hops, counting place and bytes.

use netobs_common::wire::Proto;

use super::{
    host::{ACK, Host, books},
    journey::Connection,
};
use crate::report::{FlowRow, HookName, HopDirection, InitiatorBy, Nat, Path, Reporter, Via};

/// What must be said of a conversation.
struct Expected {
    ends: [&'static str; 2],
    path: Path,
    nat: Nat,
    via: Via,
    reporter: Reporter,
    /// Forward, reply.
    hops: [&'static str; 2],
    /// Forward, reply.
    counted: [&'static str; 2],
}

fn hops(row: &FlowRow, direction: HopDirection) -> String {
    let hops = row.hops.iter().filter(|hop| hop.direction == direction);
    let written = hops
        .map(|hop| format!("{} {}", hop.interface, if hop.hook == HookName::Ingress { "I" } else { "E" }));
    written.collect::<Vec<_>>().join(" > ")
}

#[track_caller]
fn must_be(host: &Host, row: &FlowRow, expected: &Expected) {
    let ends = [&*row.source.endpoint, &*row.destination.endpoint];
    assert_eq!(ends, expected.ends);
    assert_eq!((row.path, row.nat, row.via), (expected.path, expected.nat, expected.via));
    assert_eq!(row.reporter, expected.reporter);
    assert_eq!(HopDirection::BOTH.map(|one| hops(row, one)), expected.hops);
    assert_eq!(host.counted_at(&row.id), expected.counted);
}

/// One conversation, tracked or not, becomes one row, and each packet is booked once.
#[track_caller]
fn travels(connection: &Connection, tracking: bool, expected: &Expected) -> FlowRow {
    let mut host = Host::new();
    host.tracking = tracking;
    host.talk(connection);
    host.second();
    let tick = host.second();
    assert_eq!(tick.rows.len(), 1, "{:#?}", tick.rows);
    let row = tick.rows.into_iter().next().unwrap();
    must_be(&host, &row, expected);
    assert_eq!(row.initiator_by, InitiatorBy::Syn);
    assert_eq!((row.forward.packets, row.forward.bytes), (3, 74 + 66 + 1_000));
    assert_eq!((row.reply.packets, row.reply.bytes), (2, 74 + 2_000));
    assert_eq!(books(&tick.totals), host.truth);
    assert_eq!(tick.totals.pending_bytes, 0);
    row
}

#[track_caller]
fn travels_either_way(connection: &Connection, expected: &Expected) {
    travels(connection, false, expected);
    travels(connection, true, expected);
}

const DIRECT: (Nat, Via) = (Nat::None, Via::Direct);

fn plain(
    ends: [&'static str; 2],
    path: Path,
    hops: [&'static str; 2],
    counted: [&'static str; 2],
) -> Expected {
    let reporter = if ends[0] == "external" { Reporter::Destination } else { Reporter::Source };
    Expected { ends, path, nat: DIRECT.0, via: DIRECT.1, reporter, hops, counted }
}

#[test]
fn host_to_container() {
    let hops = ["docker0 E > va E", "va I > docker0 I"];
    let expected = plain(["host", "container/a"], Path::HostDirect, hops, ["va E", "va I"]);
    travels_either_way(&Connection::host_to_container(40_000), &expected);
}

#[test]
fn container_to_host() {
    let hops = ["va I > docker0 I", "docker0 E > va E"];
    let expected = plain(["container/a", "host"], Path::HostDirect, hops, ["va I", "va E"]);
    travels_either_way(&Connection::container_to_host(40_000), &expected);
}

#[test]
fn container_to_container_on_one_bridge() {
    let hops = ["va I > vb E", "vb I > va E"];
    let expected = plain(["container/a", "container/b"], Path::Bridge, hops, ["va I", "va E"]);
    travels_either_way(&Connection::on_one_bridge(40_000), &expected);
}

#[test]
fn container_to_container_between_bridges() {
    let hops = ["va I > docker0 I > br1 E > vc E", "vc I > br1 I > docker0 E > va E"];
    let expected = plain(["container/a", "container/c"], Path::RoutedLocal, hops, ["va I", "va E"]);
    travels_either_way(&Connection::between_bridges(40_000), &expected);
}

#[test]
fn container_to_outside_by_masquerade() {
    let hops = ["va I > docker0 I > eth0 E", "eth0 I > docker0 E > va E"];
    let expected = Expected {
        nat: Nat::Snat,
        ..plain(["container/a", "external"], Path::Uplink, hops, ["va I", "va E"])
    };
    let row = travels(&Connection::masqueraded(40_000), true, &expected);
    let uplink = row.hops.iter().find(|hop| &*hop.interface == "eth0").unwrap();
    assert_eq!((&*uplink.source, &*uplink.destination), ("198.51.100.1:56384", "203.0.113.9:443"));
    assert_eq!((row.source.port, row.destination.port), (40_000, 443));
    assert_eq!(row.original_destination, None);
}

#[test]
fn container_to_beyond_a_wireguard_device() {
    let mut host = Host::new();
    host.wireguard(13, "wg0");
    host.look();
    host.talk(&Connection::into_wireguard(40_000));
    host.second();
    let tick = host.second();
    let hops = ["va I > docker0 I > wg0 E", "wg0 I > docker0 E > va E"];
    let expected = plain(["container/a", "external"], Path::Overlay, hops, ["va I", "va E"]);
    assert_eq!(tick.rows.len(), 1);
    must_be(&host, &tick.rows[0], &expected);
    let overlay = tick.rows[0].overlay.as_ref().unwrap();
    assert_eq!((&*overlay.kind, overlay.vni), ("wireguard", None));
    assert_eq!((overlay.outer_source, overlay.outer_destination), (None, None));
    assert!(tick.rows[0].hops.iter().all(|hop| hop.encapsulation.is_none()));
    assert_eq!(books(&tick.totals), host.truth);
}

#[test]
fn outside_to_a_published_port() {
    let hops = ["eth0 I > docker0 E > va E", "va I > docker0 I > eth0 E"];
    let expected = Expected {
        nat: Nat::Dnat,
        via: Via::PublishedPort,
        ..plain(["external", "container/a"], Path::Uplink, hops, ["va E", "va I"])
    };
    let row = travels(&Connection::published(40_000), true, &expected);
    let addressed = row.original_destination.unwrap();
    assert_eq!((addressed.address.to_string(), addressed.port), ("198.51.100.1".into(), 8080));
    assert_eq!((row.destination.address.to_string(), row.destination.port), ("172.17.0.2".into(), 80));
}

#[test]
fn another_bridge_to_a_published_port() {
    let hops = ["vc I > br1 I > docker0 E > va E", "va I > docker0 I > br1 E > vc E"];
    let expected = Expected {
        nat: Nat::Dnat,
        via: Via::PublishedPort,
        ..plain(["container/c", "container/a"], Path::RoutedLocal, hops, ["vc I", "vc E"])
    };
    travels(&Connection::published_across(40_000), true, &expected);
}

#[test]
fn hairpin_to_a_published_port() {
    let hops = ["vb I > docker0 E > va E", "va I > docker0 E > vb E"];
    let expected = Expected {
        nat: Nat::Both,
        via: Via::PublishedPort,
        ..plain(["container/b", "container/a"], Path::RoutedLocal, hops, ["vb I", "vb E"])
    };
    travels(&Connection::hairpin(40_000), true, &expected);
}

#[test]
fn loopback() {
    let hops = ["lo E > lo I", "lo E > lo I"];
    let expected = plain(["host", "host"], Path::Loopback, hops, ["lo E", "lo E"]);
    travels_either_way(&Connection::loopback(40_000), &expected);
}

#[test]
fn host_to_outside() {
    let expected = plain(["host", "external"], Path::Uplink, ["eth0 E", "eth0 I"], ["eth0 E", "eth0 I"]);
    travels_either_way(&Connection::host_to_outside(40_000), &expected);
}

#[test]
fn outside_to_host() {
    let expected = plain(["external", "host"], Path::Uplink, ["eth0 I", "eth0 E"], ["eth0 I", "eth0 E"]);
    travels_either_way(&Connection::outside_to_host(40_000), &expected);
}

#[test]
fn a_server_with_a_high_port_is_still_the_destination() {
    let mut connection = Connection::on_one_bridge(1_024);
    (connection.original.destination.port, connection.translated.destination.port) = (50_000, 50_000);
    let hops = ["va I > vb E", "vb I > va E"];
    let expected = plain(["container/a", "container/b"], Path::Bridge, hops, ["va I", "va E"]);
    travels_either_way(&connection, &expected);
}

/// One packet there and, where the way has one, one back.
fn exchange(connection: &Connection, tracking: bool) -> (Host, FlowRow) {
    let mut host = Host::new();
    host.tracking = tracking;
    for forward in [true, false].into_iter().filter(|forward| !connection.steps(*forward).is_empty()) {
        host.now += 1_000_000;
        host.send(connection, forward, 0, 98);
    }
    host.second();
    let tick = host.second();
    assert_eq!(tick.rows.len(), 1, "{:#?}", tick.rows);
    assert_eq!(books(&tick.totals), host.truth);
    (host, tick.rows.into_iter().next().unwrap())
}

#[test]
fn an_echo_is_a_flow_and_its_first_packet_says_who_asks() {
    let echo = Connection::on_one_bridge(77).over(Proto::ICMP);
    let (host, row) = exchange(&echo, false);
    let hops = ["va I > vb E", "vb I > va E"];
    must_be(&host, &row, &plain(["container/a", "container/b"], Path::Bridge, hops, ["va I", "va E"]));
    assert_eq!((row.initiator_by, row.source.port), (InitiatorBy::FirstPacket, 77));
    assert_eq!(exchange(&echo, true).1.initiator_by, InitiatorBy::Conntrack);
}

#[test]
fn multicast_of_a_container_counts_where_it_enters() {
    let (host, row) = exchange(&Connection::multicast_of_container(5_353), false);
    let hops = ["va I > docker0 I > vb E", ""];
    let counted = ["va I", "Undecided"];
    let expected = plain(["container/a", "group"], Path::Bridge, hops, counted);
    must_be(&host, &row, &expected);
}

#[test]
fn multicast_of_the_host_counts_where_it_is_made() {
    let (host, row) = exchange(&Connection::multicast_of_host(5_353), false);
    let hops = ["docker0 E > va E > vb E", ""];
    let expected = plain(["host", "group"], Path::HostDirect, hops, ["docker0 E", "Undecided"]);
    must_be(&host, &row, &expected);
}

#[test]
fn address_resolution_is_a_conversation_of_the_asker() {
    let mut host = Host::new();
    host.tracking = false;
    let connection = Connection::address_resolution();
    let question = Connection { group: true, ..connection.clone() };
    host.must_count(&connection, true, 42);
    host.part(&question, true, 0, 42, 0..3);
    host.now += 1_000_000;
    host.send(&connection, false, 0, 42);
    host.second();
    let tick = host.second();
    for row in &tick.rows {
        assert_eq!(&*row.source.endpoint, "container/a", "{row:#?}");
    }
    let booked: u64 = tick.totals.paths.values().map(|one| one.packets).sum();
    assert_eq!(booked, 2);
    assert_eq!(tick.rows.len(), 1, "question and answer are one conversation: {:#?}", tick.rows);
}

#[test]
fn joined_in_the_middle_conntrack_says_who_began() {
    let mut host = Host::new();
    let connection = Connection::on_one_bridge(40_000);
    host.send(&connection, false, ACK, 500);
    host.now += 1_000_000;
    host.send(&connection, true, ACK, 66);
    host.second();
    let tick = host.second();
    let row = &tick.rows[0];
    assert_eq!((&*row.source.endpoint, row.initiator_by), ("container/a", InitiatorBy::Conntrack));
    assert_eq!(books(&tick.totals), host.truth);
}
