//! The table against readings made by hand.

use std::net::IpAddr;

use netobs_common::{
    counters::{Counters, FlowCounters},
    endpoint::Party,
    hook::Hook,
    interface::Role,
    key::{FlowKey, Ports},
    parse::mapped,
    tunnel::{Encapsulation, Outer},
    wire::{Network, Proto},
};

use super::*;
use crate::flow::{made_up::Nobody, tuple::Peer};

const SECOND: u64 = 1_000_000_000;

fn uplink(interfaces: &mut Interfaces, ifindex: u32) -> u32 {
    let number = interfaces.begin(ifindex, "eth0");
    interfaces.get_mut(number).unwrap().kernel.role = Role::UPLINK;
    number
}

/// The host sends datagrams outside.
fn sent(interface: u32, first_seen: u64, bytes: u64) -> (FlowKey, FlowCounters) {
    let key = FlowKey {
        source: mapped([198, 51, 100, 2]),
        destination: mapped([203, 0, 113, 9]),
        interface,
        source_port: 40_000,
        destination_port: 53,
        network: Network::IPV4,
        proto: Proto::UDP,
        hook: Hook::EGRESS,
        ..FlowKey::default()
    };
    let counters = Counters { packets: 1, segments: 1, bytes };
    let read = FlowCounters {
        counters,
        first_seen,
        last_seen: first_seen,
        source: Party::HOST,
        destination: Party::EXTERNAL,
        ..FlowCounters::default()
    };
    (key, read)
}

fn booked(table: &mut FlowTable) -> u64 {
    let mut bytes = 0;
    table.book(|_, booking| bytes += booking.counters.bytes);
    bytes
}

fn read(table: &mut FlowTable, interfaces: &Interfaces, flows: &[(FlowKey, FlowCounters)], now: u64) {
    let translations = Translations::default();
    let context =
        Context { interfaces, directory: &Nobody, translations: &translations, now, overflowing: false };
    table.read(flows, &context);
}

#[test]
fn a_flow_goes_on_being_counted_when_its_card_is_replaced() {
    let mut interfaces = Interfaces::default();
    let mut table = FlowTable::default();
    let old = uplink(&mut interfaces, 2);
    read(&mut table, &interfaces, &[sent(old, SECOND, 100)], 2 * SECOND);
    assert_eq!(booked(&mut table), 100);

    // Another 30 bytes pass the old card after the last reading, before it goes; 50 then pass the new one.
    interfaces.get_mut(old).unwrap().alive = false;
    let new = uplink(&mut interfaces, 9);
    let flows = [sent(old, SECOND, 130), sent(new, 2 * SECOND + SECOND / 2, 50)];
    read(&mut table, &interfaces, &flows, 3 * SECOND);
    read(&mut table, &interfaces, &flows, 4 * SECOND);
    assert_eq!(booked(&mut table), 30 + 50);
    assert_eq!(table.iter().count(), 1, "one conversation all along");
    assert_eq!(table.iter().next().unwrap().amounts[0].bytes, 180);
    assert_eq!(booked(&mut table), 0, "nothing twice");
}

#[test]
fn a_card_that_went_with_the_flows_end_is_booked_to_the_last_byte() {
    let mut interfaces = Interfaces::default();
    let mut table = FlowTable::default();
    let old = uplink(&mut interfaces, 2);
    read(&mut table, &interfaces, &[sent(old, SECOND, 100)], 2 * SECOND);
    interfaces.get_mut(old).unwrap().alive = false;
    read(&mut table, &interfaces, &[sent(old, SECOND, 130)], 3 * SECOND);
    assert_eq!(booked(&mut table), 130);
}

/// Knows for a while that the host's sockets are an endpoint's.
struct Sockets(Option<EndpointId>);

impl Directory for Sockets {
    fn is_on_parent(&self, endpoint: EndpointId, address: Option<IpAddr>) -> bool {
        Nobody.is_on_parent(endpoint, address)
    }
    fn current(&self, endpoint: EndpointId) -> EndpointId {
        endpoint
    }
    fn holder(&self, segment: u32, address: IpAddr) -> Option<EndpointId> {
        Nobody.holder(segment, address)
    }
    fn kind(&self, endpoint: EndpointId) -> Kind {
        Nobody.kind(endpoint)
    }
    fn is_ambiguous(&self, address: IpAddr) -> bool {
        Nobody.is_ambiguous(address)
    }
    fn stack(&self, endpoint: EndpointId) -> EndpointId {
        endpoint
    }
    fn socket(&self, _cookie: u64) -> Option<Owner> {
        self.0.map(Owner::Endpoint)
    }
    fn connection(&self, proto: Proto, local: Peer, remote: Peer) -> Owner {
        Nobody.connection(proto, local, remote)
    }
}

