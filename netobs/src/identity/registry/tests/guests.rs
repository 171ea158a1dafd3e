//! Virtual machines: whatever number of taps, one endpoint each; and a tap that outlives its guest.

use std::sync::Arc;

use netobs_common::endpoint::Kind;

use super::world::*;
use crate::{
    host::facts::{
        Link, LinkKind, TapDevice,
        firewall::{Chain, Rule, Ruleset, Step, Table},
    },
    identity::{claim::Provenance, elsewhere::Place, endpoint::Mode, registry::ROUTED},
    runtime::facts::guest::{Card, Guest, Leased, Names},
};

fn tap(world: &mut World, index: u32, bridge: u32) {
    let kind = LinkKind::Tun { tap: true };
    world.links.push(Link { master: Some(bridge), ..link(index, &format!("tap{index}"), kind) });
}

fn guest(pid: u32, name: &str, taps: &[u32]) -> Arc<Guest> {
    let card = |index: &u32| Card {
        device: TapDevice::Named(format!("tap{index}")),
        mac: Some(mac(0x50 + *index as u8)),
        leased: Vec::new(),
    };
    Arc::new(Guest {
        pid,
        start_time: u64::from(pid) * 10,
        monitor: "qemu".into(),
        by_process: Names { name: Some(name.into()), uuid: None },
        by_libvirt: None,
        cards: taps.iter().map(card).collect(),
    })
}

/// Everything of docker0's network gets the host's address.
fn translating() -> Ruleset {
    let table = Table { family: 2, name: "nat".into() };
    let steps = vec![
        Step::Payload { to: 1, base: 1, offset: 12, length: 2 },
        Step::Compare { of: 1, operator: 0, with: vec![172, 17] },
        Step::Masquerade { ports: None },
    ];
    Ruleset {
        chains: vec![Chain {
            table: table.clone(),
            name: "out".into(),
            kind: Some("nat".into()),
            hook: Some((4, 100)),
            drops: Some(false),
            counter: None,
        }],
        rules: vec![Rule {
            table,
            chain: "out".into(),
            handle: 1,
            position: 1,
            comment: None,
            counter: None,
            steps,
        }],
        ..Ruleset::default()
    }
}

#[test]
fn a_guest_with_two_cards_is_one_endpoint() {
    let mut world = World::new();
    tap(&mut world, 12, 3);
    tap(&mut world, 13, 3);
    let before = world.look().behind(13).number;
    assert_eq!(world.ids(), ["host", "vm/tap12", "vm/tap13"]);
    // Its second card is the interface made first.
    world.guests.push(guest(500, "web", &[13, 12]));
    let found = world.look().behind(12);
    assert_eq!((world.ids(), &*found.id), (vec!["host".to_owned(), "vm/web".to_owned()], "vm/web"));
    assert_eq!(
        world.registry.resolve(before),
        found.number,
        "what was counted for its interfaces is its own"
    );
    let names: Vec<_> = found.interfaces.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["tap13", "tap12"]);
    assert_eq!(found.interfaces[0].mac, Some(mac(0x50 + 13)));
    assert_eq!(found.runtime.as_deref(), Some("qemu"));
    assert_eq!(found.provenance, [Provenance::QemuProcess]);
}

#[test]
fn libvirt_is_believed_before_the_command_line() {
    let mut world = World::new();
    tap(&mut world, 12, 3);
    let mut one = (*guest(500, "from-the-command-line", &[12])).clone();
    one.by_libvirt = Some(Names { name: Some("db".into()), uuid: Some("u-1".into()) });
    let leased = |bridge: &str, address| Leased { bridge: bridge.into(), address: ip(address) };
    one.cards[0].leased = vec![leased("docker0", "172.17.0.99"), leased("virbr0", "172.17.0.98")];
    world.guests.push(Arc::new(one));
    let found = world.look().behind(12);
    assert_eq!((&*found.id, found.uid.as_deref()), ("vm/db", Some("u-1")));
    assert_eq!(found.provenance, [Provenance::Libvirt, Provenance::QemuProcess]);
    assert_eq!(world.at(3, "172.17.0.99").as_deref(), Some("vm/db"));
    assert_eq!(
        world.at(3, "172.17.0.98"),
        None,
        "another guest's, of equal hardware address on another bridge"
    );
}

#[test]
fn a_leased_address_stands_beside_those_the_host_resolved() {
    let mut world = World::new();
    tap(&mut world, 12, 3);
    world.neighbour(3, "172.17.0.50", mac(0x50 + 12));
    world.guests.push(guest(500, "web", &[12]));
    let found = world.look().behind(12);
    assert_eq!(found.addresses().collect::<Vec<_>>(), [ip("172.17.0.50")]);
    assert_eq!(found.provenance, [Provenance::QemuProcess, Provenance::Neighbor]);
}

#[test]
fn an_address_that_was_only_seen_is_nobodys_word() {
    let mut world = World::new();
    tap(&mut world, 12, 3);
    world.guests.push(guest(500, "web", &[12]));
    world.seen.insert(12, [ip("172.17.0.60"), ip("172.17.0.2")].into());
    world.veth(10, Some(0), 3);
    world.namespace(100, Some(0), 1000);
    world.container(1, "web", 1000).networks.push(on_bridge("bridge", "docker0", "172.17.0.2", 2));
    let found = world.look().behind(12);
    assert!(found.addresses().any(|address| address == ip("172.17.0.60")));
    assert_eq!(found.provenance, [Provenance::QemuProcess]);
    assert_eq!(world.at(3, "172.17.0.60").as_deref(), Some("vm/web"));
    assert_eq!(world.at(3, "172.17.0.2").as_deref(), Some("container/web"), "a guest takes nobody's address");
}

fn elsewhere(id: &str, addresses: &[&str], networks: &[&str]) -> Place {
    Place {
        id: id.into(),
        kind: Kind::HOST,
        name: id.into(),
        namespace: None,
        workload: None,
        addresses: addresses.iter().map(|one| ip(one)).collect(),
        networks: networks.iter().map(|one| one.parse().unwrap()).collect(),
        provenance: Provenance::Cidr,
    }
}

/// A guest on a bridge that the uplink is a port of; the host's address and its way out are there.
fn on_the_lan(seen: &[&str]) -> World {
    let mut world = World::new();
    world.links.push(link(5, "lan", LinkKind::Bridge));
    world.link(UPLINK).master = Some(5);
    world.address(5, "192.0.2.7", 24);
    world.route("192.0.2.0/24", 5);
    world.route("0.0.0.0/0", 5);
    world.routes.last_mut().unwrap().gateway = Some(ip("192.0.2.1"));
    tap(&mut world, 12, 5);
    world.guests.push(guest(500, "evil", &[12]));
    world.seen.insert(12, seen.iter().map(|one| ip(one)).collect());
    world
}

/// What the kernel side is told, in all segments.
fn told(world: &World, address: &str) -> Vec<String> {
    let of_it = world.registry.addresses().filter(|(_, one, _)| *one == ip(address));
    of_it.map(|(.., owner)| world.registry.by_number(owner.endpoint).unwrap().id.to_string()).collect()
}

#[test]
fn no_arp_takes_the_address_of_somebody_elsewhere() {
    let mut world = on_the_lan(&["192.0.2.2", "203.0.113.9", "192.0.2.50"]);
    let places = vec![
        elsewhere("node/n2", &["192.0.2.2"], &[]),
        elsewhere("external/office", &[], &["203.0.113.0/24"]),
        elsewhere("external/lan", &[], &["192.0.2.0/24"]),
    ];
    world.registry.observe_elsewhere(places, world.now);
    world.look();
    for segment in [5, ROUTED] {
        assert_eq!(world.at(segment, "192.0.2.2").as_deref(), Some("node/n2"));
        assert_eq!(world.at(segment, "203.0.113.9").as_deref(), Some("external/office"));
        assert_eq!(world.at(segment, "192.0.2.50").as_deref(), Some("vm/evil"), "its own network has a name");
    }
    assert_eq!(told(&world, "192.0.2.2"), ["node/n2"]);
    assert!(told(&world, "203.0.113.9").is_empty(), "its network is told");
    assert_eq!(told(&world, "192.0.2.50"), ["vm/evil", "vm/evil"]);
}