#[test]
fn whose_socket_it_is_stays_known_when_the_socket_is_forgotten() {
    let mut interfaces = Interfaces::default();
    let mut table = FlowTable::default();
    let number = uplink(&mut interfaces, 2);
    let flows = [sent(number, SECOND, 100)];
    let translations = Translations::default();
    let mut read = |directory: &Sockets, now| {
        let context = Context {
            interfaces: &interfaces,
            directory,
            translations: &translations,
            now,
            overflowing: false,
        };
        table.read(&flows, &context);
        table.close_tick();
        table.iter().next().unwrap().source
    };
    assert_eq!(read(&Sockets(Some(EndpointId(20))), 2 * SECOND), EndpointId(20));
    for tick in 3..20 {
        assert_eq!(read(&Sockets(None), tick * SECOND), EndpointId(20), "second {tick}");
    }
}

#[test]
fn what_conntrack_may_not_have_told_of_yet_waits_but_not_for_good() {
    let mut interfaces = Interfaces::default();
    let number = uplink(&mut interfaces, 2);
    let flows = [sent(number, SECOND, 100)];
    let found = |heard: u64, now: u64| {
        let mut table = FlowTable::default();
        let mut translations = Translations::default();
        translations.heard_until(heard);
        let context = Context {
            interfaces: &interfaces,
            directory: &Nobody,
            translations: &translations,
            now,
            overflowing: false,
        };
        table.read(&flows, &context);
        table.iter().count()
    };
    assert_eq!(found(SECOND + FRESH, SECOND + FRESH), 1);
    assert_eq!(found(SECOND + FRESH - 1, 2 * SECOND), 0, "its reader has not had its turn");
    assert_eq!(found(0, SECOND + PATIENCE), 1, "and may never have");
}

fn tagged(vlan: u16, interface: u32, hook: Hook) -> (FlowKey, FlowCounters) {
    let (key, read) = sent(interface, SECOND, 100);
    (FlowKey { vlan, hook, ..key }, read)
}

#[test]
fn equal_addresses_of_two_vlans_on_one_trunk_are_two_conversations() {
    let mut interfaces = Interfaces::default();
    let mut table = FlowTable::default();
    let trunk = uplink(&mut interfaces, 2);
    let flows = [tagged(10, trunk, Hook::EGRESS), tagged(20, trunk, Hook::EGRESS)];
    read(&mut table, &interfaces, &flows, 2 * SECOND);
    assert_eq!(table.iter().count(), 2);
    assert_eq!(booked(&mut table), 200, "each is counted");
    let back = [flows[0], flows[1], tagged(20, trunk, Hook::INGRESS)];
    read(&mut table, &interfaces, &back, 4 * SECOND);
    let mut vlans: Vec<Vec<u16>> =
        table.iter().map(|one| one.sightings.iter().map(|sighting| sighting.key.vlan).collect()).collect();
    vlans.sort();
    assert_eq!(vlans, [vec![10], vec![20, 20]], "the answer belongs to its own");
}

#[test]
fn a_frame_tagged_on_the_trunk_and_not_at_its_port_is_one_conversation() {
    let mut interfaces = Interfaces::default();
    let mut table = FlowTable::default();
    let (port, trunk) = (uplink(&mut interfaces, 2), uplink(&mut interfaces, 3));
    let flows = [tagged(0, port, Hook::INGRESS), tagged(10, trunk, Hook::EGRESS)];
    read(&mut table, &interfaces, &flows, 2 * SECOND);
    assert_eq!(table.iter().count(), 1);
}

fn inside(number: u32, interface: u32, hook: Hook) -> (FlowKey, FlowCounters) {
    let (key, read) = sent(interface, SECOND, 100);
    let outer = Outer {
        source: mapped([198, 51, 100, 2]),
        destination: mapped([198, 51, 100, 3]),
        ports: Ports { source: 55_555, destination: 4_789 },
    };
    let key = FlowKey { network_number: number, encapsulation: Encapsulation::VXLAN, hook, ..key };
    (key, FlowCounters { outer, ..read })
}

#[test]
fn a_packet_seen_bare_and_inside_a_tunnel_is_one_conversation_with_the_tunnel_around_it() {
    let mut interfaces = Interfaces::default();
    let mut table = FlowTable::default();
    let (tunnel, card) = (uplink(&mut interfaces, 2), uplink(&mut interfaces, 3));
    let (bare, read_of_it) = sent(tunnel, SECOND, 100);
    let flows = [(FlowKey { hook: Hook::EGRESS, ..bare }, read_of_it), inside(100, card, Hook::EGRESS)];
    read(&mut table, &interfaces, &flows, 2 * SECOND);
    let all: Vec<_> = table.iter().collect();
    let [one] = all[..] else { panic!("{all:#?}") };
    let carrier = one.carrier().unwrap();
    assert_eq!((carrier.encapsulation, carrier.number), (Encapsulation::VXLAN, 100));
    assert_eq!(carrier.destination, crate::flow::made_up::peer("198.51.100.3:4789"));
    assert_eq!(booked(&mut table), 100, "counted once");
}

#[test]
fn equal_addresses_of_two_networks_in_tunnels_are_two_conversations() {
    let mut interfaces = Interfaces::default();
    let mut table = FlowTable::default();
    let card = uplink(&mut interfaces, 2);
    read(
        &mut table,
        &interfaces,
        &[inside(1, card, Hook::EGRESS), inside(2, card, Hook::EGRESS)],
        2 * SECOND,
    );
    assert_eq!(table.iter().count(), 2);
}