#[test]
fn no_arp_takes_an_address_that_the_host_reaches_by_a_gateway() {
    let mut world = on_the_lan(&["198.18.0.8"]);
    world.look();
    assert_eq!(world.at(ROUTED, "198.18.0.8"), None, "to the host it is somebody outside");
    assert_eq!(world.at(5, "198.18.0.8").as_deref(), Some("vm/evil"), "on its bridge nobody else has it");
    // The same without a bridge, where its segment is the whole host.
    let mut world = World::new();
    world.route("0.0.0.0/0", UPLINK);
    world.route("192.0.2.9/32", 12);
    tap(&mut world, 12, 3);
    world.link(12).master = None;
    world.guests.push(guest(500, "evil", &[12]));
    world.seen.insert(12, [ip("198.18.0.8"), ip("192.0.2.9")].into());
    world.look();
    assert_eq!(world.at(ROUTED, "198.18.0.8"), None);
    assert_eq!(world.at(ROUTED, "192.0.2.9").as_deref(), Some("vm/evil"), "the host routes it there");
}

#[test]
fn no_arp_takes_the_address_of_a_container_on_another_bridge() {
    let mut world = on_the_lan(&["172.17.0.2", "172.17.0.1"]);
    world.veth(10, Some(0), 3);
    world.namespace(100, Some(0), 1000);
    world.container(1, "web", 1000).networks.push(on_bridge("bridge", "docker0", "172.17.0.2", 2));
    world.look();
    assert_eq!(world.at(5, "172.17.0.2").as_deref(), Some("container/web"), "routed by the host");
    assert_eq!(world.at(5, "172.17.0.1").as_deref(), Some("host"));
    assert_eq!(told(&world, "172.17.0.1"), ["host", "host"]);
    // A bridge that the host is not on has addresses of its own.
    world.addresses.retain(|one| one.link != 5);
    world.look();
    assert_eq!(world.at(5, "172.17.0.2").as_deref(), Some("vm/evil"));
    assert_eq!(world.at(ROUTED, "172.17.0.2").as_deref(), Some("container/web"));
}

#[test]
fn a_tap_that_outlives_its_guest_is_the_next_guests_and_not_the_same() {
    let mut world = World::new();
    tap(&mut world, 12, 3);
    world.guests.push(guest(500, "old", &[12]));
    let old = world.look().behind(12).number;
    world.guests.clear();
    world.link(12).carrier = false;
    assert_eq!(world.look().ids(), ["host"], "nobody is behind a tap without carrier");
    world.link(12).carrier = true;
    world.guests.push(guest(501, "new", &[12]));
    let new = world.look().behind(12);
    assert_eq!(&*new.id, "vm/new");
    assert_ne!(new.number, old);
    assert!(!world.registry.is_alive(old));
}

#[test]
fn a_guest_that_follows_between_two_looks_has_a_number_of_its_own() {
    let mut world = World::new();
    tap(&mut world, 12, 3);
    world.guests.push(guest(500, "old", &[12]));
    let old = world.look().behind(12).number;
    world.guests = vec![guest(501, "new", &[12])];
    let new = world.look().behind(12);
    assert_eq!(&*new.id, "vm/new");
    assert_ne!(new.number, old);
}

#[test]
fn without_a_carrier_nobody_is_behind_a_tap_whoever_held_it() {
    let mut world = World::new();
    tap(&mut world, 12, 3);
    world.guests.push(guest(500, "old", &[12]));
    world.look();
    world.link(12).carrier = false;
    assert_eq!(world.look().ids(), ["host"]);
    assert_eq!(world.registry.owner_of(12), None);
}

#[test]
fn who_takes_a_tap_over_between_two_looks_is_not_the_last_one() {
    let mut world = World::new();
    tap(&mut world, 12, 3);
    world.guests.push(guest(500, "old", &[12]));
    let old = world.look().behind(12).number;
    // The old one ends and the next one has the tap before anybody looks again.
    world.guests_looked_at = Some(world.now);
    world.link(12).carrier_losses += 1;
    let next = world.later(1).look().behind(12);
    assert_eq!(&*next.id, "vm/tap12");
    assert_ne!(next.number, old);
    (world.guests, world.guests_looked_at) = (vec![guest(501, "new", &[12])], None);
    let new = world.later(1).look().behind(12);
    assert_eq!((&*new.id, new.number), ("vm/new", next.number));
}

#[test]
fn a_tap_made_anew_by_an_equal_name_is_not_the_last_guests() {
    let mut world = World::new();
    tap(&mut world, 12, 3);
    world.guests.push(guest(500, "old", &[12]));
    let old = world.look().behind(12).number;
    world.guests_looked_at = Some(world.now);
    world.registry.forget_interface(12);
    let next = world.later(1).look().behind(12);
    assert_eq!(&*next.id, "vm/tap12");
    assert_ne!(next.number, old);
}

#[test]
fn a_guest_whose_tap_loses_its_carrier_for_a_moment_has_its_number_back() {
    let mut world = World::new();
    tap(&mut world, 12, 3);
    world.guests.push(guest(500, "web", &[12]));
    let number = world.look().behind(12).number;
    world.guests_looked_at = Some(world.now);
    world.link(12).carrier_losses += 1;
    let unknown = world.later(1).look().behind(12).number;
    world.guests_looked_at = None;
    let web = world.later(1).look().behind(12);
    assert_eq!((&*web.id, web.number), ("vm/web", number));
    assert_eq!(world.registry.resolve(unknown), number, "and what was counted meanwhile is its own");
}

#[test]
fn a_guest_on_a_macvtap_stays_when_the_cable_is_pulled() {
    let mut world = World::new();
    world.links.push(Link { lower: Some(2), ..link(12, "macvtap0", LinkKind::Macvtap) });
    let mut one = (*guest(500, "web", &[])).clone();
    one.cards = vec![Card { device: TapDevice::Index(12), mac: None, leased: Vec::new() }];
    world.guests.push(Arc::new(one));
    let number = world.look().named("vm/web").number;
    let link = world.link(12);
    (link.carrier, link.carrier_losses) = (false, 1);
    world.guests_looked_at = Some(world.now);
    assert_eq!(world.later(1).look().named("vm/web").number, number);
}

#[test]
fn of_two_that_seem_to_hold_a_tap_neither_is_believed() {
    let mut world = World::new();
    tap(&mut world, 12, 3);
    tap(&mut world, 13, 3);
    world.guests.push(guest(500, "of-another-namespace", &[12]));
    world.guests.push(guest(501, "web", &[12, 13]));
    world.look();
    assert_eq!((&*world.behind(12).id, &*world.behind(13).id), ("vm/tap12", "vm/web"));
}

#[test]
fn a_guest_is_attached_as_its_bridge_is() {
    let mut world = World::new();
    world.nat_rules = Some(translating());
    world.bridge(4, "isolated", "192.168.9.1", 24);
    world.links.push(link(5, "lan", LinkKind::Bridge));
    world.links.push(link(6, "nobody", LinkKind::Bridge));
    world.link(UPLINK).master = Some(5);
    for (index, bridge, pid) in [(12, 3, 500), (13, 4, 501), (14, 5, 502), (15, 6, 503)] {
        tap(&mut world, index, bridge);
        world.guests.push(guest(pid, &format!("on-{bridge}"), &[index]));
    }
    world.look();
    let mode = |index| world.behind(index).mode.clone();
    assert_eq!(mode(12), Some(Mode::Nat));
    assert_eq!(mode(13), Some(Mode::HostOnly));
    assert_eq!(mode(14), Some(Mode::Bridge));
    assert_eq!(mode(15), Some(Mode::HostOnly), "the host has no address there to forward from");
    assert!([12, 13, 14, 15].iter().all(|index| world.behind(*index).kind == Kind::VM));
}

#[test]
fn without_the_firewalls_rules_a_mode_is_left_open() {
    let mut world = World::new();
    tap(&mut world, 12, 3);
    world.guests.push(guest(500, "web", &[12]));
    assert_eq!(world.look().behind(12).mode, None);
}

#[test]
fn a_macvtap_is_held_by_its_index() {
    let mut world = World::new();
    world.links.push(Link { lower: Some(2), ..link(12, "macvtap0", LinkKind::Macvtap) });
    let mut one = (*guest(500, "web", &[])).clone();
    one.cards = vec![Card { device: TapDevice::Index(12), mac: None, leased: Vec::new() }];
    world.guests.push(Arc::new(one));
    world.look();
    let found = world.named("vm/web");
    assert_eq!((found.mode.clone(), found.interfaces[0].mac), (Some(Mode::Macvtap), Some(mac(12))));
}
